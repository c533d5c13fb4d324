import pytest
import torch
import torch.nn.functional as F

from graphmi.nn.unit import unit


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16])
def test_vectors_of_length_one_and_zeros_without_a_gradient(dtype):
    x = torch.tensor([[3.0, 4.0], [0.0, 0.0], [-0.1, 0.0]], dtype=dtype, requires_grad=True)
    found = unit(x)
    torch.testing.assert_close(found, torch.tensor([[0.6, 0.8], [0.0, 0.0], [-1.0, 0.0]], dtype=dtype))
    found.backward(torch.tensor([1.0, 0.0], dtype=dtype).expand(3, 2))
    torch.testing.assert_close(x.grad, torch.tensor([[0.128, -0.096], [0.0, 0.0], [0.0, 0.0]], dtype=dtype))


def test_gradients_are_those_of_normalize():
    x = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(unit(x), F.normalize(x, dim=-1))
    assert torch.autograd.gradcheck(unit, x)
    assert torch.autograd.gradgradcheck(unit, x)
    incoming = torch.randn(3, 4, dtype=torch.float64)
    (found,) = torch.autograd.grad(unit(x), x, incoming)
    (expected,) = torch.autograd.grad(F.normalize(x, dim=-1), x, incoming)
    torch.testing.assert_close(found, expected)
    assert not unit(x.detach()).requires_grad


def test_transforms_of_torch_func():
    x = torch.randn(3, 4, dtype=torch.float64)
    weight = torch.randn(4, dtype=torch.float64)
    rows = [torch.func.grad(lambda row: unit(row) @ weight)(row) for row in x]
    expected = [torch.func.grad(lambda row: F.normalize(row, dim=-1) @ weight)(row) for row in x]
    torch.testing.assert_close(torch.stack(rows), torch.stack(expected))
    mapped = torch.func.vmap(torch.func.grad(lambda row: unit(row) @ weight))(x)
    torch.testing.assert_close(mapped, torch.stack(expected))
    change = torch.randn(3, 4, dtype=torch.float64)
    both = unit, F.normalize
    for found, other in zip(*(torch.func.jvp(each, (x,), (change,)) for each in both), strict=True):
        torch.testing.assert_close(found, other)
    hessians = (torch.func.hessian(lambda rows, each=each: (each(rows) @ weight).square().sum())(x) for each in both)
    torch.testing.assert_close(*hessians)


def test_a_backward_pass_under_autocast_is_in_full_precision():
    x = torch.randn(30, 16, requires_grad=True)
    incoming = torch.randn(30, 16)
    (expected,) = torch.autograd.grad(F.normalize(x, dim=-1), x, incoming)
    with torch.autocast("cpu", torch.bfloat16):
        (found,) = torch.autograd.grad(unit(x), x, incoming)
    torch.testing.assert_close(found, expected)
