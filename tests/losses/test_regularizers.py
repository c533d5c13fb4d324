import math

import pytest
import torch
import torch.nn.functional as F

from graphmi.losses import AlignmentUniformity, EmbeddingNorm, InterestRepulsion, RoutingVariance
from graphmi.nn import SelfAttentiveExtractor
from graphmi.typing import Negatives, Representations

NONE = torch.zeros(0, dtype=torch.long), Negatives(torch.zeros(0, dtype=torch.long))


def routed(routing, mask=None):
    routing = torch.tensor(routing, dtype=torch.float64)
    if mask is not None:
        mask = torch.tensor(mask)
    return Representations(torch.zeros(1), torch.zeros(1), routing=routing, mask=mask)


def interests(rows, mask=None):
    x = torch.tensor(rows, dtype=torch.float64, requires_grad=True)
    return Representations(x, x, interest_mask=None if mask is None else torch.tensor(mask))


class TestEmbeddingNorm:
    generator = torch.Generator().manual_seed(0)
    users, items = torch.randn(3, 4, generator=generator), torch.randn(6, 4, generator=generator)
    positive = torch.tensor([0, 5, 2])

    def test_is_lightgcn_penalty_with_one_negative(self):
        out = Representations(self.users[:, None] + 1, self.items + 1, ego_users=self.users, ego_items=self.items)
        negative = torch.tensor([[1], [3], [3]])
        rows = (self.users, self.items[self.positive], self.items[negative[:, 0]])
        expected = 0.5 * sum(x.norm() ** 2 for x in rows) / 3
        torch.testing.assert_close(EmbeddingNorm()(out, self.positive, Negatives(negative)), expected)

    def test_does_not_change_with_copies_of_negatives_or_interests(self):
        one = Representations(self.users[:, None], self.items)
        many = Representations(self.users[:, None].expand(-1, 4, -1), self.items)
        negative = torch.tensor([1, 3])
        expected = EmbeddingNorm()(one, self.positive, Negatives(negative))
        for repeated in (negative.repeat(5), negative.expand(3, 2)):
            torch.testing.assert_close(EmbeddingNorm()(many, self.positive, Negatives(repeated)), expected)


class TestRoutingVariance:
    @pytest.mark.parametrize(
        ("routing", "value"),
        [([[1, 0, 0, 0], [0.25] * 4], 1.373291e-4), ([[0.5, 0.5, 0, 0], [0.7, 0.1, 0.1, 0.1]], 3.305664e-5)],
    )
    def test_published_values(self, routing, value):
        assert RoutingVariance(norm=64)(routed([routing]), *NONE).item() == pytest.approx(value, rel=1e-6)

    def test_reductions(self):
        out = routed([[[1, 0, 0, 0]], [[0.5, 0.5, 0, 0]]])
        each = [0.75**2, 0.25**2]
        assert RoutingVariance()(out, *NONE).item() == pytest.approx(sum(each) / 2)
        assert RoutingVariance(reduction="sum")(out, *NONE).item() == pytest.approx(sum(each))

    def test_uniform_over_the_real_positions_is_zero_and_padding_is_nothing(self):
        third = [1 / 3] * 3
        padded = routed([[[*third, 0.0, 0.0]]], [[True] * 3 + [False] * 2])
        assert RoutingVariance()(padded, *NONE).item() == pytest.approx(0, abs=1e-30)
        assert RoutingVariance(masked=False)(padded, *NONE).item() == pytest.approx((1 / 3 - 1 / 5) ** 2)

    def test_an_empty_history_is_zero(self):
        assert RoutingVariance()(routed([[[0.0, 0.0]]], [[False, False]]), *NONE).item() == 0

    @pytest.mark.parametrize("reduction", ["mean", "sum"])
    def test_the_published_code_divides_by_the_width_and_sums_over_the_padded_batch(self, reduction):
        generator = torch.Generator().manual_seed(0)
        mask = torch.arange(5) < torch.tensor([[3], [5]])
        routing = torch.rand(2, 4, 5, dtype=torch.float64, generator=generator).masked_fill(~mask.unsqueeze(1), 0)
        total = 0.0
        for row in routing:
            for weights in row.tolist():
                mean = sum(weights) / 5
                total += (sum((weight - mean) ** 2 for weight in weights) / 64) ** 2
        out = Representations(torch.zeros(1), torch.zeros(1), routing=routing, mask=mask)
        penalty = RoutingVariance(norm=64, reduction=reduction, masked=False)(out, *NONE)
        assert penalty.item() == pytest.approx(total if reduction == "sum" else total / 2)

    @pytest.mark.parametrize("reduction", ["mean", "sum"])
    def test_prefixes_in_one_pass_are_the_prefixes_alone(self, reduction):
        torch.manual_seed(0)
        extractor = SelfAttentiveExtractor(3, 6).double()
        x = torch.randn(3, 6, 3, dtype=torch.float64)
        mask = torch.arange(6) < torch.tensor([[6], [1], [4]])
        prefix = mask.flatten().nonzero().squeeze(1)
        regularizer = RoutingVariance(norm=0.1, reduction=reduction)
        each = []
        for index in prefix.tolist():
            row, size = index // 6, index % 6 + 1
            found = extractor(x[row : row + 1, :size], mask[row : row + 1, :size])
            each.append(regularizer(Representations(found.interests, x, routing=found.routing), *NONE))
        expected = torch.stack(each).mean() if reduction == "mean" else torch.stack(each).sum()
        found = extractor.prefixes(x, mask, prefix)
        out = Representations(found.interests, x, routing_variance=found.routing_variance)
        penalty = regularizer(out, *NONE)
        torch.testing.assert_close(penalty, expected)
        parameters = list(extractor.parameters())
        gradients = (torch.autograd.grad(value, parameters) for value in (penalty, expected))
        for gradient, other in zip(*gradients, strict=True):
            torch.testing.assert_close(gradient, other)

    def test_the_variance_alone_says_nothing_of_padding(self):
        out = Representations(torch.zeros(1), torch.zeros(1), routing_variance=torch.ones(1, 2))
        with pytest.raises(ValueError, match=r"RoutingVariance with 'masked' false needs .* set 'masked' to true"):
            RoutingVariance(masked=False)(out, *NONE)

    def test_a_model_without_routing_is_told(self):
        with pytest.raises(ValueError, match="RoutingVariance needs routing weights"):
            RoutingVariance()(interests([[[1.0]]]), *NONE)

    @pytest.mark.parametrize("arguments", [{"norm": 0}, {"reduction": "max"}])
    def test_ranges(self, arguments):
        with pytest.raises(ValueError, match=r"must be .* \(got"):
            RoutingVariance(**arguments)


class TestInterestRepulsion:
    def test_published_value(self):
        penalty = InterestRepulsion()(interests([[[1, 0], [0, 1], [-1, 0]]]), *NONE)
        assert penalty.item() == pytest.approx(-1.609476, abs=1e-6)

    @pytest.mark.parametrize("rows", [[[[1.0, 2.0]]], [[[1.0, 2.0]] * 3]])
    def test_one_interest_or_equal_ones_are_zero_with_finite_gradient(self, rows):
        out = interests(rows)
        penalty = InterestRepulsion()(out, *NONE)
        penalty.backward()
        assert penalty.item() == 0
        assert out.interests.grad.isfinite().all()

    def test_inactive_interests_do_not_count(self):
        out = interests(
            [[[1, 0], [0, 1], [9, 9]], [[1, 0], [5, 5], [9, 9]]], [[True, True, False], [True, False, False]]
        )
        assert InterestRepulsion()(out, *NONE).item() == pytest.approx(-math.sqrt(2) / 2)


class TestAlignmentUniformity:
    generator = torch.Generator().manual_seed(0)
    users = torch.randn(4, 3, 2, dtype=torch.float64, generator=generator)
    items = torch.randn(6, 2, dtype=torch.float64, generator=generator)
    positive = torch.tensor([5, 1, 1, 3])

    def test_written_out(self):
        best = [
            max(range(3), key=lambda k, u=u: float(self.users[u, k] @ self.items[self.positive[u]])) for u in range(4)
        ]
        user = F.normalize(torch.stack([self.users[u, k] for u, k in enumerate(best)]), dim=1)
        item = F.normalize(self.items[self.positive], dim=1)
        align = sum(float((user[u] - item[u]) @ (user[u] - item[u])) for u in range(4)) / 4
        uniform = [torch.pdist(x).square().mul(-2).exp().mean().log().item() for x in (user, item)]
        penalty = AlignmentUniformity(gamma=0.5)(Representations(self.users, self.items), self.positive, NONE[1])
        assert penalty.item() == pytest.approx(align + 0.5 * sum(uniform) / 2)

    def test_items_with_several_vectors_use_the_best(self):
        away = -10 * torch.ones(6, 2, dtype=torch.float64)
        users = self.users.abs()
        plain = AlignmentUniformity()(Representations(users, self.items), self.positive, NONE[1])
        double = Representations(users, torch.cat([away, self.items], 1))
        torch.testing.assert_close(AlignmentUniformity()(double, self.positive, NONE[1]), plain)

    def test_inactive_interests_are_no_user(self):
        users = torch.cat([self.users, 10 * self.items[self.positive].unsqueeze(1)], 1)  # the best, if it counted
        mask = torch.tensor([[True] * 3 + [False]]).expand(4, -1)
        found = AlignmentUniformity()(Representations(users, self.items, interest_mask=mask), self.positive, NONE[1])
        expected = AlignmentUniformity()(Representations(self.users, self.items), self.positive, NONE[1])
        torch.testing.assert_close(found, expected)

    def test_a_batch_of_one_is_finite(self):
        users = self.users[:1].clone().requires_grad_()
        penalty = AlignmentUniformity()(Representations(users, self.items), self.positive[:1], NONE[1])
        penalty.backward()
        assert penalty.isfinite()
        assert users.grad.isfinite().all()

    def test_gradients(self):
        def penalty(users, items):
            return AlignmentUniformity()(Representations(users, items), self.positive, NONE[1])

        inputs = self.users.clone().requires_grad_(), self.items.clone().requires_grad_()
        assert torch.autograd.gradcheck(penalty, inputs)

    def test_gamma_must_not_be_negative(self):
        with pytest.raises(ValueError, match="'gamma' must be at least 0"):
            AlignmentUniformity(-1)
