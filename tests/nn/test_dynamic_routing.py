import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphmi.losses import RoutingVariance
from graphmi.nn import DynamicRoutingExtractor
from graphmi.nn.extract.dynamic_routing import squash
from graphmi.typing import Negatives, Representations

DIM, LENGTH = 3, 6
MIND = {}
COMIREC = {"shared_map": False, "random_logits": False, "dynamic_interests": False}
KINDS = {
    "mind": MIND,
    "comirec-dr": COMIREC,
    "map per interest, random": {"shared_map": False},
    "map per interest, dynamic": {"shared_map": False, "random_logits": False},
    "all interests": {"dynamic_interests": False},
    "relu": {"relu_layer": True},
}


def build(kind=None, seed=0, max_length=LENGTH, **options):
    torch.manual_seed(seed)
    extractor = DynamicRoutingExtractor(DIM, max_length, **{**KINDS[kind or "mind"], **options})
    return extractor.double().eval()


def histories(*lengths, length=LENGTH, seed=1):
    x = torch.randn(len(lengths), length, DIM, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    mask = torch.arange(length) < torch.tensor(lengths).unsqueeze(1)
    return 2 * x, mask


def naive(extractor, x, mask, num_iterations):
    """Route each history item by item and interest by interest, with the last routing held constant."""
    results = []
    for items, real in zip(x, mask, strict=True):
        n = int(real.sum())
        active = extractor.num_interests
        if extractor.dynamic_interests:
            active = max(1, min(active, n.bit_length() - 1))  # floor(log2 n)
        maps = [extractor.map[k if len(extractor.map) > 1 else 0] for k in range(active)]
        votes = [[items[j] @ maps[k] for k in range(active)] for j in range(n)]
        b = [
            [float(extractor.initial[k, j]) if extractor.random_logits else 0.0 for k in range(active)]
            for j in range(n)
        ]
        for iteration in range(num_iterations):
            c = [[math.exp(b[j][k]) / sum(math.exp(other) for other in b[j]) for k in range(active)] for j in range(n)]
            capsules = []
            for k in range(active):
                total = torch.zeros(DIM, dtype=torch.float64)
                for j in range(n):
                    total = total + c[j][k] * votes[j][k]
                norm2 = (total**2).sum()
                capsules.append(norm2 / (1 + norm2) * total / norm2.sqrt() if n else total)
            if iteration < num_iterations - 1:
                for j in range(n):
                    for k in range(active):
                        b[j][k] += float(capsules[k].detach() @ votes[j][k].detach())
        interests = torch.zeros(extractor.num_interests, DIM, dtype=torch.float64)
        routing = torch.zeros(extractor.num_interests, x.size(1), dtype=torch.float64)
        for k in range(active):
            interests[k] = capsules[k]
            for j in range(n):
                routing[k, j] = c[j][k]
        if extractor.last is not None:
            interests = torch.clamp(interests @ extractor.last.weight.T, min=0)
        results.append((interests, routing, torch.arange(extractor.num_interests) < active))
    return [torch.stack(part) for part in zip(*results, strict=True)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("num_iterations", [1, 2, 3, 5])
def test_equals_a_loop_with_its_gradients(kind, num_iterations):
    extractor = build(kind, num_iterations=num_iterations)
    x, mask = histories(0, 1, 2, 4, 5, 6)
    x.requires_grad_()
    parameters = list(extractor.parameters())
    probe = torch.randn(6, 4, DIM, dtype=torch.float64)
    found = extractor(x, mask)
    interests, routing, active = naive(extractor, x, mask, num_iterations)
    torch.testing.assert_close(found.interests, interests)
    torch.testing.assert_close(found.routing, routing)
    if extractor.dynamic_interests:
        assert torch.equal(found.interest_mask, active)
    else:
        assert found.interest_mask is None
    got = torch.autograd.grad((found.interests * probe).sum(), [x, *parameters])
    wanted = torch.autograd.grad((interests * probe).sum(), [x, *parameters])
    torch.testing.assert_close(got, wanted)


@pytest.mark.parametrize("n", range(71))
def test_number_of_interests(n):
    table = [1, 1, 1, 1, *[2] * 4, *[3] * 8, *[4] * 16, *[5] * 32, *[6] * 7]  # max(1, floor(log2 n)) for n = 0..70
    mask = torch.arange(70).unsqueeze(0) < n
    for most in (1, 2, 4, 70):
        extractor = DynamicRoutingExtractor(DIM, 70, most)
        active = extractor(torch.randn(1, 70, DIM), mask).interest_mask[0]
        assert active.tolist() == [k < min(most, table[n]) for k in range(most)]


class TestContract:
    @pytest.mark.parametrize("kind", KINDS)
    def test_padding_changes_nothing(self, kind):
        extractor = build(kind, max_length=9)
        x, mask = histories(0, 1, 4, 6)
        found = extractor(x, mask)
        longer = torch.cat([x.masked_fill(~mask.unsqueeze(-1), 1e6), torch.full((4, 3, DIM), -1e6)], dim=1)
        padded = extractor(longer.double(), torch.cat([mask, torch.zeros(4, 3, dtype=torch.bool)], dim=1))
        torch.testing.assert_close(padded.interests, found.interests)
        torch.testing.assert_close(padded.routing[..., :6], found.routing)
        assert (padded.routing[..., 6:] == 0).all()

    @pytest.mark.parametrize("kind", KINDS)
    def test_an_empty_history_is_zero_with_finite_gradients(self, kind):
        extractor = build(kind)
        x, mask = histories(0, 6)
        x.requires_grad_()
        found = extractor(x, mask)
        assert (found.interests[0] == 0).all()
        assert (found.routing[0] == 0).all()
        found.interests.sum().backward()
        assert (x.grad[0] == 0).all()
        for parameter in extractor.parameters():
            assert parameter.grad.isfinite().all()
            assert parameter.grad.any()
        nothing = extractor(torch.empty(2, 0, DIM, dtype=torch.float64), torch.empty(2, 0, dtype=torch.bool))
        assert nothing.interests.shape == (2, 4, DIM)
        assert nothing.routing.shape == (2, 4, 0)

    @pytest.mark.parametrize("kind", KINDS)
    def test_rows_do_not_know_one_another(self, kind):
        extractor = build(kind)
        x, mask = histories(4, 1, 6, 5)
        found = extractor(x, mask)
        for row in range(4):
            alone = extractor(x[row : row + 1], mask[row : row + 1])
            torch.testing.assert_close(alone.interests[0], found.interests[row])
            torch.testing.assert_close(alone.routing[0], found.routing[row])

    @pytest.mark.parametrize("kind", KINDS)
    def test_each_item_is_shared_out_among_active_interests(self, kind):
        found = build(kind)(*histories(0, 1, 3, 4, 6))
        _, mask = histories(0, 1, 3, 4, 6)
        torch.testing.assert_close(found.routing.sum(1), mask.double())
        if found.interest_mask is not None:
            inactive = ~found.interest_mask
            assert (found.routing[inactive] == 0).all()
            assert (found.interests[inactive] == 0).all()
            assert (found.routing[found.interest_mask].sum(-1)[1:] > 0).all()  # all but that of the empty history

    @pytest.mark.parametrize("kind", KINDS)
    def test_prefixes_are_each_beginning_alone(self, kind):
        extractor = build(kind)
        x, mask = histories(6, 4)
        found = extractor.prefixes(x, mask, torch.tensor([3, 0, 5, 6 + 2]))
        for row, part in enumerate((x[0, :4], x[0, :1], x[0], x[1, :3])):
            alone = extractor(part.unsqueeze(0), torch.ones(1, len(part), dtype=torch.bool))
            torch.testing.assert_close(found.interests[row], alone.interests[0])
            torch.testing.assert_close(found.routing[row, :, : len(part)], alone.routing[0])

    @pytest.mark.parametrize("options", [MIND, COMIREC, {"random_logits": False}])
    def test_one_interest_has_everything(self, options):
        extractor = build(num_interests=1, **options)
        x, mask = histories(5, 2)
        found = extractor(x, mask)
        assert torch.equal(found.routing, mask.double().unsqueeze(1))
        total = (x * mask.unsqueeze(-1)).sum(1) @ extractor.map[0]
        norm = total.norm(dim=-1, keepdim=True)
        torch.testing.assert_close(found.interests[:, 0], total / norm * norm**2 / (1 + norm**2))


class TestGradient:
    def test_one_iteration_passes_gradcheck(self):
        extractor = build("relu", num_iterations=1)
        x, mask = histories(0, 2, 6)
        inputs = (x.requires_grad_(), *extractor.parameters())
        assert torch.autograd.gradcheck(lambda x, *_: extractor(x, mask).interests, inputs)

    def test_routing_carries_none(self):
        x, mask = histories(6)
        assert not build()(x.requires_grad_(), mask).routing.requires_grad

    def test_routing_variance_is_defined(self):
        x, mask = histories(6, 0, 3)
        found = build()(x, mask)
        out = Representations(found.interests, torch.ones(1, DIM), routing=found.routing, mask=mask)
        with pytest.warns(UserWarning, match="RoutingVariance teaches nothing here"):
            penalty = RoutingVariance()(out, torch.zeros(3, dtype=torch.int64), Negatives(torch.zeros(1).long()))
        assert penalty > 0
        assert penalty.isfinite()


class TestLogits:
    @settings(max_examples=20, deadline=None)
    @given(st.permutations(range(5)), st.booleans())
    def test_without_random_logits_order_does_not_matter(self, order, dynamic):
        extractor = build("comirec-dr", dynamic_interests=dynamic)
        x, mask = histories(5, length=5)
        found, moved = extractor(x, mask), extractor(x[:, order], mask)
        torch.testing.assert_close(moved.interests, found.interests)
        torch.testing.assert_close(moved.routing, found.routing[..., order])

    def test_are_drawn_anew_for_each_row_in_training(self):
        extractor = build(num_iterations=1).train()
        x, mask = histories(6)
        twice = extractor(x.repeat(2, 1, 1), mask.repeat(2, 1)).routing
        assert not torch.allclose(twice[0], twice[1])
        torch.manual_seed(3)
        first = extractor(x, mask).routing
        assert torch.equal(first, (torch.manual_seed(3), extractor(x, mask).routing)[1])
        assert not torch.allclose(first, extractor(x, mask).routing)

    def test_are_standard_normal(self):
        torch.manual_seed(0)
        extractor = DynamicRoutingExtractor(DIM, 100, 3, num_iterations=1, dynamic_interests=False)
        x, mask = torch.zeros(200, 100, DIM), torch.ones(200, 100, dtype=torch.bool)
        drawn = extractor(x, mask).routing.log()  # up to a constant per item
        centred = drawn - drawn.mean(1, keepdim=True)
        assert centred.square().sum(1).mean().div(2).sqrt() == pytest.approx(1, rel=0.02)  # 3 values, one mean
        assert extractor.initial.std().item() == pytest.approx(1, rel=0.1)

    def test_are_served_as_saved(self):
        x, mask = histories(6)
        extractor, other = build(seed=0), build(seed=1)
        found = extractor(x, mask)
        assert torch.equal(extractor(x, mask).interests, found.interests)
        assert not torch.allclose(other(x, mask).routing, found.routing)
        other.load_state_dict(extractor.state_dict())
        assert torch.equal(other(x, mask).interests, found.interests)

    @pytest.mark.parametrize(("max_length", "period"), [(None, 64), (70, 70)])
    def test_repeat_beyond_the_longest_history(self, max_length, period):
        extractor = build(max_length=max_length, num_iterations=1, dynamic_interests=False)
        mask = torch.ones(1, 150, dtype=torch.bool)
        routing = extractor(torch.randn(1, 150, DIM, dtype=torch.float64), mask).routing[0]
        torch.testing.assert_close(routing[:, :-period], routing[:, period:])
        assert not torch.isclose(routing[:, : period - 1], routing[:, 1:period]).any()


def test_maps_start_glorot_uniform():
    bound = math.sqrt(6 / (64 + 64))
    assert 0.95 * bound < DynamicRoutingExtractor(64).map.abs().max() <= bound


def test_sets_are_histories_of_any_size():
    extractor = build("comirec-dr", max_length=None)
    x, mask = histories(3, 0, 6, 1)
    index = torch.tensor([0, 1, 2, 3]).repeat_interleave(mask.sum(1))
    members = x[mask]
    shuffled = torch.randperm(len(index), generator=torch.Generator().manual_seed(0))
    found = extractor(members[shuffled], index[shuffled], dim_size=4)
    torch.testing.assert_close(found.interests, extractor(x, mask).interests)


class TestSquash:
    def test_values(self):
        squashed = squash(torch.tensor([[3.0, 4.0], [0.0, 0.0], [0.0, -1.0]], dtype=torch.float64))
        wanted = torch.tensor([[0.576923, 0.769231], [0.0, 0.0], [0.0, -0.5]], dtype=torch.float64)
        torch.testing.assert_close(squashed, wanted, atol=1e-6, rtol=0)

    def test_gradient_at_zero_is_zero(self):
        x = torch.zeros(2, 3, requires_grad=True)
        squash(x).sum().backward()
        assert (x.grad == 0).all()

    def test_large_vectors_have_length_one(self):
        torch.testing.assert_close(squash(torch.tensor([3e10, 4e10])), torch.tensor([0.6, 0.8]))

    def test_half_precision_has_no_largest_length(self):
        found = squash(torch.full((1, 4), 150.0, dtype=torch.float16))
        torch.testing.assert_close(found, torch.full((1, 4), 0.5, dtype=torch.float16))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"embedding_dim": 0}, "'embedding_dim' must be at least 1 .got 0"),
        ({"max_length": 0}, "'max_length' must be at least 1 .got 0"),
        ({"num_interests": 0}, "'num_interests' must be at least 1 .got 0"),
        ({"num_iterations": 0}, "'num_iterations' must be at least 1 .got 0"),
        ({"random_logits": False, "num_interests": 2}, "all interests are equal"),
    ],
)
def test_impossible_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        DynamicRoutingExtractor(**{"embedding_dim": DIM, **options})
