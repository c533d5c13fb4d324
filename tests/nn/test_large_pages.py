import mmap
import re
from pathlib import Path

import pytest
import torch
from torch import nn

from graphmi.nn import large_pages
from graphmi.nn.large_pages import embedding_table, in_large_pages


@pytest.mark.parametrize("num", [3, 20_000])  # smaller than a page, and of several
def test_a_table_is_the_embedding_of_torch(num):
    torch.manual_seed(0)
    expected = nn.Embedding(num, 64, sparse=True)
    torch.manual_seed(0)
    table = embedding_table(num, 64, sparse=True)
    assert table.weight.equal(expected.weight)
    assert (table.sparse, table.weight.requires_grad, table.padding_idx) == (True, True, None)


@pytest.mark.skipif(not hasattr(mmap, "MADV_HUGEPAGE"), reason="pages of 2 MB are asked for on Linux")
def test_whole_pages_of_a_tensor_are_asked_for_and_nothing_beyond():
    tensor = in_large_pages(torch.empty(4_000_000))
    start, end = tensor.data_ptr(), tensor.data_ptr() + tensor.nbytes
    areas = re.split(r"(?m)^(?=[0-9a-f]+-[0-9a-f]+ )", Path("/proc/self/smaps").read_text())
    advised = [
        (int(first, 16), int(last, 16))
        for area in areas
        if "VmFlags:" in area and " hg" in area.partition("VmFlags:")[2]
        for first, last in [area.split(maxsplit=1)[0].split("-")]
    ]
    inside = [area for area in advised if start <= area[0] < end]
    assert inside
    assert all(last <= end for _, last in inside)
    assert sum(last - first for first, last in inside) >= tensor.nbytes - 2 * large_pages._PAGE


def test_what_has_no_such_pages_is_left(monkeypatch):
    monkeypatch.setattr(large_pages.ctypes, "CDLL", lambda name: pytest.fail("asked for"))
    for tensor in (torch.empty(5), torch.empty(10_000_000, device="meta"), nn.Parameter(torch.empty(1_000_000))[:9]):
        assert in_large_pages(tensor) is tensor
    monkeypatch.setattr(large_pages, "_ADVICE", None)  # another system
    tensor = torch.empty(4_000_000)
    assert in_large_pages(tensor) is tensor
