"""Every selector, readout, objective, weighting, regularizer and sampler, together for one step."""

from copy import deepcopy

import pytest
import torch
from torch_geometric.data import HeteroData

from graphmi import losses, nn, samplers
from graphmi.typing import Representations

NUM_ITEMS, DIM = 6, 4
KNOWN = [(0, 0), (0, 1), (1, 4), *((2, item) for item in range(NUM_ITEMS)), (3, 1)]
USERS, POSITIVES = torch.tensor([0, 1, 2, 3, 3]), torch.tensor([1, 4, 2, 1, 1])

SELECTORS = [
    nn.ArgmaxSelector(),
    nn.MeanSelector(),
    nn.SoftmaxSelector(),
    nn.SoftmaxSelector(similarity=nn.ProjectedInnerProduct(DIM)),
    nn.SampledSelector(),
    nn.InverseDistanceSelector(),
    nn.LabelAwareSelector(1.5),
]
READOUTS = [nn.LogSumExpReadout(), nn.SelectReadout(similarity=nn.NegativeDistance())]
READOUTS += [nn.SelectReadout(selector, anchor) for selector in SELECTORS for anchor in ("positive", "candidate")]
READOUTS += [nn.ExpectedReadout(selector) for selector in SELECTORS]
OBJECTIVES = [
    losses.BPRLoss(),
    losses.SampledSoftmaxLoss(0.2),
    losses.BCELoss(),
    losses.GBCELoss(NUM_ITEMS),
    losses.TripletLoss(),
]
WEIGHTINGS = [
    losses.UniformWeighting(),
    losses.HardNegativeWeighting(0.0),
    losses.HardNegativeWeighting(2.0),
    losses.HardNegativeWeighting(2.0, detach_importance=True),
]
REGULARIZERS = [
    losses.EmbeddingNorm(),
    losses.RoutingVariance(),
    losses.InterestRepulsion(),
    losses.AlignmentUniformity(),
]
SAMPLERS = [
    samplers.UniformSampler,
    lambda g: samplers.UniformSampler(g, 3, shared=True),
    lambda g: samplers.PopularitySampler(g, 3),
    lambda g: samplers.LogUniformSampler(g, 3, shared=True),
    samplers.AllItemsSampler,
    samplers.InBatchSampler,
    lambda g: samplers.MixedSampler(g, [samplers.InBatchSampler, samplers.PopularitySampler]),
]


@pytest.fixture(scope="module")
def graph():
    graph = HeteroData()
    graph["user"].num_nodes, graph["item"].num_nodes = 4, NUM_ITEMS
    graph["user", "interacts", "item"].edge_index = torch.tensor(KNOWN).T
    return graph


def one_step(loss, negatives, users=5, num_interests=3, item_vectors=1, scale=1.0, masked=False):
    generator = torch.Generator().manual_seed(0)
    interests = (scale * torch.randn(users, num_interests, DIM, generator=generator)).requires_grad_()
    items = (scale * torch.randn(NUM_ITEMS, item_vectors * DIM, generator=generator)).requires_grad_()
    logits = torch.randn(users, num_interests, 4, generator=generator, requires_grad=True)
    mask = torch.ones(users, num_interests, dtype=torch.bool)
    mask[1:, 1:] = not masked
    value = loss(
        Representations(interests, items, logits.softmax(-1), interest_mask=mask), POSITIVES[:users], negatives
    )
    value.backward()
    assert value.isfinite()
    assert interests.grad.isfinite().all()
    assert items.grad.isfinite().all()
    return value


@pytest.mark.parametrize("make", SAMPLERS)
@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda o: type(o).__name__)
def test_everything_composes(graph, make, objective):
    sampler = make(graph)
    negatives = sampler(USERS, POSITIVES, torch.Generator().manual_seed(0))
    for readout in READOUTS:  # one backward pass for all weightings: what is not finite stays so in a sum
        added = [[], [], [(0.1, regularizer) for regularizer in REGULARIZERS], []]
        parts = zip(WEIGHTINGS, added, strict=True)
        one_step(losses.SumLoss([losses.MultiInterestLoss(readout, objective, *part) for part in parts]), negatives)


@pytest.mark.parametrize("make", SAMPLERS)
def test_edge_cases_stay_finite(graph, make):
    sampler = make(graph)
    for index, readout in enumerate(READOUTS):
        objective = OBJECTIVES[index % len(OBJECTIVES)]
        loss = losses.MultiInterestLoss(readout, objective, WEIGHTINGS[2], [(0.1, r) for r in REGULARIZERS])
        negatives = sampler(USERS, POSITIVES)
        one_step(loss, negatives, num_interests=1)
        one_step(loss, negatives, item_vectors=2)
        one_step(loss, negatives, masked=True)
        one_step(loss, negatives, scale=100.0)  # scores of 1e4
        one_step(loss, sampler(USERS[:1], POSITIVES[:1]), users=1)


@pytest.mark.parametrize("table", [True, False])
@pytest.mark.parametrize("make", SAMPLERS)
def test_samplers_do_not_wait_for_the_device(monkeypatch, graph, make, table):
    """Tensors without data cannot answer: whatever reads a value, or has a shape that depends on one, fails."""
    if not table:
        monkeypatch.setattr("graphmi.samplers.base._MAX_TABLE", 0)
    negatives = make(graph).to("meta")(USERS.to("meta"), POSITIVES.to("meta"))
    assert negatives.item.device.type == "meta"


def test_losses_do_not_wait_for_the_device(graph):
    negatives = samplers.PopularitySampler(graph, 3).to("meta")(USERS.to("meta"), POSITIVES.to("meta"))
    interests = torch.randn(5, 3, DIM, device="meta", requires_grad=True)
    items = torch.randn(NUM_ITEMS, DIM, device="meta", requires_grad=True)
    mask = torch.ones(5, 3, dtype=torch.bool, device="meta")
    out = Representations(interests, items, torch.rand(5, 3, 4, device="meta"), interest_mask=mask)
    for index, readout in enumerate(READOUTS):
        objective, weighting = OBJECTIVES[index % len(OBJECTIVES)], WEIGHTINGS[index % len(WEIGHTINGS)]
        added = [(0.1, REGULARIZERS[index % len(REGULARIZERS)])]
        loss = losses.MultiInterestLoss(deepcopy(readout).to("meta"), objective, weighting, added)
        loss(out, POSITIVES.to("meta"), negatives).backward()
