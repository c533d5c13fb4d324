"""Objectives and weightings that replace the main method of a class above them."""

import pytest
import torch

from graphmi.losses import GBCELoss, MultiInterestLoss, SampledSoftmaxLoss, UniformWeighting
from graphmi.nn import SelectReadout
from graphmi.typing import Negatives, Representations

POSITIVE, ROW = torch.arange(4), torch.arange(4)
SHARED = Negatives(torch.tensor([5, 6, 7]), excludes_known=True)
OWN = Negatives(torch.tensor([[5, 6, 7]]).expand(4, 3), excludes_known=True)


@pytest.fixture
def out():
    return Representations(torch.randn(4, 2, 3), torch.randn(9, 3))


class Squared(SampledSoftmaxLoss):
    def forward(self, pos, neg, correction=None):
        return super().forward(pos, neg, correction).square()


@pytest.mark.parametrize("negatives", [SHARED, OWN])
@pytest.mark.parametrize("row", [None, ROW])
def test_an_objective_compares_in_its_own_way_everywhere(out, negatives, row):
    scores = SelectReadout()(out.interests, out.items[POSITIVE].unsqueeze(1), out.items[SHARED.item])
    expected = SampledSoftmaxLoss()(scores.pos, scores.neg).square().mean()
    torch.testing.assert_close(MultiInterestLoss(SelectReadout(), Squared())(out, POSITIVE, negatives, row), expected)


def test_an_objective_with_a_forward_of_its_own_takes_no_blocks(out):
    with pytest.raises(ValueError, match="Squared cannot take its negatives in blocks"):
        MultiInterestLoss(SelectReadout(), Squared())(out, POSITIVE, Negatives(torch.arange(9), block_size=3))


def test_an_objective_that_says_that_it_is_a_softmax_keeps_its_ways():
    class Told(Squared):
        softmax = True

    assert Told.partition is Squared.partition
    assert (Squared.softmax, Told.softmax, SampledSoftmaxLoss.softmax) == (False, True, True)


def test_a_loss_that_learns_the_size_of_the_catalogue_stays_what_it_is(out):
    class Twice(GBCELoss):
        def forward(self, pos, neg, correction=None):
            return 2 * super().forward(pos, neg, correction)

    loss, other = (MultiInterestLoss(SelectReadout(), kind(calibration=0.5)) for kind in (Twice, GBCELoss))
    torch.testing.assert_close(loss(out, POSITIVE, OWN), 2 * other(out, POSITIVE, OWN))
    assert loss.objective.num_items is None


def test_a_weighting_with_a_forward_of_its_own_may_compare_negatives(out):
    class Hardest(UniformWeighting):
        def forward(self, neg, log_q=None, valid=None, pos_log_q=None):
            return torch.where(neg == neg.amax(-1, keepdim=True), 0.0, -torch.inf)

    assert not Hardest.one_by_one
    loss = MultiInterestLoss(SelectReadout(), SampledSoftmaxLoss(), Hardest())
    scores = SelectReadout()(out.interests, out.items[POSITIVE].unsqueeze(1), out.items[SHARED.item])
    expected = SampledSoftmaxLoss()(scores.pos, scores.neg.amax(1, keepdim=True)).mean()
    torch.testing.assert_close(loss(out, POSITIVE, SHARED), expected)
