"""Dropout by its statistics, its gradient, and torch where nothing is random."""

import pytest
import torch
import torch.nn.functional as F

from graphmi.nn.dropout import Dropout, dropout
from graphmi.nn.encode import transformer


@pytest.mark.parametrize("p", [0.1, 0.3, 0.5, 0.9])
def test_numbers_are_dropped_independently_and_the_mean_stays(p):
    dropped = torch.stack([dropout(torch.ones(13, 3), p) == 0 for _ in range(4_000)]).flatten(1).double()
    standard_error = (p * (1 - p) / len(dropped)) ** 0.5
    assert ((dropped.mean(0) - p).abs() < 5 * standard_error).all()
    correlation = torch.corrcoef(dropped.T).fill_diagonal_(0)
    assert correlation.abs().max() < 6 / len(dropped) ** 0.5
    many = (dropout(torch.ones(250_000, 4), p) == 0).double()  # those that share a draw
    assert ((many.mean(0) - p).abs() < 5 * (p * (1 - p) / len(many)) ** 0.5).all()
    assert torch.corrcoef(many.T).fill_diagonal_(0).abs().max() < 5 / len(many) ** 0.5
    kept = dropout(torch.ones(1000), p)
    torch.testing.assert_close(kept.unique(), torch.tensor([0.0, 1 / (1 - p)]), rtol=2e-4, atol=0)
    assert dropout(torch.ones(10**6), p).mean() == pytest.approx(1, abs=5 * (p / (1 - p) / 10**6) ** 0.5 + 1e-4)


def test_the_gradient_is_that_of_what_is_kept():
    x = torch.randn(7, 5, dtype=torch.float64, requires_grad=True)
    out = dropout(x, 0.4)
    (gradient,) = torch.autograd.grad(out.sum(), x)
    torch.testing.assert_close(gradient * x, out)


def test_a_seed_decides_what_is_dropped():
    for size in (50, 50_000):  # torch's draws and numpy's
        x, found = torch.ones(size), []
        for seed in (0, 0, 1):
            torch.manual_seed(seed)
            found.append(dropout(x, 0.5))
        assert torch.equal(found[0], found[1])
        assert not torch.equal(found[0], found[2])
        assert not torch.equal(found[2], dropout(x, 0.5))  # the next draw is another


def test_nothing_is_done_outside_of_training():
    x = torch.randn(3)
    assert torch.equal(Dropout(0.5).eval()(x), x)
    assert torch.equal(dropout(x, 0.0), x)
    assert dropout(x[:0], 0.5).shape == (0,)
    assert dropout(x, 0.99999999).isfinite().all()


def test_attention_with_dropout_is_torchs_attention(monkeypatch):
    query, key, value = torch.randn(3, 2, 2, 5, 4, dtype=torch.float64).requires_grad_()
    expected = F.scaled_dot_product_attention(query, key, value, is_causal=True)
    monkeypatch.setattr(transformer, "dropout", lambda x, p: x)
    torch.testing.assert_close(transformer._attention(query, key, value, 0.5), expected)
    torch.testing.assert_close(transformer._attention(query, key, value, 0.0), expected)
