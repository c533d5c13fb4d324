"""Interests in dimensions of their own."""

import pytest
import torch

from graphmi.nn import SelfAttentiveExtractor


@pytest.fixture
def histories():
    x = torch.randn(2, 5, 6, generator=torch.Generator().manual_seed(1))
    return x, torch.arange(5) < torch.tensor([[5], [3]])


def test_each_interest_is_a_block_of_the_self_attentive_one(histories):
    from own_dimensions import OwnDimensions

    torch.manual_seed(0)
    extractor, whole = OwnDimensions(6, 5, num_interests=3), SelfAttentiveExtractor(6, 5, num_interests=3)
    whole.load_state_dict(extractor.state_dict())
    prefix = torch.tensor([0, 4, 7])
    for found, free in (
        (extractor(*histories), whole(*histories)),
        (extractor.prefixes(*histories, prefix), whole.prefixes(*histories, prefix)),
    ):
        for k in range(3):
            block = slice(2 * k, 2 * k + 2)
            assert torch.equal(found.interests[:, k, block], free.interests[:, k, block])
            assert found.interests[:, k].count_nonzero() == 2 * len(found.interests)
    torch.testing.assert_close(extractor.contributions(*histories).sum(2), extractor(*histories).interests)


def test_dimensions_are_shared_out_alike():
    from own_dimensions import OwnDimensions

    with pytest.raises(ValueError, match=r"'embedding_dim' must be a multiple of 'num_interests', 4 \(got 6\)"):
        OwnDimensions(6)
