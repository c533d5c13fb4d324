"""A subclass that overrides one method gets no shortcut past it, whatever the batch looks like."""

import pytest
import torch

from graphmi.losses import BPRLoss, GBCELoss, MultiInterestLoss, SampledSoftmaxLoss, UniformWeighting
from graphmi.nn import ArgmaxSelector, ExpectedReadout, LogSumExpReadout, MixtureReadout, SelectReadout, SoftmaxSelector
from graphmi.typing import Negatives, Representations

NUM_ITEMS, POSITIVE, ROW = 9, torch.tensor([0, 1, 2, 3]), torch.tensor([0, 0, 1, 1])
NEGATIVES = {
    "own": Negatives(torch.tensor([[5, 6, 7], [6, 7, 8], [8, 5, 4], [4, 7, 6]])),
    "shared": Negatives(torch.tensor([4, 6, 8])),
    "all": Negatives(torch.arange(NUM_ITEMS), all_items=True),
}
batches = pytest.mark.parametrize("grouped", [False, True])
negatives = pytest.mark.parametrize("kind", NEGATIVES)


def value(loss, kind, grouped):
    generator = torch.Generator().manual_seed(0)
    interests, items = torch.randn(4, 2, 3, generator=generator), torch.randn(NUM_ITEMS, 3, generator=generator)
    drawn, row = NEGATIVES[kind], None
    if grouped:
        interests, row = interests[:2], ROW
        known = torch.zeros(2, NUM_ITEMS, dtype=torch.bool).index_put_((ROW, POSITIVE), torch.tensor(True))
        valid = ~known if kind == "all" else None
        drawn = Negatives(drawn.item[:2] if kind == "own" else drawn.item, None, None, valid, True, kind == "all")
    out = Representations(interests.requires_grad_(), items.requires_grad_())
    return loss(out, POSITIVE, drawn, row)


def doubled(base):
    """Return a subclass whose scores are twice those of the class."""

    class Doubled(base):
        def forward(self, *arguments):
            scores = super().forward(*arguments)
            return scores._replace(pos=2 * scores.pos, neg=2 * scores.neg)

    return Doubled


@batches
@negatives
@pytest.mark.parametrize("objective", [SampledSoftmaxLoss, BPRLoss])
@pytest.mark.parametrize(
    ("base", "arguments"),
    [
        (SelectReadout, ()),
        (SelectReadout, (None, "candidate")),
        (ExpectedReadout, (SoftmaxSelector(),)),
        (LogSumExpReadout, ()),
        (MixtureReadout, (3,)),
    ],
)
def test_scores_of_a_readout(base, arguments, objective, kind, grouped):
    class Plain(base):
        def forward(self, *arguments):
            return super().forward(*arguments)

    plain, twice = (
        value(MultiInterestLoss(make(*arguments), objective()), kind, grouped) for make in (Plain, doubled(base))
    )
    torch.testing.assert_close(plain, value(MultiInterestLoss(base(*arguments), objective()), kind, grouped))
    assert not plain.isclose(twice, rtol=1e-3)


class Late(SampledSoftmaxLoss):
    def forward(self, pos, neg, correction=None):
        return super().forward(pos - 5.0, neg, correction)


class LateGBCE(GBCELoss):
    def forward(self, pos, neg, correction=None):
        return super().forward(pos - 5.0, neg, correction)


class Twice(SampledSoftmaxLoss):
    def partition(self, *arguments):
        return super().partition(*arguments) + 5.0


@batches
@negatives
@pytest.mark.parametrize("make", [Late, LateGBCE, Twice])
def test_what_an_objective_makes_of_scores(make, kind, grouped):
    own, plain = (value(MultiInterestLoss(SelectReadout(), each()), kind, grouped) for each in (make, make.__base__))
    assert own > plain + 0.1


def test_an_objective_learns_the_size_of_each_catalogue_anew():
    own = LateGBCE()
    pos, neg = torch.zeros(2), torch.zeros(2, 3)
    for num_items in (50, 9):
        torch.testing.assert_close(own.for_catalogue(num_items)(pos, neg), LateGBCE(num_items)(pos, neg))


def test_an_objective_with_a_forward_of_its_own_has_no_blocks():
    out = Representations(torch.ones(4, 2, 3), torch.ones(NUM_ITEMS, 3))
    blocks = Negatives(torch.arange(NUM_ITEMS), all_items=True, block_size=4, known=POSITIVE.unsqueeze(1))
    assert MultiInterestLoss(SelectReadout(), SampledSoftmaxLoss())(out, POSITIVE, blocks).isfinite()
    with pytest.raises(ValueError, match="Late cannot take its negatives in blocks"):
        MultiInterestLoss(SelectReadout(), Late())(out, POSITIVE, blocks)


def test_an_objective_that_says_that_it_is_a_softmax_keeps_its_ways():
    class Told(SampledSoftmaxLoss):
        softmax = True

        def forward(self, *arguments):
            return super().forward(*arguments)

    assert (Late.softmax, Told.softmax, SampledSoftmaxLoss.softmax) == (False, True, True)
    assert Told.partition is SampledSoftmaxLoss.partition


def test_a_weighting_with_a_forward_of_its_own_may_compare_negatives():
    class Hardest(UniformWeighting):
        def forward(self, neg, log_q=None, valid=None, pos_log_q=None):
            return torch.where(neg == neg.amax(-1, keepdim=True), 0.0, -torch.inf)

    assert not Hardest.one_by_one
    out = Representations(torch.randn(4, 2, 3), torch.randn(NUM_ITEMS, 3))
    scores = SelectReadout()(out.interests, out.items[POSITIVE].unsqueeze(1), out.items[NEGATIVES["shared"].item])
    loss = MultiInterestLoss(SelectReadout(), SampledSoftmaxLoss(), Hardest())(
        out, POSITIVE, Negatives(torch.tensor([4, 6, 8]))
    )
    torch.testing.assert_close(loss, SampledSoftmaxLoss()(scores.pos, scores.neg.amax(1, keepdim=True)).mean())


class Worst(ArgmaxSelector):
    def forward(self, interests, anchor, interest_mask=None):
        return super().forward(-interests, anchor, interest_mask)


@batches
@negatives
def test_weights_of_a_selector(kind, grouped):
    """Where items choose for themselves, the least fitting interest scores them."""
    found = value(MultiInterestLoss(SelectReadout(Worst(), "candidate"), SampledSoftmaxLoss()), kind, grouped)
    best = value(MultiInterestLoss(SelectReadout(anchor="candidate"), SampledSoftmaxLoss()), kind, grouped)
    assert not found.isclose(best, rtol=1e-3)
    assert not Worst.hard
