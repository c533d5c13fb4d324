import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphmi.metrics import routing_collapse, routing_entropy


def draw(seed=0, num_users=60, num_interests=3, length=6):
    """Random weights that sum to nothing in particular, padded, with inactive interests and some of no weight."""
    draws = torch.Generator().manual_seed(seed)
    size = torch.randint(0, length + 1, (num_users, 1), generator=draws)
    mask = torch.arange(length) < size
    routing = (4 * torch.randn(num_users, num_interests, length, generator=draws)).exp()
    routing[torch.rand(num_users, num_interests, generator=draws) < 0.1] = 0.0
    return routing, mask, torch.rand(num_users, num_interests, generator=draws) < 0.7


@pytest.mark.parametrize("seed", [0, 1])
def test_values_equal_loops(seed):
    routing, mask, active = draw(seed)
    collapse, spread = routing_collapse(routing, mask, active), routing_entropy(routing, mask, active)
    undefined = 0
    for user in range(len(routing)):
        size, resting, entropies = int(mask[user].sum()), [], []
        for interest in range(routing.size(1)):
            weights = routing[user, interest, :size].tolist()
            if size > 1 and active[user, interest] and sum(weights) > 0:
                shares = [weight / sum(weights) for weight in weights]
                resting.append(max(shares) > 0.9)
                entropies.append(-sum(one * math.log(one) for one in shares if one) / math.log(size))
        if not resting:
            undefined += 1
            assert collapse[user].isnan()
            assert spread[user].isnan()
            continue
        assert collapse[user].item() == pytest.approx(sum(resting) / len(resting))
        assert spread[user].item() == pytest.approx(sum(entropies) / len(entropies), abs=1e-5)
    assert 0 < undefined < len(routing)
    assert 0 < collapse.nanmean() < 1


def test_by_hand():
    routing = torch.tensor([[[1.0, 0.0, 0.0, 0.0], [0.25, 0.25, 0.25, 0.25], [0.5, 0.5, 0.0, 0.0]]])
    assert routing_collapse(routing).item() == pytest.approx(1 / 3)
    assert routing_entropy(routing).item() == pytest.approx((0 + 1 + 0.5) / 3)
    shown = torch.tensor([[True, True, False, False]])  # weights at padding are no weights
    assert routing_entropy(routing, shown).item() == pytest.approx((0 + 1 + 1) / 3)


def test_weights_that_sum_to_one_over_interests_are_compared_over_positions():
    # Dynamic routing: the first interest has little of both items, but as much of the one as of the other.
    routing = torch.tensor([[[0.05, 0.05], [0.95, 0.0]]])
    assert routing_collapse(routing).item() == 0.5
    assert routing_entropy(routing).item() == pytest.approx(0.5)


def test_histories_of_one_item_and_of_none_say_nothing():
    routing = torch.ones(3, 2, 4)
    mask = torch.arange(4) < torch.tensor([[0], [1], [2]])
    assert routing_collapse(routing, mask).isnan().tolist() == [True, True, False]
    assert routing_entropy(routing, mask)[2].item() == pytest.approx(1.0)
    for length in (0, 1):
        assert routing_collapse(torch.ones(2, 1, length)).isnan().all()


def test_threshold():
    routing = torch.tensor([[[0.7, 0.3]]])
    assert routing_collapse(routing).item() == 0.0
    assert routing_collapse(routing, threshold=0.6).item() == 1.0
    assert routing_collapse(torch.tensor([[[0.5, 0.5]]]), threshold=0.5).item() == 0.0  # not above it
    for threshold in (0.4, 1.0):
        with pytest.raises(ValueError, match=r"'threshold' must be at least 0\.5 and below 1"):
            routing_collapse(routing, threshold=threshold)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1000), st.permutations(range(3)), st.integers(0, 4))
def test_order_of_interests_and_padding_change_nothing(seed, order, padding):
    routing, mask, active = draw(seed, num_users=10)
    longer = torch.cat([routing, torch.rand(10, 3, padding)], dim=2)
    wider = torch.nn.functional.pad(mask, (0, padding))
    for function in (routing_collapse, routing_entropy):
        values = function(routing, mask, active)
        assert ((values >= 0) & (values <= 1 + 1e-6) | values.isnan()).all()
        moved = function(longer[:, order], wider, active[:, order])
        assert torch.allclose(values, moved, atol=1e-5, equal_nan=True)
