"""Small trained runs, made once for all tests of the report."""

import shutil

import pytest

from graphmi import cli
from graphmi.report import build_report
from graphmi.restore import restore
from graphmi.run import RunFolder

# 20 users in a group: exact tests of a handful of users take seconds.
WORLD = "planted:num_users=100,num_items=80,num_clusters=4,interactions_per_user=10"
SMALL = ["--trainer.epochs", "2", "--trainer.accelerator", "cpu", "--trainer.validate_every", "1", "--replicates", "50"]


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """Return runs of no training, one interest, several in a graph, and several from histories, by their presets."""
    place = tmp_path_factory.mktemp("runs")

    def train(preset, *words):
        arguments = ["train", preset, "--data", WORLD, "--split", "LeaveOneOut", "--out", str(place / preset), *words]
        assert cli.main([*arguments, *SMALL]) == 0
        return RunFolder(place / preset)

    presets = {"popularity": []} | {
        name: ["--model.embedding_dim", "16"] for name in ("lightgcn-softmax", "interest-gcn-softmax", "comirec-dr")
    }
    return {preset: train(preset, *words) for preset, words in presets.items()}


@pytest.fixture(scope="session")
def restored(trained):
    """Return the runs with data and model, by their presets."""
    return {preset: restore(folder) for preset, folder in trained.items()}


@pytest.fixture(scope="session")
def page(trained, tmp_path_factory):
    """Return the path of a page of all runs, and of one more whose name is markup."""
    place = tmp_path_factory.mktemp("page")
    hostile = shutil.copytree(trained["comirec-dr"].path, place / "<img src=x onerror=alert(1)>")
    return build_report([*trained.values(), RunFolder(hostile)], place / "report.html", num_users=25)
