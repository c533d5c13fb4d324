"""Presets say what they are, and each trains, repeats itself from its own configuration, and can be changed."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from graphmi.class_names import short_names
from graphmi.config import experiment, preset_config, preset_texts, read_config
from graphmi.data import Filter, groups, item_communities
from graphmi.experiment import Experiment
from graphmi.losses import MultiInterestLoss, SampledSoftmaxLoss
from graphmi.models import InterestGCN, Popularity
from graphmi.presets import preset_names, preset_text
from graphmi.restore import restore
from graphmi.result import save_run
from graphmi.run import RunFolder
from graphmi.typing import Batch
from graphmi.usage import UsageError
from graphmi.words import words_of

DATA = "planted:num_users=40,num_items=60,interactions_per_user=8"


def make(preset, **options):
    return experiment(preset, DATA, trainer__epochs=1, trainer__accelerator="cpu", replicates=0, **options)


def test_the_promised_presets_exist():
    assert {"mf", "lightgcn", "cagcn", "interest-gcn", "interest-cagcn", "popularity"} <= set(preset_names())


def _holds(whole, part):
    if isinstance(part, dict):
        return all(name in whole and _holds(whole[name], value) for name, value in part.items())
    return whole == part or str(whole).endswith(f".{part}")  # classes get their full path


@pytest.mark.parametrize("name", preset_names())
def test_a_preset_says_what_it_is_and_where_it_was_published(name):
    values = yaml.safe_load(preset_text(name))
    assert values["description"].endswith(".")
    assert "https://" in values.get("paper", "") or name == "popularity"
    # A run with another number keeps the description.
    assert not re.search(
        r"\b(two|three|four|five|one (interest|vector|negative)s?)\b", values["description"], re.IGNORECASE
    )


@pytest.mark.parametrize("name", preset_names())
def test_a_preset_trains_and_its_resolved_configuration_is_itself(name):
    one = make(name)
    trained = one.train(one.dataset())
    assert 0 <= trained.test.metrics["ndcg@20"] <= 1
    config = read_config(preset_text(name), arguments=["--data", DATA])
    assert read_config(config.text()).text() == config.text()
    given = yaml.safe_load(preset_text(name))
    assert _holds(config.to_dict()["trainer"], given.get("trainer", {}))


@pytest.mark.parametrize(
    ("name", "num_interests", "num_layers"), [("mf", 1, 0), ("lightgcn", 1, 3), ("interest-gcn", 4, 3)]
)
def test_a_preset_builds_its_paper(name, num_interests, num_layers):
    one = make(name)
    model = one.build(one.dataset())
    assert isinstance(model, InterestGCN)
    assert (model.num_interests, len(model.convs), model.embedding.embedding_dim) == (num_interests, num_layers, 64)


def test_cagcn_has_other_edges_than_lightgcn():
    data = make("cagcn").dataset()

    def items(one):
        return one.build(data)(Batch(user=torch.arange(3))).items.detach()

    ours, theirs = items(make("cagcn")), items(make("lightgcn"))
    assert not torch.allclose(ours, theirs)
    same = make("lightgcn", model__weight="CAGCNWeight", model__weight__gamma=0.0)
    torch.testing.assert_close(items(same), theirs)


def test_popularity_has_nothing_to_train():
    one = make("popularity")
    trained = one.train(one.dataset())
    assert isinstance(trained.model, Popularity)
    assert trained.history.epochs == 0
    assert trained.valid.keys() == trained.test.metrics.keys()


def test_nested_options_of_a_preset_can_be_changed():
    one = make("mf", loss__objective="SampledSoftmaxLoss", loss__objective__temperature=0.5, model__embedding_dim=8)
    assert isinstance(one.loss, MultiInterestLoss)
    assert isinstance(one.loss.objective, SampledSoftmaxLoss)
    assert one.loss.objective.temperature == 0.5
    assert one.build(one.dataset()).embedding.embedding_dim == 8


def test_replaced_parts_are_told_beside_what_a_preset_says_of_its_own():
    own = preset_config("lightgcn", "planted").to_dict()
    for options, parts in (
        ({"model__num_interests": 2, "model__num_neighbors": [5], "sampler": "UniformSampler"}, None),
        ({"model": "SeparateInterestGCN"}, "model SeparateInterestGCN"),
        ({"model": "SequenceModel", "model__extractor": "SelfAttentiveExtractor"}, "model SequenceModel"),
        ({"sampler": "InBatchSampler"}, "sampler InBatchSampler"),
        (
            {"loss__objective": "BCELoss", "loss__weighting": "UniformWeighting"},
            "loss.objective BCELoss, loss.weighting UniformWeighting",
        ),
    ):
        told = preset_config("lightgcn", "planted", **options)
        for name in ("description", "paper"):
            assert told.to_dict()[name] == (own[name] if parts is None else f"With other parts ({parts}): {own[name]}")
        again = read_config(told.text(), arguments=["--model.embedding_dim=8"])
        assert again.to_dict()["description"] == told.to_dict()["description"]
    mine = preset_config("lightgcn", "planted", model="SeparateInterestGCN", description="Mine.").to_dict()
    assert mine["description"] == "Mine."
    under = preset_config("bam", "planted", backbone="mind").to_dict()
    assert under["description"].startswith("With other parts (model.extractor DynamicRoutingExtractor): BaM-p; ")


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ("--loader PrefixLoader", "loader PrefixLoader"),
        ("--loss.weighting null", "loss.weighting none"),
        ("--loss.regularizers []", "loss.regularizers none"),
        (
            '--loss.regularizers [{"weight":1,"regularizer":"InterestRepulsion"},'
            '{"weight":1,"regularizer":"EmbeddingNorm"}]',
            "loss.regularizers InterestRepulsion + EmbeddingNorm",
        ),
        ('--loss.regularizers [{"weight":1,"regularizer":"RoutingVariance"}]', None),
        ("--loss graphmi.losses.multi_interest.MultiInterestLoss", None),
    ],
)
def test_parts_taken_away_and_those_of_lists_are_told(words, parts):
    own = preset_config("remi", "planted").to_dict()["description"]
    told = read_config(*preset_texts("remi"), arguments=["--data", "planted", *words.split(" ")]).to_dict()
    assert told["description"] == (own if parts is None else f"With other parts ({parts}): {own}")


def test_parts_of_a_file_that_are_replaced_again_are_told_once():
    own = preset_config("remi", "planted").to_dict()["description"]
    told = preset_config("remi", "planted", model__extractor="DynamicRoutingExtractor", sampler="InBatchSampler")
    for words, parts in (
        (["--sampler", "PopularitySampler"], "model.extractor DynamicRoutingExtractor, sampler PopularitySampler"),
        (["--model", "InterestGCN"], "sampler InBatchSampler, model InterestGCN"),
    ):
        again = read_config(told.text(), arguments=words).to_dict()
        assert again["description"] == f"With other parts ({parts}): {own}"


@pytest.mark.parametrize("own", ["", "Of two lines,\nthis is the second."])
def test_replaced_parts_are_told_of_whatever_a_file_says(own):
    text = preset_config("lightgcn", "planted", description=own).text()
    for name in ("InBatchSampler", "PopularitySampler"):
        told = read_config(text, arguments=["--sampler", name])
        assert told.to_dict()["description"] == (own and f"With other parts (sampler {name}): {own}")
        text = told.text()


def test_options_are_sequences_paths_and_numbers_of_numpy_too(tmp_path):
    (tmp_path / "data.csv").write_text("user_id,item_id\n1,2\n")
    for k in ([5, 20], (5, 20), range(5, 21, 15), np.array([5, 20]), torch.tensor([5, 20])):
        one = experiment("mf", tmp_path / "data.csv", k=k, trainer__learning_rate=np.float32(0.5), seed=np.int64(3))
        assert (list(one.k), one.trainer.learning_rate, one.seed) == ([5, 20], 0.5, 3)
        assert one.data == str(tmp_path / "data.csv")
    assert list(experiment("mf", DATA, k=20).k) == [20]
    assert list(read_config(preset_text("mf"), "k: 20", arguments=["--data", DATA]).experiment().k) == [20]
    for one in (InterestGCN, torch.Tensor):
        with pytest.raises(UsageError, match=r"cannot be <class '.*'>: give text, .* of a class, its name"):
            experiment("mf", DATA, model=one)


def test_a_path_through_the_folder_above_is_that_of_the_file_itself(tmp_path, monkeypatch):
    (tmp_path / "scratch").mkdir()
    (tmp_path / "data.csv").symlink_to("log.csv")
    (tmp_path / "log.csv").touch()
    (tmp_path / "ml-100k").mkdir()  # which is a name all the same
    for folder, data in (("scratch", "../log.csv"), (".", "log.csv"), (".", "data.csv"), (".", "ml-100k")):
        with monkeypatch.context() as patch:
            patch.chdir(tmp_path / folder)
            found = preset_config("popularity", data, columns={"attributes": data}).to_dict()
        expected = data if data == "ml-100k" else str(tmp_path / data.removeprefix("../"))  # of a link, its own name
        assert (found["data"], found["columns"]) == (expected, {"attributes": expected})


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("loss__objective__temperature", 0.5, ["--loss.objective.temperature=0.5"]),
        ("split__ratios", (0.8, 0.1, 0.1), ["--split.ratios=[0.8, 0.1, 0.1]"]),
        ("columns", {"attributes": Path("a.csv")}, ['--columns={"attributes": "a.csv"}']),
        ("model__num_neighbors", [range(2), np.float32(0.5)], ["--model.num_neighbors=[[0, 1], 0.5]"]),
        ("k", torch.tensor([5, 20]), ["--k", "5", "20"]),
        ("split__train", Path("a b.csv"), ["--split.train=a b.csv"]),
        ("loss__weighting", None, ["--loss.weighting=null"]),
    ],
)
def test_options_become_words(name, value, words):
    assert words_of(name, value) == words


def test_a_configuration_is_run_into_a_whole_run_folder(tmp_path):
    config = preset_config("mf", DATA, trainer__epochs=1, trainer__accelerator="cpu", replicates=0)
    trained = config.run(RunFolder(tmp_path / "run"))
    run = restore(RunFolder(tmp_path / "run"))
    torch.testing.assert_close(run.model.state_dict(), trained.model.state_dict())
    assert run.folder.read_result()["metrics"] == trained.test.metrics
    assert run.folder.read_result()["config"] == config.to_dict()
    assert run.folder.read_config() == config.text()
    with pytest.raises(FileExistsError, match="not empty"):
        config.run(run.folder)


def test_what_cannot_be_trained_leaves_its_folder_free(tmp_path):
    words = {"trainer__epochs": 1, "trainer__accelerator": "cpu", "replicates": 0}
    with pytest.raises(ValueError, match="'optimizer' fails"):
        preset_config("mf", DATA, trainer__optimizer="torch.optim.LBFGS", **words).run(RunFolder(tmp_path / "run"))
    assert not list(tmp_path.iterdir())


def test_what_fails_after_an_epoch_can_go_on(tmp_path, monkeypatch):
    def train(self, dataset, folder):
        folder.write_state({})
        raise ValueError("late")

    monkeypatch.setattr(Experiment, "train", train)
    config = preset_config("mf", DATA)
    with pytest.raises(ValueError, match="late"):
        config.run(RunFolder(tmp_path / "run"))
    assert RunFolder(tmp_path / "run").read_config() == config.text()


def test_the_seed_decides_everything_and_nothing_else_does():
    torch.manual_seed(1)
    first = make("mf", seed=3)
    one = first.train(first.dataset())
    torch.manual_seed(2)
    second = make("mf", seed=3)
    two = second.train(second.dataset())
    third = make("mf", seed=4)
    three = third.train(third.dataset())
    assert torch.equal(one.model.embedding.weight, two.model.embedding.weight)
    assert not torch.equal(one.model.embedding.weight, three.model.embedding.weight)
    again = first.train(first.dataset())  # running an experiment does not change it
    assert torch.equal(one.model.embedding.weight, again.model.embedding.weight)


def test_parameters_of_a_loss_are_those_of_the_seed(tmp_path, monkeypatch):
    (tmp_path / "own_loss_with_a_scale.py").write_text(
        "import torch\n"
        "from graphmi.losses import BPRLoss\n"
        "class Scaled(BPRLoss):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.scale = torch.nn.Parameter(torch.rand(1))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    def scale(seed, before):
        torch.manual_seed(before)
        return make("mf", loss__objective="own_loss_with_a_scale.Scaled", seed=seed).loss.objective.scale

    assert torch.equal(scale(3, 1), scale(3, 2))
    assert not torch.equal(scale(3, 1), scale(4, 1))


def test_short_names_are_ours_although_others_have_them_too():
    import torch_geometric.nn.models.lightgcn as others

    assert short_names()["BPRLoss"] == "graphmi.losses.BPRLoss"
    assert hasattr(others, "BPRLoss")


def test_short_names_go_inside_of_dictionaries_too():
    readout = {"class_path": "LogSumExpReadout", "init_args": {"temperature": 0.5, "similarity": "InnerProduct"}}
    named = preset_config("mf", DATA, loss__readout=readout, split={"class_path": "RandomSplit"}).to_dict()
    assert named["split"]["class_path"] == "graphmi.data.RandomSplit"
    assert named["loss"]["init_args"]["readout"]["class_path"] == "graphmi.nn.LogSumExpReadout"
    assert named["loss"]["init_args"]["readout"]["init_args"]["temperature"] == 0.5
    words = ["--data", DATA, "--split", "{class_path: RandomSplit, init_args: {seed: 3}}"]
    assert read_config(preset_text("mf"), arguments=words).to_dict()["split"]["init_args"]["seed"] == 3
    with pytest.raises(UsageError, match=r"no class is named 'RandomSplt' \(did you mean RandomSplit"):
        preset_config("mf", DATA, split={"class_path": "RandomSplt"})


def test_exponents_without_a_point_are_numbers():
    text = preset_text("mf").replace("learning_rate: 1.0e-3", "learning_rate: 2e-3")
    assert read_config(text, arguments=["--data", DATA]).experiment().trainer.learning_rate == 0.002


def test_unknown_preset_has_a_hint():
    with pytest.raises(UsageError, match=r"no preset is named 'lightgnc' \(did you mean lightgcn"):
        experiment("lightgnc", DATA)


@pytest.mark.parametrize(("name", "value"), [("k", [0]), ("replicates", -1), ("seed", -1)])
def test_numbers_out_of_range_are_named_before_anything_is_done(name, value):
    with pytest.raises(ValueError, match=rf"'{name}' must be at least"):
        Experiment(data=DATA, model=Popularity, **{name: value})


def test_communities_are_found_once_per_run(monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr(groups, "item_communities", lambda *a, **k: calls.append(a) or item_communities(*a, **k))
    one = make("mf", groups__by="communities")
    dataset = one.dataset()
    trained = one.train(dataset)
    save_run(RunFolder(tmp_path), one, dataset, trained, {})
    assert len(calls) == 1
    assert calls[0][0] is dataset.train  # and no other interactions
    users = RunFolder(tmp_path).read_tensors("per_user")
    torch.testing.assert_close(users["diversity"], one.groups.values(dataset.train)[users["user"]])


def test_filters_apply_in_order():
    from graphmi.data import planted

    world = planted(num_users=40, num_items=60, interactions_per_user=8)
    assert len(Filter()(world)) == len(world)
    kept = Filter(k_core=3)(world)
    assert min(kept.user.bincount().min(), kept.item.bincount().min()) >= 3


def test_an_unknown_monitor_is_refused_before_training():
    with pytest.raises(ValueError, match=r"'ndgc@20', which is not evaluated \(did you mean ndcg@20"):
        make("mf", trainer__monitor="ndgc@20")
