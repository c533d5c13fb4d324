"""Compiled training steps: the numbers of plain ones, in a few graphs."""

import os
import shutil
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch._dynamo.utils import counters
from torch.torch_version import TorchVersion

from graphmi.config import experiment
from graphmi.presets import preset_names
from graphmi.step import Step
from graphmi.trainer import Trainer

pytestmark = [  # torch's own, while it traces
    pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning"),
]
DATA = "planted:num_users=60,num_items=60,interactions_per_user=12"
MODELS = [name for name in preset_names() if name not in ("popularity", "ease", "item-knn")]
# All parts of these are parts of others.
ALIKE = (
    *("bam", "comirec-sa", "interest-cagcn", "interest-gcn-bam", "interest-gcn-mtmi", "lightgcn", "lightgcn-softmax"),
    *("mf", "sasrec-softmax"),
)
# Noise is drawn in another way, and an RNN is one operation in between.
IN_ENCODER = dict.fromkeys(
    ("sasrec", "sasrec-softmax", "gsasrec", "multi-interest-transformer"), "model__encoder__dropout"
)
DROPOUT = {**IN_ENCODER, "gru4rec": "model__dropout"}


BROKEN = {"gru4rec": 8}  # where torch cannot trace all, and how many graphs are left
if TorchVersion(torch.__version__) < "2.11":
    BROKEN |= {"interest-gcn-softmax": 30, "mtmi": 30}


@pytest.fixture
def traced(monkeypatch):
    """Compile graphs without generating code, and return torch's counters."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    monkeypatch.setattr(torch.compiler, "reset", lambda reset=torch.compiler.reset: (reset(), counters.clear()))
    counters.clear()
    return counters


def losses(name, mode="default", **options):
    """Return the losses of two epochs of small batches, the last of which is smaller."""
    if name in DROPOUT:
        options[DROPOUT[name]] = 0.0
    settings = {"trainer__epochs": 2, "trainer__progress": False, "trainer__accelerator": "cpu", "replicates": 0}
    one = experiment(name, DATA, trainer__compile=mode, **settings, **options)

    def loader(interactions):
        made = one.loader(interactions)
        for size in {"batch_size", "users_per_batch"} & vars(made).keys():
            setattr(made, size, 17)
        return made

    return torch.tensor([row["loss"] for row in replace(one, loader=loader).train(one.dataset()).history.rows])


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in ALIKE else name for name in MODELS]
)
def test_every_preset_compiles(traced, name):
    expected = losses(name, None)
    assert not traced["stats"]
    torch.testing.assert_close(losses(name), expected, rtol=1e-5, atol=0)
    assert name in BROKEN or not traced["graph_break"]
    assert 1 <= traced["stats"]["unique_graphs"] <= BROKEN.get(name, 3)  # of sizes that change: dynamic


def test_graphs_of_cuda_are_recorded_for_one_size_and_not_for_each(monkeypatch):
    asked, part = [], torch.nn.Identity()
    monkeypatch.setattr(torch, "compile", lambda terms, **how: asked.append(how) or terms)
    for mode in (None, "default", "reduce-overhead"):
        Step(part, part, mode)
    recorded = {"triton.cudagraphs": True, "triton.cudagraph_skip_dynamic_graphs": True}
    assert asked == [{"mode": "default"}, {"options": recorded}]


@pytest.mark.parametrize(
    "options",
    [
        {"trainer__precision": "bf16-mixed"},
        {"trainer__gradient_clip": 0.1, "trainer__weight_average": 0.9},
        {"model__center": "edge_dot"},
        {"sampler__block_size": 16},
        {"model__item_tower": "FeatureSum"},
    ],
    ids=lambda options: ", ".join(options),
)
def test_with_options(traced, options):
    expected = losses("interest-gcn-softmax", None, **options)
    torch.testing.assert_close(losses("interest-gcn-softmax", **options), expected, rtol=1e-4, atol=0)
    assert traced["stats"]["unique_graphs"]


def test_many_runs_in_one_process_are_all_compiled(traced):
    """Torch keeps few versions of a function, and runs further ones uncompiled."""
    with torch._dynamo.config.patch(recompile_limit=3, fail_on_recompile_limit_hit=True):
        for _ in range(3):
            losses("mf")
            assert traced["stats"]["unique_graphs"] == 2


@pytest.mark.skipif(shutil.which(os.environ.get("CXX", "g++")) is None, reason="there is no C++ compiler")
def test_generated_code(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    torch.testing.assert_close(losses("mf"), losses("mf", None), rtol=1e-5, atol=0)


def test_without_a_compiler(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    with (
        torch._inductor.config.patch({"cpp.cxx": ("no-such-compiler",)}),
        pytest.raises(ValueError, match=r"'compile' = 'default' does not work here: .*no-such-compiler"),
    ):
        losses("mf")


def test_what_does_not_go_together():
    with pytest.raises(ValueError, match="needs dense gradients"):
        losses("mf", model__sparse=True)
    with pytest.raises(ValueError, match="takes no 'kernels'"):
        Trainer(accelerator="cpu", compile="default", kernels="triton")
