import pytest
import torch
import torch.nn.functional as F

from graphmi.nn.extract import tanh_layers as module
from graphmi.nn.extract.tanh_layers import tanh_layers


def variables(num=7, dim=3, hidden=5, out=2, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    shapes = (num, dim), (hidden, dim), (out, hidden)
    return [torch.randn(shape, dtype=dtype, generator=generator).requires_grad_() for shape in shapes]


def plain(x, first, second):
    return F.linear(F.linear(x, first).tanh(), second)


@pytest.mark.parametrize("block", [1, 10, 2**18])
@pytest.mark.parametrize("num", [0, 1, 7])
def test_are_the_layers_whatever_the_blocks(monkeypatch, block, num):
    monkeypatch.setattr(module, "_BLOCK", block)
    inputs = variables(num)
    found, expected = tanh_layers(*inputs), plain(*inputs)
    torch.testing.assert_close(found, expected)
    direction = torch.randn_like(expected)
    gradients = (torch.autograd.grad(part, inputs, direction) for part in (found, expected))
    for part, other in zip(*gradients, strict=True):
        torch.testing.assert_close(part, other)


def test_gradients(monkeypatch):
    monkeypatch.setattr(module, "_BLOCK", 10)
    assert torch.autograd.gradcheck(tanh_layers, variables())


@pytest.mark.parametrize("block", [10, 2**18])
def test_autocast_takes_products_in_half_precision(monkeypatch, block):
    monkeypatch.setattr(module, "_BLOCK", block)
    inputs = variables(300, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        found = tanh_layers(*inputs)
    assert found.dtype == torch.bfloat16
    expected, direction = plain(*inputs), torch.randn(300, 2, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(found.float(), expected, atol=0.05, rtol=0)
    gradients = (
        torch.autograd.grad(found, inputs, direction.bfloat16()),
        torch.autograd.grad(expected, inputs, direction),
    )
    for part, other in zip(*gradients, strict=True):
        assert part.dtype == torch.float32
        assert (part - other).norm() < 0.02 * other.norm()


def test_gradients_of_many_blocks_add_up_in_single_precision(monkeypatch):
    monkeypatch.setattr(module, "_BLOCK", 1)
    x, first, second = variables(1, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        one, many = (tanh_layers(x.expand(num, -1), first, second).sum() for num in (1, 1000))
    for part, other in zip(*(torch.autograd.grad(each, (first, second)) for each in (one, many)), strict=True):
        torch.testing.assert_close(other / 1000, part, rtol=1e-3, atol=1e-5)


def test_numbers_of_rows_recur_under_autocast():
    sizes = []
    with (
        torch.autocast("cpu", torch.bfloat16),
        torch.autograd.graph.saved_tensors_hooks(lambda saved: sizes.append(len(saved)) or saved, lambda saved: saved),
    ):
        assert tanh_layers(*variables(300, dtype=torch.float32)).shape == (300, 2)
    assert 512 in sizes
    assert 300 not in sizes


def test_double_precision_is_kept_under_autocast():
    inputs = variables()
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(tanh_layers(*inputs), plain(*inputs))


def test_kinds_of_numbers_are_mixed_under_autocast_only():
    x, first, second = variables()
    with pytest.raises(RuntimeError, match="dtype"):
        tanh_layers(x.float(), first, second)


def test_second_derivatives_are_refused():
    inputs = variables()
    direction = torch.ones(7, 2, dtype=torch.float64, requires_grad=True)
    slopes = torch.autograd.grad(tanh_layers(*inputs), inputs, direction, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slopes[0].sum().backward()
