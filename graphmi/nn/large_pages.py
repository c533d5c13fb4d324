"""Tables in large pages of memory, where random rows of them are found sooner."""

import ctypes
import mmap

import torch
from torch import Tensor, nn

__all__ = ["embedding_table", "in_large_pages"]

_PAGE = 2 * 1024 * 1024
_ADVICE = getattr(mmap, "MADV_HUGEPAGE", None)  # of Linux


def embedding_table(num: int, dim: int, *, sparse: bool = False) -> nn.Embedding:
    """Return ``nn.Embedding(num, dim, sparse=sparse)``, in large pages."""
    table = nn.Embedding(num, dim, sparse=sparse, _weight=in_large_pages(torch.empty(num, dim)))
    table.reset_parameters()
    return table


def in_large_pages(tensor: Tensor) -> Tensor:
    """Ask for pages of 2 MB for a tensor, before anything is written to it, and return it.

    A processor remembers where some thousand pages lie. A table of gigabytes has hundreds of thousands of 4 KB, so that
    each random row costs a search for its page as well; of 2 MB it has a thousand. Where the system has no such pages,
    or the tensor is elsewhere or smaller than one, nothing happens.
    """
    if _ADVICE is not None and type(tensor) is Tensor and tensor.device.type == "cpu":
        start = -(-tensor.data_ptr() // _PAGE) * _PAGE  # pages that are the tensor's alone
        length = (tensor.data_ptr() + tensor.nbytes - start) // _PAGE * _PAGE
        if length > 0:
            ctypes.CDLL(None).madvise(ctypes.c_void_p(start), ctypes.c_size_t(length), ctypes.c_int(_ADVICE))
    return tensor
