"""Several positives per user: the same loss and gradients as the pairs one by one."""

from dataclasses import replace

import pytest
import torch

from graphmi.losses import (
    BPRLoss,
    EmbeddingNorm,
    HardNegativeWeighting,
    MultiInterestLoss,
    RoutingVariance,
    SampledSoftmaxLoss,
)
from graphmi.nn import (
    SelectReadout,
)
from graphmi.samplers import AllItemsSampler, PopularitySampler, UniformSampler
from graphmi.typing import Negatives

from .few_users import DIM, READOUTS, make_batch, make_graph


def one_by_one(loss, out, positive, negatives, row):
    """Add up the losses of batches of a single pair."""
    total = 0.0
    for p, r in zip(positive, row.tolist(), strict=True):
        own = slice(r, r + 1)
        single = replace(
            out, interests=out.interests[own], interest_mask=out.interest_mask[own], ego_users=out.ego_users[own]
        )
        item = negatives.item if negatives.item.dim() == 1 else negatives.item[own]
        valid = None if negatives.valid is None else negatives.valid[own]
        total = total + loss(single, p.view(1), Negatives(item, valid=valid))
    return total / len(positive)


@pytest.mark.parametrize("name", list(READOUTS))
@pytest.mark.parametrize("objective", [SampledSoftmaxLoss(0.5), BPRLoss()], ids=["softmax", "bpr"])
@pytest.mark.parametrize(
    "sampler",
    [
        AllItemsSampler(make_graph()),
        AllItemsSampler(make_graph(), reject_known=False),
        UniformSampler(make_graph(), 5),
        UniformSampler(make_graph(), 5, shared=True),
    ],
    ids=["all", "all with known", "uniform", "shared"],
)
@pytest.mark.parametrize("beta", [None, 0.7])
def test_equals_the_pairs_one_by_one(name, objective, sampler, beta):
    weighting = None if beta is None else HardNegativeWeighting(beta)
    loss = MultiInterestLoss(READOUTS[name], objective, weighting, [(0.1, EmbeddingNorm())])
    out, users, positive, row = make_batch()
    ego = torch.randn(3, DIM, dtype=torch.double, requires_grad=True)
    out, parameters = replace(out, ego_users=ego, ego_items=out.items), (out.interests, out.items, ego)
    negatives = sampler(users, positive, torch.Generator().manual_seed(0))
    expected = one_by_one(loss, out, positive, negatives, row)
    actual = loss(out, positive, negatives, row)
    torch.testing.assert_close(actual, expected)
    for a, b in zip(torch.autograd.grad(actual, parameters), torch.autograd.grad(expected, parameters), strict=True):
        torch.testing.assert_close(a, b)


def test_a_full_softmax_scores_each_user_once():
    out, users, positive, row = make_batch()
    negatives = AllItemsSampler(make_graph())(users, positive)
    rows_of = {"candidate": 3, "logsumexp": 3, "argmax": 3, "mixture": 3, "joint": 3}
    for name, rows in (rows_of | {"inverse distance": None, "joint with soft": None}).items():
        scores = READOUTS[name].grouped(out.interests, out.items[positive], out.items, row, out.interest_mask)
        assert (None if scores is None else len(scores.neg)) == rows
    assert len(negatives.valid) == 3


def test_regularizers_see_every_pair():
    out, users, positive, row = make_batch()
    out = replace(out, routing=torch.rand(3, 4, 7).requires_grad_().softmax(-1), mask=torch.rand(3, 7) < 0.7)
    variance = replace(out, routing=None, mask=None, routing_variance=torch.rand(3, 4).requires_grad_())
    negatives = AllItemsSampler(make_graph())(users, positive)
    for known in (out, variance):
        penalty = MultiInterestLoss(SelectReadout(), BPRLoss(), regularizers=[(1.0, RoutingVariance())])
        each = [RoutingVariance()(_row(known, user), positive, negatives) for user in row.tolist()]
        actual = penalty.terms(known, positive, negatives, row)["RoutingVariance"]
        torch.testing.assert_close(actual, torch.stack(each).mean())


def _row(out, user):
    parts = ("routing", "mask", "routing_variance")
    own = {name: getattr(out, name)[user : user + 1] for name in parts if getattr(out, name) is not None}
    return replace(out, interests=out.interests[user : user + 1], **own)


@pytest.mark.parametrize("objective", [SampledSoftmaxLoss(0.5), BPRLoss()], ids=["softmax", "bpr"])
@pytest.mark.parametrize("name", ["candidate", "argmax"])
def test_negatives_of_all_users_may_have_a_proposal(name, objective):
    out, _, positive, row = make_batch()
    others = torch.tensor([item for item in range(len(out.items)) if item not in positive])
    negatives = Negatives(others, torch.linspace(-2, 0, len(others)).double(), excludes_known=True)
    loss = MultiInterestLoss(READOUTS[name], objective)
    pairs = replace(out, interests=out.interests[row], interest_mask=out.interest_mask[row])
    torch.testing.assert_close(loss(out, positive, negatives, row), loss(pairs, positive, negatives))


def test_samplers_that_correct_the_positive_ask_for_pairs():
    _, users, positive, _ = make_batch()
    with pytest.raises(ValueError, match="one positive per user"):
        PopularitySampler(make_graph(), 3)(users, positive)


@pytest.mark.parametrize("balance", [0.0, 0.5, 1.0])
def test_user_balance_weighs_users_by_a_power_of_their_activity(balance):
    out, users, positive, row = make_batch()
    negatives = AllItemsSampler(make_graph())(users, positive)
    parts = [SelectReadout(), SampledSoftmaxLoss()]
    single = [
        MultiInterestLoss(*parts)(out, p.view(1), negatives, r.view(1)) for p, r in zip(positive, row, strict=True)
    ]
    weight = [float((row == r).sum()) ** -balance for r in row]
    expected = sum(w * loss for w, loss in zip(weight, single, strict=True)) / sum(weight)
    torch.testing.assert_close(MultiInterestLoss(*parts, user_balance=balance)(out, positive, negatives, row), expected)


def test_user_balance_needs_whole_users():
    out, users, positive, _ = make_batch()
    loss = MultiInterestLoss(SelectReadout(), BPRLoss(), user_balance=1.0)
    with pytest.raises(ValueError, match="use a UserLoader or a PrefixLoader"):
        loss(out, positive[:3], UniformSampler(make_graph(), 2)(users, positive))
    with pytest.raises(ValueError, match="'user_balance' must be from 0 to 1"):
        MultiInterestLoss(SelectReadout(), BPRLoss(), user_balance=2)
