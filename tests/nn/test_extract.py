import math

import pytest
import torch
import torch.nn.functional as F

from graphmi.nn import LastPosition, LastQueryExtractor, MeanPooling, RecentPositions, SelfAttentiveExtractor
from graphmi.nn.extract import packed, self_attentive
from graphmi.nn.extract.packed import at_real_positions, pooled

LENGTHS = (4, 1, 0, 6)
EXTRACTORS = {
    "self-attentive": lambda: SelfAttentiveExtractor(3, 6, num_interests=2, hidden_dim=5),
    "self-attentive, one": lambda: SelfAttentiveExtractor(3, 6, num_interests=1),
    "self-attentive, sets": lambda: SelfAttentiveExtractor(3, num_interests=2),
    "last": lambda: LastPosition(3, 6),
    "last query": lambda: LastQueryExtractor(3, 6, num_interests=2),
    "last query, one": lambda: LastQueryExtractor(3, 6, num_interests=1),
    "recent": lambda: RecentPositions(num_interests=3),
    "mean": lambda: MeanPooling(3, 6),
    "network of the mean": lambda: MeanPooling(3, 6, hidden_dim=4),
}
all_extractors = pytest.mark.parametrize("make", EXTRACTORS.values(), ids=EXTRACTORS)


def made(make):
    torch.manual_seed(0)
    return make().double()


def histories(lengths=LENGTHS, dim=3):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(len(lengths), max(lengths), dim, dtype=torch.float64, generator=generator)
    return x, torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)


class TestEveryExtractor:
    @all_extractors
    def test_padding_changes_nothing(self, make):
        extractor, (x, mask) = made(make), histories()
        found = extractor(x, mask)
        assert found.interests.shape == (4, extractor.num_interests, 3)
        other = torch.where(mask.unsqueeze(-1), x, 1e3 * torch.rand_like(x))
        torch.testing.assert_close(extractor(other, mask).interests, found.interests)
        for row, length in enumerate(LENGTHS):
            alone = extractor(x[row : row + 1, :length], mask[row : row + 1, :length])
            torch.testing.assert_close(alone.interests[0], found.interests[row])
            if found.routing is not None:
                torch.testing.assert_close(alone.routing[0], found.routing[row, :, :length])
                assert not found.routing[row, :, length:].any()

    @all_extractors
    def test_padding_in_front_is_an_error(self, make):
        extractor, (x, mask) = made(make), histories()
        for wrong in (mask.flip(1), torch.tensor([[True, False, True, False, False, False]]).expand(4, -1)):
            with pytest.raises(ValueError, match="padding must follow the real positions"):
                extractor(x, wrong)
        assert extractor(x[:, :0], mask[:, :0]).interests.shape == (4, extractor.num_interests, 3)

    @all_extractors
    def test_an_empty_history_is_zero_with_finite_gradients(self, make):
        extractor, (x, mask) = made(make), histories()
        x.requires_grad_()
        found = extractor(x, mask)
        assert not found.interests[2].any()
        found.interests.square().sum().backward()
        assert x.grad.isfinite().all()
        assert all(parameter.grad.isfinite().all() for parameter in extractor.parameters())

    @all_extractors
    @pytest.mark.parametrize("lengths", [(), (0, 0)])
    def test_no_history_and_nothing_but_empty_ones(self, make, lengths):
        extractor, mask = made(make), torch.zeros(len(lengths), 6, dtype=torch.bool)
        x = torch.empty(0, 3, dtype=torch.float64, requires_grad=True)
        interests = extractor.extract_packed(x, mask).interests
        assert interests.shape == (len(lengths), extractor.num_interests, 3)
        assert not interests.any()
        interests.sum().backward()
        assert all(parameter.grad is None or not parameter.grad.any() for parameter in extractor.parameters())

    @all_extractors
    def test_packed_histories_give_the_same(self, make, monkeypatch):
        extractor, (x, mask) = made(make), histories()
        packed = extractor.extract_packed(x[mask], mask)
        monkeypatch.setattr(self_attentive, "pays", lambda x: False)
        for found, expected in zip(packed, extractor.extract(x, mask), strict=True):
            torch.testing.assert_close(found, expected)

    @all_extractors
    def test_gradients(self, make):
        extractor, (x, mask) = made(make), histories()
        names, parameters = (
            zip(*extractor.named_parameters(), strict=True) if list(extractor.parameters()) else ((), ())
        )

        def interests(x, *parameters):
            values = dict(zip(names, parameters, strict=True))
            return torch.func.functional_call(extractor, values, (x, mask)).interests

        assert torch.autograd.gradcheck(interests, (x.requires_grad_(), *parameters))

    @pytest.mark.parametrize("make", [EXTRACTORS["self-attentive"], EXTRACTORS["network of the mean"]])
    def test_compiles_as_one_graph(self, make):
        extractor, (x, mask) = made(make), histories()
        prefix = torch.tensor([2, 6, 20])
        torch._dynamo.reset()
        for method, arguments in ((extractor.extract, (x, mask)), (extractor.prefixes, (x, mask, prefix))):
            compiled = torch.compile(method, backend="aot_eager", fullgraph=True)(*arguments)
            torch.testing.assert_close(compiled.interests, method(*arguments).interests)


def test_only_real_positions_are_computed():
    x, mask = histories()
    seen = []
    out = at_real_positions(lambda each, place: seen.append((each, place)) or 2 * each, x, mask)
    assert len(seen) == 1
    assert seen[0][0].equal(x[mask])
    assert seen[0][1].equal(torch.arange(x.size(1)).expand_as(mask)[mask])
    assert out[mask].equal(2 * x[mask])
    assert not out[~mask].any()


def test_padding_is_zero_where_it_is_not_skipped(monkeypatch):
    monkeypatch.setattr(packed, "pays", lambda _: False)
    x, mask = histories()
    out = at_real_positions(lambda each, place: each + place.view(-1, 1) + 1, x, mask)
    torch.testing.assert_close(out, (x + torch.arange(6).view(-1, 1) + 1) * mask.unsqueeze(-1))


def test_what_a_subclass_extracts_counts_for_packed_histories_too():
    class Doubled(SelfAttentiveExtractor):
        def extract(self, x, mask):
            found = super().extract(x, mask)
            return found._replace(interests=2 * found.interests)

    extractor, (x, mask) = made(lambda: Doubled(3, 6)), histories()
    torch.testing.assert_close(extractor.extract_packed(x[mask], mask).interests, extractor(x, mask).interests)


def test_pooled_histories():
    x, mask = histories()
    weight = torch.rand(2, int(mask.sum()), dtype=torch.float64)
    row = mask.nonzero()[:, 0]
    expected = x.new_zeros(4, 2, 3).index_add(0, row, weight.T.unsqueeze(-1) * x[mask].unsqueeze(1))
    torch.testing.assert_close(pooled(weight, x[mask], mask), expected)
    inputs = weight.requires_grad_(), x[mask].requires_grad_(), mask
    assert torch.autograd.gradcheck(pooled, inputs)


class TestSets:
    extractors = pytest.mark.parametrize(
        "make", [EXTRACTORS[name] for name in ("self-attentive, sets", "mean", "network of the mean")]
    )

    @extractors
    def test_sets_are_histories_whatever_the_order_of_their_members(self, make):
        extractor, (x, mask) = made(make), histories()
        members, index = x[mask], mask.nonzero()[:, 0]
        shuffle = torch.randperm(len(index), generator=torch.Generator().manual_seed(2))
        expected = extractor(x, mask).interests
        torch.testing.assert_close(extractor(members, index).interests, expected)
        torch.testing.assert_close(extractor(members[shuffle], index[shuffle]).interests, expected)

    def test_the_last_of_a_set_is_the_last_given(self):
        x = torch.tensor([[1.0], [2.0], [3.0], [4.0]])
        assert LastPosition()(x, torch.tensor([1, 0, 1, 0])).interests.flatten().tolist() == [4, 3]

    @extractors
    def test_sets_without_members_are_zero(self, make):
        extractor, (x, _) = made(make), histories()
        interests = extractor(x[0], torch.tensor([1, 1, 3, 1, 3, 3]), dim_size=5).interests
        assert interests.shape == (5, extractor.num_interests, 3)
        assert not interests[[0, 2, 4]].any()
        assert interests[[1, 3]].all()
        for num in (None, 0, 2):
            none = extractor(x[0, :0], torch.zeros(0, dtype=torch.int64), dim_size=num).interests
            assert torch.equal(none, torch.zeros(num or 0, extractor.num_interests, 3, dtype=torch.float64))

    @pytest.mark.parametrize(
        ("x", "where"),
        [
            ((2, 3, 3), torch.ones(2, 3)),
            ((2, 3, 3), torch.ones(2, 2).bool()),
            ((4, 3), torch.ones(4).bool()),
            ((4, 3), torch.arange(3)),
        ],
    )
    def test_neither_histories_nor_sets(self, x, where):
        with pytest.raises(ValueError, match=r"give histories .* or members .* \(got \[.*torch\."):
            MeanPooling()(torch.zeros(x), where)


class TestSelfAttentiveExtractor:
    def test_written_out(self):
        extractor, (x, mask) = made(EXTRACTORS["self-attentive"]), histories()
        position, hidden, attention = (p.detach() for p in extractor.parameters())
        found = extractor(x, mask)
        for row, length in enumerate(LENGTHS):
            for k in range(2):
                logits = [
                    sum(
                        float(attention[k, j]) * math.tanh(float(hidden[j] @ (x[row, t] + position[t])))
                        for j in range(5)
                    )
                    for t in range(length)
                ]
                total = sum(map(math.exp, logits))
                weights = [math.exp(logit) / total for logit in logits]
                assert found.routing[row, k, :length].tolist() == pytest.approx(weights)
                interest = sum((w * x[row, t] for t, w in enumerate(weights)), torch.zeros(3, dtype=torch.float64))
                torch.testing.assert_close(found.interests[row, k], interest)

    def test_two_items_with_logits_log_3_and_0(self):
        extractor = SelfAttentiveExtractor(1, num_interests=1, hidden_dim=1)
        torch.nn.init.ones_(extractor.hidden.weight)
        torch.nn.init.constant_(extractor.attention.weight, 2 * math.log(3))
        found = extractor(torch.tensor([[[math.atanh(0.5)], [0.0]]]), torch.ones(1, 2, dtype=torch.bool))
        assert found.routing.flatten().tolist() == pytest.approx([0.75, 0.25])
        assert found.interests.item() == pytest.approx(0.75 * math.atanh(0.5))

    def test_positions_route_but_are_not_in_the_values(self):
        extractor = SelfAttentiveExtractor(2, 3, num_interests=2)
        torch.nn.init.normal_(extractor.position.weight, std=9.0)
        found = extractor(torch.ones(1, 3, 2), torch.ones(1, 3, dtype=torch.bool))
        torch.testing.assert_close(found.interests, torch.ones(1, 2, 2))
        assert found.routing.std() > 0.01

    def test_without_positions_the_order_is_nothing(self):
        extractor, (x, _) = made(EXTRACTORS["self-attentive, sets"]), histories((5,))
        mask = torch.ones(1, 5, dtype=torch.bool)
        torch.testing.assert_close(extractor(x.flip(1), mask).interests, extractor(x, mask).interests)

    def test_large_logits(self):
        extractor = made(EXTRACTORS["self-attentive"])
        x, mask = histories()
        with torch.no_grad():
            extractor.attention.weight.mul_(1e4)
        x.requires_grad_()
        found = extractor(x, mask)
        found.interests.sum().backward()
        assert x.grad.isfinite().all()
        torch.testing.assert_close(found.routing.amax(-1)[[0, 1, 3]], torch.ones(3, 2, dtype=torch.float64))

    def test_defaults(self):
        extractor = SelfAttentiveExtractor(64, 50)
        shapes = {name: tuple(p.shape) for name, p in extractor.named_parameters()}
        assert shapes == {"position.weight": (50, 64), "hidden.weight": (256, 64), "attention.weight": (4, 256)}
        for parameter in extractor.parameters():
            bound = math.sqrt(6 / sum(parameter.shape))
            assert 0.95 * bound < parameter.abs().max() <= bound

    def test_a_history_may_not_be_longer_than_max_length(self):
        x, mask = torch.zeros(1, 3, 2), torch.ones(1, 3, dtype=torch.bool)
        message = "the history has 3 positions, but 'max_length' is 2"
        with pytest.raises(ValueError, match=message):
            SelfAttentiveExtractor(2, 2)(x, mask)
        with pytest.raises(ValueError, match=message):
            SelfAttentiveExtractor(2, 2).prefixes(x, mask, torch.tensor([0]))

    @pytest.mark.parametrize("name", ["embedding_dim", "max_length", "num_interests", "hidden_dim"])
    def test_ranges(self, name):
        with pytest.raises(ValueError, match=rf"'{name}' must be at least 1 \(got 0\)"):
            SelfAttentiveExtractor(**{"embedding_dim": 2, name: 0})


class TestPooling:
    def test_last_and_mean(self):
        x, mask = histories()
        last, mean = LastPosition()(x, mask), MeanPooling()(x, mask)
        assert last.routing is None
        for row, length in enumerate(LENGTHS):
            if length:
                torch.testing.assert_close(last.interests[row, 0], x[row, length - 1])
                torch.testing.assert_close(mean.interests[row, 0], x[row, :length].mean(0))
                assert mean.routing[row, 0, :length].tolist() == pytest.approx([1 / length] * length)

    def test_network_of_the_mean(self):
        extractor, (x, mask) = made(EXTRACTORS["network of the mean"]), histories()
        first, _, second = extractor.network
        mean = x[0, :4].mean(0)
        expected = second.weight @ F.relu(first.weight @ mean + first.bias) + second.bias
        torch.testing.assert_close(extractor(x, mask).interests[0, 0], expected)

    @pytest.mark.parametrize(("arguments", "name"), [((2, 3, 0), "hidden_dim"), ((0, 3, 1), "embedding_dim")])
    def test_ranges(self, arguments, name):
        with pytest.raises(ValueError, match=rf"'{name}' must be at least 1 \(got 0\)"):
            MeanPooling(*arguments)


class TestLastQuery:
    def test_starts_uniform(self):
        for name, parameter in LastQueryExtractor(32).named_parameters():
            bound = 64**-0.5 if name == "output" else math.sqrt(6 / (32 + 128))
            for end in (parameter.max(), -parameter.min()):
                assert 0.95 * bound < end <= bound

    def test_each_interest_is_attention_from_the_last_item_written_out(self):
        torch.manual_seed(2)
        extractor = LastQueryExtractor(3, num_interests=2).double()
        x, mask = histories()
        query, key = (part.weight.view(2, 3, 3) for part in (extractor.query, extractor.key))
        found = extractor(x, mask)
        for row, length in enumerate(LENGTHS):
            for k in range(2 if length else 0):
                last = x[row, length - 1]
                logits = [(query[k] @ last) @ (key[k] @ x[row, at]) / math.sqrt(3) for at in range(length)]
                weights = torch.stack(logits).softmax(0)
                seen = sum(weight * item for weight, item in zip(weights, x[row], strict=False))
                expected = torch.cat([last, seen]) @ extractor.output[k]
                torch.testing.assert_close(found.interests[row, k], expected)
                torch.testing.assert_close(found.routing[row, k, :length], weights)

    def test_it_tells_the_latest_item_from_the_others(self):
        x = torch.randn(1, 4, 3)
        mask = torch.ones(1, 4, dtype=torch.bool)
        extractor = LastQueryExtractor(3)
        turned = x[:, [3, 0, 1, 2]]
        assert not torch.allclose(extractor(x, mask).interests, extractor(turned, mask).interests)
        same_last = x[:, [2, 0, 1, 3]]  # there are no positions: the order of the others does not matter
        torch.testing.assert_close(extractor(x, mask).interests, extractor(same_last, mask).interests)

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
    def test_under_autocast(self, dtype):
        x, mask = histories()
        extractor = LastQueryExtractor(3)
        expected = extractor(x.float(), mask)
        with torch.autocast("cpu", dtype):
            found = extractor(x.float(), mask)
        for part, close in zip(found[:2], expected[:2], strict=True):
            torch.testing.assert_close(part.float(), close, atol=0.05, rtol=0)


class TestRecentPositions:
    def test_are_the_last_ones(self):
        x, mask = histories()
        found = RecentPositions(num_interests=3)(x, mask)
        for row, length in enumerate(LENGTHS):
            for interest in range(3):
                place = length - 1 - interest
                expected = x[row, place] if place >= 0 else torch.zeros(3, dtype=x.dtype)
                torch.testing.assert_close(found.interests[row, interest], expected)
                assert bool(found.interest_mask[row, interest]) == (place >= 0 or interest == 0)

    def test_one_is_the_last_position(self):
        x, mask = histories()
        torch.testing.assert_close(
            RecentPositions(num_interests=1)(x, mask).interests, LastPosition()(x, mask).interests
        )

    def test_their_number_is_checked(self):
        with pytest.raises(ValueError, match=r"'num_interests' must be at least 1 \(got 0\)"):
            RecentPositions(num_interests=0)
