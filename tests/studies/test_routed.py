"""The routing prior of the study of one or several interests."""

import math

import pytest
import torch


@pytest.fixture
def extractor():
    from routed import RoutedExtractor

    torch.manual_seed(0)
    return RoutedExtractor(4, 5, num_interests=3, temperature=0.5).double()


@pytest.fixture
def histories():
    x = torch.randn(2, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    mask = torch.arange(5) < torch.tensor([[5], [3]])
    return x * mask.unsqueeze(-1), mask


def cosine(a, b):
    return float(a @ b) / math.sqrt(float(a @ a) * float(b @ b))


def test_written_out(extractor, histories):
    x, mask = histories
    found = extractor(x, mask)
    for row, length in enumerate((5, 3)):
        positions, prototypes = x[row, :length], extractor.prototype.detach()
        hidden = torch.tanh((positions + extractor.position.weight[:length]) @ extractor.hidden.weight.T)
        free = extractor.attention(hidden).T.tolist()
        weights = [[0.0] * length for _ in range(3)]
        for t, item in enumerate(positions):
            claims = [math.exp(cosine(item, prototype) / 0.5) for prototype in prototypes]
            for k in range(3):
                weights[k][t] = math.exp(free[k][t]) * claims[k] / sum(claims)
        for k in range(3):
            expected = sum(w * item for w, item in zip(weights[k], positions, strict=True)) / sum(weights[k])
            torch.testing.assert_close(found.interests[row, k], expected)


def test_prefixes_are_each_prefix_alone(extractor, histories):
    x, mask = histories
    prefix = torch.tensor([0, 2, 4, 5, 7])
    found = extractor.prefixes(x, mask, prefix).interests
    for row, last, got in zip((0, 0, 0, 1, 1), (0, 2, 4, 0, 2), found, strict=True):
        alone = extractor(x[row : row + 1, : last + 1], mask[row : row + 1, : last + 1]).interests[0]
        torch.testing.assert_close(got, alone)


def test_the_temperature_is_positive():
    from routed import RoutedExtractor

    with pytest.raises(ValueError, match=r"'temperature' must be positive \(got 0\)"):
        RoutedExtractor(4, temperature=0)
