import pytest
import torch

from graphmi.nn.conv.spread import spread


@pytest.mark.parametrize("num_src", [1, 511, 1200])  # none, one and two whole blocks of rows before the last
def test_sources_are_divided_as_written_out(num_src):
    share = torch.rand(num_src, 3, dtype=torch.float64, requires_grad=True)
    source = torch.randn(num_src, 5, dtype=torch.float64, requires_grad=True)
    found = spread(share, source)
    assert found.shape == (3, num_src, 5)
    for k in range(3):
        torch.testing.assert_close(found[k], share[:, k : k + 1] * source)
    incoming = torch.randn(num_src, 3, 5, dtype=torch.float64).transpose(0, 1)  # not as it lies in memory
    of_share, of_source = torch.autograd.grad(found, (share, source), incoming)
    torch.testing.assert_close(of_share, torch.einsum("knd,nd->nk", incoming, source))
    torch.testing.assert_close(of_source, torch.einsum("knd,nk->nd", incoming, share))


def test_gradients_and_theirs():
    share = torch.rand(4, 2, dtype=torch.float64, requires_grad=True)
    source = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(spread, (share, source))
    assert torch.autograd.gradgradcheck(spread, (share, source))
    assert torch.autograd.gradcheck(lambda each: spread(each, source.detach()), (share,))
    assert torch.autograd.gradcheck(lambda each: spread(share.detach(), each), (source,))
    share, source = torch.rand(4, 2).bfloat16(), torch.randn(4, 3, requires_grad=True)
    assert spread(share, source).dtype == torch.float32  # of two formats the wider


def test_transforms_of_torch_func():
    share, source = torch.rand(4, 2, dtype=torch.float64), torch.randn(4, 3, dtype=torch.float64)
    found = torch.func.grad(lambda each: spread(share, each).square().sum())(source)
    torch.testing.assert_close(found, 2 * source * share.square().sum(1, keepdim=True))
    share.requires_grad_(), source.requires_grad_()
    assert torch.autograd.gradcheck(spread, (share, source), check_forward_ad=True)
    share, source = share.detach(), source.detach()
    several = torch.stack([share, 2 * share, share.flip(0)])
    for in_dims, inputs in (
        ((0, None), (several, source)),
        ((2, 0), (several.movedim(0, 2), torch.stack([source] * 3))),
    ):
        found = torch.func.vmap(spread, in_dims)(*inputs)
        torch.testing.assert_close(found, torch.stack([spread(each, source) for each in several]))
    of_share = torch.func.jacfwd(spread)(share, source)
    torch.testing.assert_close(of_share, torch.func.jacrev(spread)(share, source))
    assert of_share[1, 2, 0, 2, 1] == source[2, 0]
    hessian = torch.func.hessian(lambda each: spread(share, each).square().sum())(source)
    torch.testing.assert_close(hessian.sum((2, 3)), (2 * share.square().sum(1, keepdim=True)).expand_as(source))
