"""Training with the kernels: the same numbers, but for rounding."""

import sys

import pytest
import torch

pytest.importorskip("triton", minversion="3.6", reason="Triton is not installed")

from graphmi.config import experiment
from graphmi.kernels import closest, partition, runs_on, triton_kernels, use_triton
from graphmi.trainer import Trainer

DATA = "planted:num_users=40,num_items=60,interactions_per_user=8"


def losses(device, name, kind, **options):
    accelerator = {"trainer__accelerator": device, "trainer__kernels": kind}
    one = experiment(name, DATA, trainer__epochs=2, trainer__progress=False, replicates=0, **accelerator, **options)
    return torch.tensor([row["loss"] for row in one.train(one.dataset()).history.rows])


@pytest.mark.parametrize(
    ("module", "kernel", "name", "options"),
    [
        (partition, "partition_of_products", "lightgcn-softmax", {}),
        (partition, "partition_of_products", "sasrec-softmax", {}),
        (closest, "closest", "interest-gcn", {"model__center": "edge_dot"}),
    ],
)
def test_a_run_is_that_with_torch(device, monkeypatch, module, kernel, name, options):
    calls, original = [], getattr(module, kernel)
    monkeypatch.setattr(module, kernel, lambda *args: calls.append(args) or original(*args))
    reference = losses(device, name, "torch", model__embedding_dim=16, **options)
    assert not calls
    found = losses(device, name, "triton", model__embedding_dim=16, **options)
    assert calls
    torch.testing.assert_close(found, reference, rtol=1e-4, atol=0)


def test_they_are_left_out_unless_asked_for(device):
    x = torch.zeros(1, device=device)
    assert not use_triton(x)
    with triton_kernels():
        assert use_triton(x)
        assert not use_triton(x.to("meta"))
    assert not use_triton(x)


def test_without_triton(monkeypatch):
    monkeypatch.setitem(sys.modules, "triton", None)
    with pytest.raises(ValueError, match="not installed"), triton_kernels():
        pass


def test_with_an_old_one(monkeypatch):
    monkeypatch.setattr("triton.__version__", "3.5.1")
    with pytest.raises(ValueError, match=r"got 3\.5\.1"), triton_kernels():
        pass


def test_without_a_gpu(monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    assert not runs_on(torch.device("cpu"))
    assert runs_on(torch.device("cuda"))
    with pytest.raises(ValueError, match="'kernels' is 'triton'"):
        Trainer(accelerator="cpu", kernels="triton")
