"""Training steps on a device that is far away: everything is there, and nothing is waited for.

Tensors of torch's ``meta`` device have no numbers, so whoever wants to read one fails, as does a product with what was
left on the CPU; copies from the CPU are seen on their way. What has a way of its own on the CPU goes that of a GPU.
"""

import copy
from contextlib import contextmanager

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from graphmi import session
from graphmi.config import experiment
from graphmi.presets import preset_names
from graphmi.session import Session

DATA = "planted:num_users=40,num_items=60,interactions_per_user=8"
MODELS = [name for name in preset_names() if name not in ("popularity", "ease", "item-knn")]
OPTIONS = {
    "gradients clipped, weights averaged": (
        "comirec-sa",
        {"trainer__gradient_clip": 1.0, "trainer__weight_average": 0.9},
    ),
    "sparse": ("comirec-sa", {"model__sparse": True}),
    "sparse, row-wise": ("mf", {"model__sparse": True, "trainer__optimizer__row_wise": True}),
    "by popularity": ("sasrec", {"sampler": "PopularitySampler"}),
    "log-uniform": ("lightgcn", {"sampler": "LogUniformSampler"}),
    "in the batch": ("comirec-sa", {"sampler": "InBatchSampler"}),
    "items in blocks": ("lightgcn-softmax", {"sampler__block_size": 16}),
    "items in blocks, several interests": ("interest-gcn-softmax", {"sampler__block_size": 16}),
    "items in blocks, interests together": (
        "interest-gcn-softmax",
        {"sampler__block_size": 16, "loss__readout": "LogSumExpReadout", "loss__readout__temperature": 0.2},
    ),
    "edge by edge": ("interest-gcn", {"model__center": "edge_dot"}),
    "features": ("multi-interest-transformer", {"model__item_tower": "FeatureSum"}),
    "features in a graph": ("interest-gcn-softmax", {"model__item_tower": "FeatureSum"}),
}


class Lists(TorchFunctionMode):
    """Notes what is copied to the device: tensors made of lists of numbers, and numbers at places of tensors."""

    def __init__(self, found):
        super().__init__()
        self.found = found

    def __torch_function__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if func in (torch.tensor, torch.as_tensor) and out.device.type == "meta":
            self.found.append(func)
        if func is torch.Tensor.__setitem__ and args[0].device.type == "meta":
            _, places, value = args
            if not isinstance(value, torch.Tensor) and any(isinstance(each, torch.Tensor) for each in places):
                self.found.append(func)  # a number that is written where tensors say is copied
        return out


class Copies(TorchDispatchMode):
    """Notes plain copies from the CPU, which wait for the device without reading from it."""

    def __init__(self, found):
        super().__init__()
        self.found = found

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        sources, results = (
            {each.device.type for each in tree_leaves(part) if isinstance(each, torch.Tensor) and each.dim()}
            for part in ((args, kwargs), out)
        )
        if "cpu" in sources and "meta" in results and True not in (kwargs.get("non_blocking"), *args[2:3]):
            self.found.append(func)
        return out


@contextmanager
def watched():
    """Collect what waits for the device without reading from it."""
    found = []
    with Lists(found), Copies(found):
        yield found


class FromTheFirstBatch:
    """A loader that calls a function with its first batch: before it, an epoch is set up."""

    def __init__(self, loader, begin):
        self.loader, self.begin, self.generator = loader, begin, loader.generator

    def __iter__(self):
        for number, batch in enumerate(self.loader):
            if not number:
                self.begin()
            yield batch


class Device:
    """What a session needs of lightning-fabric."""

    world_size = 1

    def __init__(self, device):
        self.device = torch.device(device)

    def setup(self, step, optimizer):
        return step, optimizer

    def backward(self, loss):
        loss.backward()

    def clip_gradients(self, module, optimizer, max_norm, error_if_nonfinite):
        torch.nn.utils.clip_grad_norm_(module.parameters(), max_norm, error_if_nonfinite=error_if_nonfinite)


def train(monkeypatch, device, begin, name, **options):
    """Train for an epoch of several steps; ``begin`` is called with the first batch."""
    one = experiment(name, DATA, trainer__accelerator="cpu", replicates=0, **options)
    data = one.dataset()
    model, loader, sampler = one.build(data), one.loader(data.train), one.sampler(data.graph())
    loader.max_length = loader.max_length or getattr(model, "max_length", None)
    loader.generator, loader.device = torch.Generator(), device
    for size in {"batch_size", "users_per_batch"} & vars(loader).keys():
        setattr(loader, size, 12)
    draws = torch.Generator("cpu" if device == "meta" else device)
    monkeypatch.setattr(session, "generator", lambda *_: draws)
    monkeypatch.setattr(Session, "_means", lambda self, meter: {"steps": meter.steps})  # the look at the end
    parts = sampler, copy.deepcopy(one.loss).to(device)
    source, trainer = FromTheFirstBatch(loader, begin), one.trainer
    training = Session(
        Device(device), model.to(device), source, *parts, trainer._make_optimizer, 0, trainer.weight_average
    )
    row = training.train_epoch(trainer.gradient_clip, lambda *_: None)
    assert row["loss/steps"] > 2


@pytest.mark.parametrize("name", MODELS)
def test_a_step_waits_for_nothing(monkeypatch, name):
    with watched() as found:
        train(monkeypatch, "meta", found.clear, name)
    assert not found


@pytest.mark.parametrize(("name", "options"), OPTIONS.values(), ids=OPTIONS)
def test_nor_does_it_with_options(monkeypatch, name, options):
    with watched() as found:
        train(monkeypatch, "meta", found.clear, name, **options)
    assert not found


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore:Synchronization debug mode")
@pytest.mark.parametrize("name", MODELS)
def test_nor_does_it_on_a_gpu(monkeypatch, name):
    try:
        train(monkeypatch, "cuda", lambda: torch.cuda.set_sync_debug_mode("error"), name)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def _reads(x):
    return x.max().item()


def _branches(x):
    return 1 if x.max() > 0 else 0


def _lists(x):
    return x.tolist()


def _counts(x):
    return x.nonzero()


def _masks(x):
    return x[x > 0]


def _repeats(x):
    return x.repeat_interleave(x.long())


def _tells_apart(x):
    return x.unique()


def _brings_home(x):
    return x.cpu()


def _mixes(x):
    return x @ torch.ones(3)


@pytest.mark.parametrize(
    "wait", [_reads, _branches, _lists, _counts, _masks, _repeats, _tells_apart, _brings_home, _mixes]
)
def test_who_reads_from_the_device_is_found(wait):
    with pytest.raises((RuntimeError, NotImplementedError)):
        wait(torch.ones(3, device="meta"))


def test_copies_that_wait_are_found():
    there = torch.empty(3, device="meta")
    with watched() as found:
        torch.ones(3).to("meta", non_blocking=True)
        there.copy_(torch.ones(3), True)
        there * torch.tensor(2.0)  # a number, which goes along
        assert not found
        torch.ones(3).to("meta")
        there.copy_(torch.ones(3))
        torch.tensor([1.0, 2.0], device="meta")
    assert len(found) == 3
