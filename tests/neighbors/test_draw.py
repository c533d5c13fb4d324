from itertools import combinations

import pytest
import torch
from scipy.stats import chisquare

from graphmi.neighbors import draw_neighbors

ROWPTR = torch.tensor([0, 5, 5, 6, 16])  # degrees 5, 0, 1, 10
ALL = torch.arange(4)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def drawn(node, num, **options):
    """What each occurrence of a node got."""
    entry, owner = draw_neighbors(ROWPTR, node, num, **options)
    assert (owner.diff() >= 0).all()
    return [part.tolist() for part in entry.split(owner.bincount(minlength=len(node)).tolist())]


@pytest.mark.parametrize("num", [1, 2, 4, 5, 7, 30])
def test_distinct_entries_of_the_row_as_many_as_there_are(num):
    for seed in range(20):
        for node, entries in zip(ALL, drawn(ALL, num, generator=seeded(seed)), strict=True):
            start, end = int(ROWPTR[node]), int(ROWPTR[node + 1])
            assert len(set(entries)) == len(entries) == min(num, end - start)
            assert set(entries) <= set(range(start, end))


@pytest.mark.parametrize("num", [1, 3, 30])
def test_with_replacement_every_row_with_entries_gives_the_number(num):
    for node, entries in zip(ALL, drawn(ALL, num, replace=True, generator=seeded()), strict=True):
        start, end = int(ROWPTR[node]), int(ROWPTR[node + 1])
        assert len(entries) == (num if end > start else 0)
        assert set(entries) <= set(range(start, end))


@pytest.mark.parametrize("replace", [False, True])
def test_minus_one_gives_all(replace):
    node = torch.tensor([3, 1, 0, 3])
    expected = [list(range(int(ROWPTR[n]), int(ROWPTR[n + 1]))) for n in node]
    assert drawn(node, -1, replace=replace) == expected


@pytest.mark.parametrize("num", [2, 3])
def test_every_subset_comes_as_often(num):
    repeats = 20_000
    sets = [
        tuple(sorted(entries)) for entries in drawn(torch.zeros(repeats, dtype=torch.long), num, generator=seeded())
    ]
    counts = [sets.count(subset) for subset in combinations(range(5), num)]
    assert sum(counts) == repeats
    assert chisquare(counts).pvalue > 0.001


def test_every_neighbour_comes_as_often_with_replacement():
    entry, _ = draw_neighbors(ROWPTR, torch.full((10_000,), 3), 4, replace=True, generator=seeded())
    counts = entry.bincount(minlength=16)[6:]
    assert counts.sum() == 40_000
    assert chisquare(counts.tolist()).pvalue > 0.001


@pytest.mark.parametrize("num", [-1, 2])
def test_no_node_and_no_edge(num):
    for rowptr, node in ((ROWPTR, ALL[:0]), (torch.zeros(4, dtype=torch.long), ALL[:3])):
        entry, owner = draw_neighbors(rowptr, node, num)
        assert entry.numel() == owner.numel() == 0
        assert entry.dtype == owner.dtype == torch.int64


@pytest.mark.parametrize("num", [0, -2])
def test_a_wrong_number_is_named(num):
    with pytest.raises(ValueError, match=rf"'num_neighbors' .*got {num}"):
        draw_neighbors(ROWPTR, ALL, num)
