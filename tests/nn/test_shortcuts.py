"""Subclasses that replace the main method of a part: no inherited shorter way goes on without it."""

import pytest
import torch

from graphmi.nn import (
    ArgmaxSelector,
    InnerProduct,
    LastPosition,
    MeanPooling,
    SelectReadout,
    SelfAttentiveExtractor,
    SoftmaxSelector,
)
from graphmi.nn.extract.packed import real_positions

LENGTHS = torch.tensor([4, 2, 3])


def half(extractor):
    """Return a subclass whose interests are half of those of its parent."""

    class Half(extractor):
        def extract(self, x, mask):
            found = super().extract(x, mask)
            return found._replace(interests=found.interests / 2)

    return Half


@pytest.mark.parametrize("parent", [SelfAttentiveExtractor, MeanPooling, LastPosition])
def test_an_extractor_extracts_in_its_own_way_from_prefixes_and_packed_histories(parent):
    torch.manual_seed(0)
    above = parent(3, 4)
    torch.manual_seed(0)
    below = half(parent)(3, 4)
    mask = torch.arange(4) < LENGTHS.unsqueeze(1)
    x, prefix = torch.randn(3, 4, 3) * mask.unsqueeze(-1), torch.tensor([0, 3, 5, 8, 10])
    torch.testing.assert_close(below.prefixes(x, mask, prefix)[0], above.prefixes(x, mask, prefix)[0] / 2)
    packed = x.flatten(0, 1)[real_positions(mask)]
    torch.testing.assert_close(below.extract_packed(packed, mask)[0], above.extract_packed(packed, mask)[0] / 2)
    assert below.contributions(x, mask) is None


def test_what_a_subclass_has_itself_and_what_it_leaves_alone_stays():
    class Both(SelfAttentiveExtractor):
        def extract(self, x, mask):
            return super().extract(x, mask)

        def prefixes(self, x, mask, prefix):
            return super().prefixes(x, mask, prefix)

    class Neither(SelfAttentiveExtractor):
        pass

    assert Both.prefixes is vars(Both)["prefixes"]
    assert Neither.prefixes is SelfAttentiveExtractor.prefixes
    assert Neither.contributions is SelfAttentiveExtractor.contributions


def test_a_selector_scores_by_its_own_weights():
    class Worst(ArgmaxSelector):
        def forward(self, interests, anchor, interest_mask=None):
            return super().forward(-interests, anchor, interest_mask)

    interests, items = torch.randn(2, 3, 4), torch.randn(5, 4)
    scores = Worst().score(interests, items, InnerProduct())
    torch.testing.assert_close(scores, (interests @ items.T).amin(1))
    assert (ArgmaxSelector.hard, Worst.hard) == (True, False)


def test_a_similarity_is_linear_only_if_it_says_so():
    class Squared(InnerProduct):
        def pairwise(self, left, right):
            return super().pairwise(left, right).square()

    interests, items, selector = torch.randn(2, 3, 4), torch.randn(5, 4), SoftmaxSelector()
    scores = SelectReadout(selector, similarity=Squared())(interests, items[:2].unsqueeze(1), items)
    weights = selector(interests, items[:2].unsqueeze(1))
    torch.testing.assert_close(scores.neg, (weights * (interests @ items.T).square()).sum(1))
