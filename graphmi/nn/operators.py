"""Custom operators of sparse products: opaque to ``torch.compile``, in full precision under autocast."""

import warnings

import torch
import torch.nn.functional as F
from torch import Tensor

from graphmi.nn.autocast import widened

__all__ = ["sddmm", "spmm"]

_COLUMNS = 32  # per product; half as many where this many would not fit into the shared cache
_NEAR = 2**20  # bytes: about the cache of one core
_FAR = 2**25  # bytes: about the cache of all cores
_DENSE = 50  # entries per row of x

with warnings.catch_warnings():  # torch says once per process that its CSR layout is in beta
    warnings.simplefilter("ignore", UserWarning)
    torch.sparse_csr_tensor(torch.tensor([0, 1]), torch.tensor([0]), torch.ones(1), (1, 1))


@torch.library.custom_op("graphmi::spmm", mutates_args=())
def spmm(
    rowptr: Tensor, col: Tensor, value: Tensor, rowptr_t: Tensor, col_t: Tensor, value_t: Tensor, x: Tensor
) -> Tensor:
    """Multiply a CSR matrix with ``x``, ``[..., num_src, dim]``; its transpose is there for the gradient."""
    num_src, num_dst, dtype = rowptr_t.numel() - 1, rowptr.numel() - 1, x.dtype
    value, x = _computable(value), _computable(x)
    matrix = torch.sparse_csr_tensor(rowptr, col, value, (num_dst, num_src), check_invariants=False)
    out = x.new_empty(*x.shape[:-2], num_dst, x.size(-1))
    width = _width(col.numel(), x)
    # One product per interest, and some columns at a time: they stay in the cache where all do not.
    for vectors, results in zip(x.unbind(), out.unbind(), strict=True) if x.dim() == 3 else [(x, out)]:
        for part, result in zip(torch.split(vectors, width, 1), torch.split(results, width, 1), strict=True):
            if x.is_cpu:  # torch.mm would fill a matrix with zeros first, and copy it
                torch.addmm(result, matrix, part.contiguous(), beta=0, out=result)
            else:
                torch.mm(matrix, part.contiguous(), out=result)
    return out.to(dtype)


def _computable(x: Tensor) -> Tensor:
    """Return half precision as float32 on the CPU, for which torch has no sparse products of it."""
    return widened(x) if x.is_cpu else x


def _width(num_edges: int, x: Tensor) -> int:
    """Return how many columns of ``x`` to multiply at a time.

    Every entry of the matrix fetches a row of ``x``. Where all do not stay in the cache of a core anyhow, and many
    entries fetch the same or rows come from beyond all caches, narrow rows that do are worth reading the matrix
    several times.
    """
    num_src, dim = x.shape[-2:]
    size = num_src * x.element_size()  # bytes of a column
    near = dim * size <= (_FAR if num_edges < _DENSE * num_src else _NEAR)
    if x.device.type != "cpu" or near:
        return max(dim, 1)
    return _COLUMNS // 2 if _COLUMNS * size > _FAR // 2 else _COLUMNS


@torch.library.custom_op("graphmi::sddmm", mutates_args=())
def sddmm(rowptr: Tensor, col: Tensor, dst: Tensor, src: Tensor) -> Tensor:
    """Return the inner products of ``dst`` and ``src`` at the entries of a CSR pattern, ``[num_edges]``."""
    left, right = widened(dst), widened(src)
    missing = -(-col.numel() // max(len(left), 1)) - len(right)
    if missing > 0:  # edges repeat, and torch has room for as many entries as there are places: more columns
        right = F.pad(right, (0, 0, 0, missing))
    zeros = left.new_zeros(col.numel())
    pattern = torch.sparse_csr_tensor(rowptr, col, zeros, (len(left), len(right)), check_invariants=False)
    # without a place for the result, which the pattern is, the indices would be copied as 64 bits
    out: Tensor = torch.sparse.sampled_addmm(pattern, left.contiguous(), right.t(), beta=0.0, out=pattern).values()
    return out.to(dst.dtype, copy=True)


@spmm.register_fake
def _(
    rowptr: Tensor, col: Tensor, value: Tensor, rowptr_t: Tensor, col_t: Tensor, value_t: Tensor, x: Tensor
) -> Tensor:
    return x.new_empty(*x.shape[:-2], rowptr.size(0) - 1, x.size(-1))


@sddmm.register_fake
def _(rowptr: Tensor, col: Tensor, dst: Tensor, src: Tensor) -> Tensor:
    return dst.new_empty(col.size(0))


def _save(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    rowptr, col, value, rowptr_t, col_t, value_t, x = inputs
    needs_value = ctx.needs_input_grad[2]
    ctx.save_for_backward(rowptr, col, value, rowptr_t, col_t, value_t, x if needs_value else None)


def _backward(ctx, grad: Tensor):  # type: ignore[no-untyped-def]
    rowptr, col, value, rowptr_t, col_t, value_t, x = ctx.saved_tensors
    grad_x = grad_value = None
    if ctx.needs_input_grad[6]:
        grad_x = spmm(rowptr_t, col_t, value_t, rowptr, col, value, grad)
    if ctx.needs_input_grad[2]:
        pairs = zip(grad, x, strict=True) if x.dim() == 3 else [(grad, x)]
        grad_value = torch.stack([sddmm(rowptr, col, g, h) for g, h in pairs]).sum(0)
    return None, None, grad_value, None, None, None, grad_x


spmm.register_autograd(_backward, setup_context=_save)
for _op in (spmm, sddmm):
    for _device in ("cpu", "cuda"):
        _op.register_autocast(_device, torch.float32)
