"""One pass over a history gives the same as each of its prefixes alone."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphmi.nn import Extractor, LastPosition, LastQueryExtractor, MeanPooling, RecentPositions, SelfAttentiveExtractor
from graphmi.nn.extract.prefix import causal_attention, prefix_attention

EXTRACTORS = {
    "self-attentive": lambda: SelfAttentiveExtractor(3, 7, num_interests=4),
    "self-attentive, one": lambda: SelfAttentiveExtractor(3, num_interests=1),
    "last": lambda: LastPosition(3, 7),
    "last query": lambda: LastQueryExtractor(3, 7, num_interests=2),
    "recent": lambda: RecentPositions(num_interests=3),
    "mean": lambda: MeanPooling(3, 7),
    "network of the mean": lambda: MeanPooling(3, 7, hidden_dim=4),
}
all_extractors = pytest.mark.parametrize("make", EXTRACTORS.values(), ids=EXTRACTORS)
EXACT = {"rtol": 0, "atol": 1e-10}


def histories(lengths, dim=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    length = max(lengths)
    x = torch.randn(len(lengths), length, dim, dtype=torch.float64, generator=generator)
    mask = torch.arange(length) < torch.tensor(lengths).unsqueeze(1)
    return x, mask, mask.flatten().nonzero().squeeze(1)


def variance_of_each(routing, prefix, length):
    """Sum of squared deviations of the weights of each prefix, in a loop."""
    sizes = (prefix % length + 1).tolist()
    rows = [routing[i, :, :size] for i, size in enumerate(sizes)]
    return torch.stack([(row - row.mean(1, keepdim=True)).square().sum(1) for row in rows])


class TestPrefixes:
    @all_extractors
    @settings(max_examples=15, deadline=None)
    @given(lengths=st.lists(st.integers(0, 7), min_size=1, max_size=4).filter(any), scale=st.sampled_from([1.0, 100.0]))
    def test_are_the_extractor_on_each_alone(self, make, lengths, scale):
        torch.manual_seed(0)
        extractor = make().double()
        with torch.no_grad():
            for parameter in extractor.parameters():
                parameter.mul_(scale)
        x, mask, prefix = histories(lengths)
        prefix = torch.cat([prefix.flip(0), prefix[:1]])  # any order, and any number of times
        alone, found = Extractor.prefixes(extractor, x, mask, prefix), extractor.prefixes(x, mask, prefix)
        torch.testing.assert_close(found.interests, alone.interests, rtol=1e-10, atol=1e-10)
        if alone.interest_mask is not None:
            assert torch.equal(found.interest_mask, alone.interest_mask)
        if alone.routing is not None:
            expected = variance_of_each(alone.routing, prefix, x.size(1))
            torch.testing.assert_close(found.routing_variance, expected, **EXACT)

    @all_extractors
    def test_gradients_are_those_of_each_alone_and_none_at_padding(self, make):
        torch.manual_seed(0)
        extractor = make().double()
        x, mask, prefix = histories((4, 0, 7, 1))
        x = torch.where(mask.unsqueeze(-1), x, 1e3).requires_grad_()
        alone = Extractor.prefixes(extractor, x, mask, prefix).interests
        direction = torch.randn_like(alone)
        variables = [x, *extractor.parameters()]
        expected = torch.autograd.grad(alone, variables, direction)
        gradients = torch.autograd.grad(extractor.prefixes(x, mask, prefix).interests, variables, direction)
        assert not gradients[0][~mask].any()
        for gradient, other in zip(gradients, expected, strict=True):
            torch.testing.assert_close(gradient, other, **EXACT)

    def test_the_default_lays_each_out(self):
        x, mask, _ = histories((2, 3))
        found = Extractor.prefixes(LastPosition(), x, mask, torch.tensor([3, 0, 5])).interests
        torch.testing.assert_close(found[:, 0], torch.stack([x[1, 0], x[0, 0], x[1, 2]]))


def every_prefix(logits, values):
    return prefix_attention(logits, values, torch.arange(values.size(0) * values.size(1)))


def one_by_one(logits, values):
    """Mean and variance of each prefix, ``[batch * length, num_interests, ...]``, in a loop."""
    means, variances = [], []
    for row, value in zip(logits, values, strict=True):
        for size in range(1, len(value) + 1):
            weights = row[:, :size].softmax(-1)
            means.append(weights @ value[:size])
            variances.append((weights - 1 / size).square().sum(-1))
    return torch.stack(means), torch.stack(variances)


class TestPrefixAttention:
    def test_logits_0_log_3_and_0(self):
        logits = torch.tensor([[[0.0, math.log(3), 0.0]]], dtype=torch.float64)
        found = every_prefix(logits, torch.tensor([[[1.0], [5.0], [10.0]]], dtype=torch.float64))
        assert found.mean.flatten().tolist() == pytest.approx([1, (1 + 15) / 4, (1 + 15 + 10) / 5])
        assert found.variance.flatten().tolist() == pytest.approx([0, 10 / 16 - 1 / 2, 11 / 25 - 1 / 3])

    @pytest.mark.parametrize("length", [15, 16, 17, 32, 33, 50])
    @pytest.mark.parametrize("scale", [1.0, 100.0])
    def test_blocks_change_nothing(self, length, scale):
        generator = torch.Generator().manual_seed(length)
        logits = scale * torch.randn(2, 3, length, dtype=torch.float64, generator=generator)
        values = torch.randn(2, length, 4, dtype=torch.float64, generator=generator)
        variables = logits.requires_grad_(), values.requires_grad_()
        found, expected = every_prefix(*variables), one_by_one(*variables)
        directions = [torch.randn(part.shape, dtype=torch.float64, generator=generator) for part in expected]
        for part, other in zip(found, expected, strict=True):
            torch.testing.assert_close(part, other, **EXACT)
        gradients = (torch.autograd.grad(parts, variables, directions) for parts in (found, expected))
        for part, other in zip(*gradients, strict=True):
            torch.testing.assert_close(part, other, **EXACT)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    @pytest.mark.parametrize("before", [0, 15])
    def test_large_logits_of_either_sign(self, dtype, before):
        low = [-1e6] * before  # moves what follows on to the edge of a block
        logits = torch.tensor([[[*low, -1000.0, -1000.0, 1000.0, -1000.0, 1000.0]]], dtype=dtype, requires_grad=True)
        values = torch.tensor([*low, 1.0, 2.0, 3.0, 4.0, 5.0], dtype=dtype).view(1, -1, 1)
        mean, variance = (part[before:].flatten() for part in every_prefix(logits, values))
        assert mean.tolist() == [1, 1.5, 3, 3, 4]
        sums = torch.tensor([1, 1 / 2, 1, 1, 1 / 2]) - 1 / torch.arange(before + 1, before + 6)
        assert variance.tolist() == pytest.approx(sums.tolist(), abs=1e-6)
        (mean.sum() + variance.sum()).backward()
        assert logits.grad.isfinite().all()

    def test_what_comes_later_gets_no_gradient(self):
        logits, values = torch.randn(1, 2, 40, requires_grad=True), torch.randn(1, 40, 3, requires_grad=True)
        found = prefix_attention(logits, values, torch.tensor([17, 3]))
        torch.autograd.backward(found, [torch.ones_like(part) for part in found])
        assert not logits.grad[..., 18:].any()
        assert not values.grad[:, 18:].any()
        assert logits.grad[..., :18].all()


class TestCausalAttention:
    def test_is_prefix_attention_where_all_prefixes_share_their_logits(self):
        generator = torch.Generator().manual_seed(0)
        logits = torch.randn(2, 3, 5, dtype=torch.float64, generator=generator)
        values = torch.randn(2, 5, 4, dtype=torch.float64, generator=generator)
        found = causal_attention(logits.unsqueeze(1), values)
        for part, other in zip(found, one_by_one(logits, values), strict=True):
            torch.testing.assert_close(part.flatten(0, 1), other, **EXACT)

    def test_gradients(self):
        generator = torch.Generator().manual_seed(0)
        logits = torch.randn(2, 5, 2, 5, dtype=torch.float64, generator=generator, requires_grad=True)
        values = torch.randn(2, 5, 3, dtype=torch.float64, generator=generator, requires_grad=True)
        assert torch.autograd.gradcheck(causal_attention, (logits, values))


def test_autocast_leaves_the_attention_in_full_precision():
    x, _, prefix = histories([7, 3, 20])
    logits, values = torch.randn(3, 2, 20, generator=torch.Generator().manual_seed(1)), x.float()
    expected = prefix_attention(logits, values, prefix)
    with torch.autocast("cpu", torch.bfloat16):
        found = prefix_attention(logits, values, prefix)
        rounded = prefix_attention(logits.bfloat16(), values, prefix)
    half = prefix_attention(logits.bfloat16(), values.bfloat16(), prefix)
    assert half.mean.dtype == torch.bfloat16  # what it is a mean of, whatever it was summed in
    torch.testing.assert_close(half.mean.float(), expected.mean, atol=0.02, rtol=0)
    for part, close, other in zip(found, rounded, expected, strict=True):
        assert torch.equal(part, other)
        torch.testing.assert_close(close, other, atol=0.02, rtol=0)


def test_so_it_does_causal_attention():
    generator = torch.Generator().manual_seed(1)
    logits, values = torch.randn(1, 400, 1, 400, generator=generator), torch.randn(1, 400, 3, generator=generator)
    exact = causal_attention(logits.bfloat16().double(), values.double())
    with torch.autocast("cpu", torch.bfloat16):
        found = causal_attention(logits.bfloat16(), values)
    for part, other in zip(found, exact, strict=True):
        torch.testing.assert_close(part.double(), other, atol=1e-6, rtol=1e-4)
