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
