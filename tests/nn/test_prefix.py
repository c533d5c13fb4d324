"""One pass over a history gives the same as each of its prefixes alone."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphmi.nn import Extractor, LastPosition, LastQueryExtractor, MeanPooling, RecentPositions, SelfAttentiveExtractor
from graphmi.nn.extract.prefix import prefix_attention

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


class TestPrefixAttention:
    def test_logits_0_log_3_and_0(self):
        logits = torch.tensor([[[0.0, math.log(3), 0.0]]], dtype=torch.float64)
        found = prefix_attention(logits, torch.tensor([[[1.0], [5.0], [10.0]]], dtype=torch.float64))
        assert found.mean.flatten().tolist() == pytest.approx([1, (1 + 15) / 4, (1 + 15 + 10) / 5])
        assert found.variance.flatten().tolist() == pytest.approx([0, 10 / 16 - 1 / 2, 11 / 25 - 1 / 3])

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_large_logits_of_either_sign(self, dtype):
        logits = torch.tensor([[[-1000.0, -1000.0, 1000.0, -1000.0, 1000.0]]], dtype=dtype, requires_grad=True)
        values = torch.arange(1.0, 6.0, dtype=dtype).view(1, 5, 1)
        found = prefix_attention(logits, values)
        assert found.mean.flatten().tolist() == [1, 1.5, 3, 3, 4]
        assert found.variance.flatten().tolist() == pytest.approx([0, 0, 1 - 1 / 3, 1 - 1 / 4, 1 / 2 - 1 / 5], abs=1e-6)
        (found.mean.sum() + found.variance.sum()).backward()
        assert logits.grad.isfinite().all()

    def test_gradients(self):
        generator = torch.Generator().manual_seed(0)
        logits = torch.randn(2, 2, 5, dtype=torch.float64, generator=generator, requires_grad=True)
        values = torch.randn(2, 5, 3, dtype=torch.float64, generator=generator, requires_grad=True)
        assert torch.autograd.gradcheck(prefix_attention, (logits, values))
