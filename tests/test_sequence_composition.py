"""Every encoder under every extractor, in both kinds of batches, through all kinds of losses for one step."""

from functools import partial
from itertools import count, islice, product
from math import prod

import polars as pl
import pytest
import torch

from graphmi import losses, nn, samplers
from graphmi.config import experiment
from graphmi.data import Interactions, PrefixLoader, TargetLoader, to_graph
from graphmi.models import SequenceModel
from graphmi.typing import Batch

DIM, LENGTH, NUM_ITEMS = 8, 5, 15
SIZES = [1, 2, 3, 5, 9, 14]  # interactions of each user: longer than a history, and too short for a target
ENCODERS = {
    "identity": nn.IdentityEncoder,
    "transformer": partial(nn.TransformerEncoder, num_layers=1),
    "gru": nn.GRUEncoder,
}
SEVERAL = {
    "self-attentive": nn.SelfAttentiveExtractor,
    "last query": nn.LastQueryExtractor,
    "recent positions": nn.RecentPositions,
    "routing (MIND)": nn.DynamicRoutingExtractor,
    "routing (ComiRec)": partial(
        nn.DynamicRoutingExtractor, shared_map=False, random_logits=False, dynamic_interests=False
    ),
    "towers: mean": nn.UserTowers,
    "towers: attention": partial(nn.UserTowers, extractor=partial(nn.SelfAttentiveExtractor, num_interests=1)),
    "towers: gru": partial(nn.UserTowers, encoder=nn.GRUEncoder, extractor=nn.LastPosition),
    "towers: transformer": partial(nn.UserTowers, encoder=ENCODERS["transformer"], extractor=nn.LastPosition),
}
SINGLE = {"last position": nn.LastPosition, "mean": nn.MeanPooling}
SELECTORS = [
    nn.ArgmaxSelector(),
    nn.MeanSelector(),
    nn.SoftmaxSelector(similarity=nn.ProjectedInnerProduct(DIM)),
    nn.SampledSelector(),
    nn.InverseDistanceSelector(),
    nn.LabelAwareSelector(1.5),
]
READOUTS = [
    *(nn.SelectReadout(selector, anchor) for selector in SELECTORS for anchor in ("positive", "candidate")),
    *(nn.ExpectedReadout(selector) for selector in SELECTORS),
    nn.SelectReadout(similarity=nn.NegativeDistance()),
    nn.LogSumExpReadout(),
    nn.MixtureReadout(DIM),
    nn.JointReadout([nn.SelectReadout(nn.SampledSelector()), nn.LogSumExpReadout()]),
]
OBJECTIVES = [
    losses.SampledSoftmaxLoss(0.2),
    losses.BPRLoss(),
    losses.BCELoss(),
    losses.GBCELoss(),
    losses.TripletLoss(),
]
WEIGHTINGS = [losses.UniformWeighting(), losses.HardNegativeWeighting(2.0), losses.HardNegativeWeighting(2.0, True)]
ADDED = [losses.EmbeddingNorm(), losses.InterestRepulsion(), losses.AlignmentUniformity()]
SAMPLERS = [
    partial(samplers.UniformSampler, num_negatives=4),
    partial(samplers.UniformSampler, num_negatives=4, shared=True),
    partial(samplers.PopularitySampler, num_negatives=4),
    partial(samplers.LogUniformSampler, num_negatives=4, shared=True),
    samplers.AllItemsSampler,
    samplers.InBatchSampler,
    lambda graph: samplers.MixedSampler(graph, [samplers.InBatchSampler, samplers.UniformSampler]),
]


@pytest.fixture(scope="module")
def world():
    generator = torch.Generator().manual_seed(0)
    rows = [
        (user, int(torch.randint(NUM_ITEMS, (), generator=generator)), time)
        for user, n in enumerate(SIZES)
        for time in range(n)
    ]
    rows += [(99, item, item) for item in range(NUM_ITEMS)]  # so that each item is there; this user knows them all
    return Interactions.from_frame(pl.DataFrame(rows, schema=["user_id", "item_id", "time"], orient="row"))


def batches(world):
    """The two kinds of batches, and what is at their edges."""
    loader = partial(TargetLoader, world, max_length=LENGTH)
    prefixes = partial(PrefixLoader, world, max_length=LENGTH)
    yield "targets", next(iter(loader(batch_size=20)))
    yield "one target", next(iter(loader(batch_size=1)))
    yield "prefixes", next(iter(prefixes(batch_size=40)))
    yield "one prefix", next(iter(prefixes(batch_size=1, max_length=1)))
    history = torch.tensor([[0, 0, 0], [4, 0, 0], [3, 1, 2]])
    mask = torch.arange(3) < torch.tensor([[0], [1], [3]])
    yield "no history, one item, three", Batch(torch.arange(3), torch.tensor([5, 4, 0]), history=history, mask=mask)
    yield "no history", Batch(torch.tensor([0]), torch.tensor([5]), history=history[:1], mask=mask[:1])
    yield "no history at all", Batch(torch.tensor([0]), torch.tensor([5]), history=history[:1, :1], mask=mask[:1, :1])


def test_the_batches_are_what_they_are_called(world):
    found = dict(batches(world))
    assert found["targets"].prefix is None
    assert len(found["targets"].positive) == sum(size > 1 for size in SIZES) + 1
    assert len(found["prefixes"].positive) > len(found["prefixes"].history) > 1
    assert len(found["one target"].positive) == len(found["one prefix"].positive) == 1
    lengths = [mask.sum(1).min() for name, mask in ((name, batch.mask) for name, batch in found.items())]
    assert min(lengths) == 0


def composition(number, regularizers):
    """Return one of the 22 * 5 * 3 * 7 ways to put the rest together; each number up to that is another."""
    readout, objective, weighting, sampler = (
        axis[number % len(axis)] for axis in (READOUTS, OBJECTIVES, WEIGHTINGS, SAMPLERS)
    )
    added = [(0.1, regularizer) for regularizer in regularizers]
    return losses.MultiInterestLoss(readout, objective, weighting, added, user_balance=0.5), sampler


def one_step_of_each(world, model, number=0):
    """Take a step with each kind of batch, each with the next six ways to put the rest together."""
    graph, turns = to_graph(world), count(number)
    for name, batch in batches(world):
        out = model(batch)
        assert len(out.interests) == len(batch.positive)
        known = any(part is not None and part.requires_grad for part in (out.routing, out.routing_variance))
        total = 0.0
        for turn in islice(turns, 6):
            loss, sampler = composition(turn, [*ADDED, losses.RoutingVariance()] if known else ADDED)
            total = total + loss(out, batch.positive, sampler(graph)(batch.user, batch.positive), user=batch.user)
        model.zero_grad()
        total.backward()
        assert total.isfinite(), name
        for parameter in model.parameters():
            assert parameter.grad is None or parameter.grad.isfinite().all(), name
        assert model.embedding.weight.grad.abs().sum() > 0, name
        if name in ("targets", "prefixes"):
            assert all(parameter.grad is not None for parameter in model.parameters()), name


def test_compositions_are_all_different():
    axes = (READOUTS, OBJECTIVES, WEIGHTINGS, SAMPLERS)
    ways = prod(len(axis) for axis in axes)
    assert len({tuple(number % len(axis) for axis in axes) for number in range(ways)}) == ways


CASES = [*product(SEVERAL, ENCODERS, [1, 3]), *product(SINGLE, ENCODERS, [None])]


@pytest.mark.parametrize("case", range(len(CASES)), ids=[f"{a} over {b}, {k or 1}" for a, b, k in CASES])
def test_everything_composes(world, case):
    extractor, encoder, num_interests = CASES[case]
    make = SINGLE[extractor] if num_interests is None else partial(SEVERAL[extractor], num_interests=num_interests)
    torch.manual_seed(case)
    model = SequenceModel(to_graph(world), DIM, LENGTH, encoder=ENCODERS[encoder], extractor=make)
    one_step_of_each(world, model, number=43 * case)


@pytest.mark.parametrize("tower", [nn.ItemTower, nn.FeatureSum])
def test_item_towers_compose(world, tower):
    graph = to_graph(world.with_vectors(world.items.ids, torch.eye(NUM_ITEMS, 4)))
    model = SequenceModel(graph, DIM, LENGTH, item_tower=tower, dropout=0.2, normalize=True)
    one_step_of_each(world, model)


def test_users_are_balanced_when_all_prefixes_train():
    """The training loop tells the loss whose the positives are."""
    data = "planted:num_users=40,num_items=60,interactions_per_user=8"
    options = {"trainer__epochs": 1, "trainer__accelerator": "cpu", "replicates": 0, "loss__user_balance": 0.5}
    one = experiment("sasrec", data, **options)
    assert one.train(one.dataset()).history.pairs > 40
