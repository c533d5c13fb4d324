"""Sequence models with sparse gradients of the item vectors: the same model, and it trains and goes on as others do."""

from functools import cache, partial

import pytest
import torch
from torch import nn

from graphmi.config import experiment
from graphmi.data import Histories, PrefixLoader, TargetLoader, planted, to_graph
from graphmi.evaluator import Evaluator
from graphmi.losses import EmbeddingNorm, MultiInterestLoss, SampledSoftmaxLoss
from graphmi.models import SequenceModel, sequence
from graphmi.nn import FeatureSum, ItemTower, LastPosition, MeanPooling, SelectReadout, TransformerEncoder
from graphmi.nn.extract import packed
from graphmi.optim import LazyAdam
from graphmi.run import RunFolder
from graphmi.samplers import AllItemsSampler, UniformSampler
from graphmi.trainer import Trainer
from graphmi.typing import Batch

OPTIONS = {
    "plain": {},
    "cosine": {"normalize": True},
    "tower": {"item_tower": ItemTower, "normalize": True},
    "features": {"item_tower": FeatureSum},
    "sasrec": {"encoder": TransformerEncoder, "extractor": LastPosition},
}


@cache
def world():
    data = planted(num_users=40, num_items=60, interactions_per_user=8)
    return data, to_graph(data)


def build(*, sparse, **options):
    torch.manual_seed(0)
    return SequenceModel(world()[1], 8, 6, sparse=sparse, **options)


def loss():
    return MultiInterestLoss(SelectReadout(), SampledSoftmaxLoss(), regularizers=[(0.1, EmbeddingNorm())])


def gradients(model, loader, make=None, loss_of=None):
    batch = next(iter(loader(world()[0], 30, max_length=6, generator=torch.Generator().manual_seed(0))))
    make = make or partial(UniformSampler, num_negatives=5, shared=True)
    sampler = make(world()[1])
    negatives = sampler(batch.user, batch.positive, torch.Generator().manual_seed(0))
    torch.manual_seed(0)  # dropout
    value = (loss_of or loss())(model(batch), batch.positive, negatives)
    value.backward()
    return value


@pytest.mark.parametrize("loader", [TargetLoader, PrefixLoader])
@pytest.mark.parametrize("name", OPTIONS)
def test_same_loss_and_gradients(name, loader):
    model, other = (build(sparse=s, dropout=0.1, **OPTIONS[name]) for s in (True, False))
    torch.testing.assert_close(gradients(model, loader), gradients(other, loader))
    assert model.embedding.weight.grad.is_sparse
    for ours, theirs in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(ours.grad.to_dense(), theirs.grad)


@pytest.mark.parametrize("block_size", [None, 16])
def test_all_items_as_negatives(block_size):
    loss_of = MultiInterestLoss(SelectReadout(anchor="candidate"), SampledSoftmaxLoss())
    model, other = (build(sparse=s, normalize=True) for s in (True, False))
    make = partial(AllItemsSampler, block_size=block_size)
    torch.testing.assert_close(*(gradients(m, TargetLoader, make, loss_of) for m in (model, other)))
    torch.testing.assert_close(model.embedding.weight.grad.to_dense(), other.embedding.weight.grad)


@pytest.mark.parametrize("skipped", [True, False])
def test_padding_touches_no_row(monkeypatch, skipped):
    for module in (packed, sequence):
        monkeypatch.setattr(module, "pays", lambda _: skipped)
    model = build(sparse=True, extractor=MeanPooling)
    history, mask = torch.tensor([[4, 0, 0], [7, 4, 0]]), torch.tensor([[True, False, False], [True, True, False]])
    model(Batch(user=torch.arange(2), history=history, mask=mask)).interests.sum().backward()
    assert model.embedding.weight.grad.coalesce().indices().flatten().tolist() == [4, 7]


@pytest.mark.parametrize("name", OPTIONS)
def test_the_same_weights_are_ranked_the_same(name):
    data, _ = world()
    evaluator = Evaluator(data, Nothing(), history=Histories(data))
    found, expected = (evaluator(build(sparse=s, **OPTIONS[name])).per_user for s in (True, False))
    assert all(torch.equal(found[metric], expected[metric]) for metric in expected)


class Nothing:
    user = item = torch.empty(0, dtype=torch.long)


def fit(epochs, *, sparse=True, negatives=3, folder=None, resume=False, **options):
    data, graph = world()
    model = build(sparse=sparse)
    trainer = Trainer(epochs=epochs, learning_rate=0.01, accelerator="cpu", progress=False, **options)
    loader = TargetLoader(data, 16, max_length=6, generator=torch.Generator().manual_seed(0))
    sampler = UniformSampler(graph, negatives, shared=True, reject_known=False)
    history = trainer.fit(model, loader, sampler, loss(), lambda _: {"ndcg@20": 0.0}, folder=folder, resume=resume)
    return model, [row["loss"] for row in history.rows]


@pytest.mark.parametrize("average", [None, 0.9])
def test_trains_as_adam_does_where_every_item_is_a_negative(average):
    """2,000 negatives of 60 items leave none out. An average reads the parameters, so it takes in all rows."""
    model, found = fit(3, negatives=2000, weight_average=average)
    other, expected = fit(3, negatives=2000, weight_average=average, sparse=False, optimizer=torch.optim.Adam)
    assert found == pytest.approx(expected, rel=1e-4)
    torch.testing.assert_close(model.embedding.weight, other.embedding.weight, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("row_wise", [False, True])
def test_resumed_equals_uninterrupted(tmp_path, row_wise):
    fit_lazily = partial(fit, optimizer=partial(LazyAdam, row_wise=row_wise))
    _, losses = fit_lazily(4, folder=RunFolder(tmp_path / "whole"))
    fit_lazily(2, folder=RunFolder(tmp_path / "parts"))
    _, again = fit_lazily(4, folder=RunFolder(tmp_path / "parts"), resume=True)
    assert again == losses
    final, resumed = (RunFolder(tmp_path / name).read_state() for name in ("whole", "parts"))
    assert torch.equal(resumed["model"]["embedding.weight"], final["model"]["embedding.weight"])
    torch.testing.assert_close(resumed["optimizer"], final["optimizer"], rtol=0, atol=0)


def test_the_command_names_the_optimizer_and_a_preset_trains(tmp_path):
    options = {"model__sparse": True, "trainer__optimizer": "LazyAdam", "trainer__optimizer__row_wise": True}
    data = "planted:num_users=40,num_items=60,interactions_per_user=8"
    one = experiment("sasrec", data, replicates=0, trainer__epochs=1, trainer__accelerator="cpu", **options)
    made = one.trainer._make_optimizer([nn.Parameter(torch.ones(1))])
    assert (type(made), made.row_wise) == (LazyAdam, True)
    trained = one.train(one.dataset(), RunFolder(tmp_path))
    assert trained.model.embedding.sparse
    state = RunFolder(tmp_path).read_state()["optimizer"]["state"]
    assert sum("row_square" in entry for entry in state.values()) == 1


def test_clipping_sparse_gradients_is_refused():
    with pytest.raises(
        ValueError, match=r"'gradient_clip' = 0\.5 needs dense gradients, and .* set 'sparse' of the model to false"
    ):
        fit(1, gradient_clip=0.5)
    fit(1, gradient_clip=0.5, sparse=False)


def test_optimizers_of_dense_gradients_are_refused():
    with pytest.raises(ValueError, match=r"'optimizer' does not .* LazyAdam, or set 'sparse' of the model to false"):
        fit(1, optimizer=torch.optim.AdamW)
    fit(1, optimizer=torch.optim.AdamW, sparse=False)
