"""Every selector, readout, objective, weighting, regularizer and sampler, together for one step."""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch_geometric.data import HeteroData

from graphmi import losses, nn, samplers
from graphmi.typing import Negatives, Representations

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
READOUTS = [nn.LogSumExpReadout(), nn.LogSumExpReadout(temperature=0.1), nn.MixtureReadout(DIM)]
READOUTS += [nn.SelectReadout(similarity=nn.NegativeDistance()), nn.MixtureReadout(DIM, nn.NegativeDistance())]
READOUTS += [nn.SelectReadout(selector, anchor) for selector in SELECTORS for anchor in ("positive", "candidate")]
READOUTS += [nn.ExpectedReadout(selector) for selector in SELECTORS]
READOUTS += [
    nn.JointReadout([nn.SelectReadout(nn.SampledSelector()), nn.LogSumExpReadout()]),
    nn.JointReadout([nn.MixtureReadout(DIM), nn.ExpectedReadout(nn.SoftmaxSelector()), nn.SelectReadout()]),
]
OBJECTIVES = [
    losses.BPRLoss(),
    losses.SampledSoftmaxLoss(0.2),
    losses.BCELoss(),
    losses.GBCELoss(),
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


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda o: type(o).__name__)
def test_nothing_but_accidental_hits_is_no_negative(objective):
    """A loss of the positive alone; 0 where an objective only compares."""
    negatives = Negatives(POSITIVES.unsqueeze(1).expand(-1, 4), torch.randn(5, 4))
    for readout in READOUTS:
        for weighting in WEIGHTINGS:
            value = one_step(losses.MultiInterestLoss(readout, objective, weighting), negatives)
            assert value == 0 or isinstance(objective, losses.BCELoss | losses.GBCELoss)


def deterministic(readout):
    """Tell whether the same input gives the same output: not where an interest is drawn."""
    return not any(isinstance(part, nn.SampledSelector) for part in readout.modules())


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda o: type(o).__name__)
def test_gradients(objective):
    generator = torch.Generator().manual_seed(0)
    interests = torch.randn(5, 3, DIM, dtype=torch.double, generator=generator, requires_grad=True)
    items = torch.randn(NUM_ITEMS, DIM, dtype=torch.double, generator=generator, requires_grad=True)
    mask = torch.tensor([[True] * 3] * 3 + [[True, False, True]] * 2)
    drawn = torch.tensor([[1, 1, 1], [5, 0, 4], [3, 0, 1], [5, 4, 2], [0, 1, 2]])  # the first row has hits only
    negatives = Negatives(drawn, torch.randn(5, 3, generator=generator).double(), torch.zeros(5).double())
    for readout in filter(deterministic, READOUTS):
        for weighting in (WEIGHTINGS[0], WEIGHTINGS[2]):
            loss = losses.MultiInterestLoss(deepcopy(readout).double(), objective, weighting)

            def value(interests, items, loss=loss):
                return loss(Representations(interests, items, interest_mask=mask), POSITIVES, negatives)

            assert torch.autograd.gradcheck(value, (interests, items), fast_mode=True)


class TestUserByUser:
    """Batches of whole users: the same loss as their pairs one by one, whatever is composed."""

    users, row = torch.tensor([1, 0, 3]), torch.tensor([0, 1, 1, 2])
    positive = torch.tensor([4, 0, 1, 1])

    @pytest.mark.parametrize("make", [*SAMPLERS[:2], samplers.AllItemsSampler])
    @pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda o: type(o).__name__)
    def test_equals_pairs(self, graph, make, objective):
        generator = torch.Generator().manual_seed(0)
        interests = torch.randn(3, 3, DIM, generator=generator)
        out = Representations(interests, torch.randn(NUM_ITEMS, DIM, generator=generator))
        negatives = make(graph)(self.users, self.positive, generator)
        pairs = replace(out, interests=interests[self.row])
        item = negatives.item if negatives.item.dim() == 1 else negatives.item[self.row]
        valid = None if negatives.valid is None else negatives.valid[self.row]
        repeated = Negatives(item, valid=valid, excludes_known=True)
        for readout in READOUTS:
            for weighting in WEIGHTINGS:
                loss = losses.MultiInterestLoss(readout, objective, weighting, user_balance=0.5)
                torch.manual_seed(0)
                actual = loss(out, self.positive, negatives, self.row)
                assert actual.isfinite()
                if getattr(readout, "anchor", None) == "candidate" and not deterministic(readout):
                    continue  # draws for every item, and there are fewer items here
                torch.manual_seed(0)
                torch.testing.assert_close(actual, loss(pairs, self.positive, repeated, user=self.row))

    @pytest.mark.parametrize("make", [*SAMPLERS[2:4], *SAMPLERS[5:]])
    def test_who_corrects_the_positive_says_so(self, graph, make):
        with pytest.raises(ValueError, match="one positive per user"):
            make(graph)(self.users, self.positive)


@pytest.mark.parametrize("table", [True, False])
@pytest.mark.parametrize("make", SAMPLERS)
def test_samplers_do_not_wait_for_the_device(monkeypatch, graph, make, table):
    """Tensors without data cannot answer: whatever reads a value, or has a shape that depends on one, fails."""
    if not table:
        monkeypatch.setattr("graphmi.samplers.known_items._MAX_TABLE", 0)
    negatives = make(graph).to("meta")(USERS.to("meta"), POSITIVES.to("meta"))
    assert negatives.item.device.type == "meta"


def test_losses_do_not_wait_for_the_device(graph):
    negatives = samplers.PopularitySampler(graph, 3).to("meta")(USERS.to("meta"), POSITIVES.to("meta"))
    interests = torch.randn(5, 3, DIM, device="meta", requires_grad=True)
    items = torch.randn(NUM_ITEMS, DIM, device="meta", requires_grad=True)
    mask = torch.ones(5, 3, dtype=torch.bool, device="meta")
    out = Representations(interests, items, torch.rand(5, 3, 4, device="meta", requires_grad=True), interest_mask=mask)
    for index, readout in enumerate(READOUTS):
        objective, weighting = OBJECTIVES[index % len(OBJECTIVES)], WEIGHTINGS[index % len(WEIGHTINGS)]
        added = [(0.1, REGULARIZERS[index % len(REGULARIZERS)])]
        loss = losses.MultiInterestLoss(deepcopy(readout).to("meta"), objective, weighting, added, user_balance=0.5)
        loss(out, POSITIVES.to("meta"), negatives, user=USERS.to("meta")).backward()
