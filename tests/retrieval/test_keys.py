import math
import subprocess
import sys

import pytest
import torch

from graphmi.retrieval import keys

SCORES = torch.tensor([-math.inf, -3.4e38, -1.5, -1e-45, 0.0, 1e-45, 2.0, 3.4e38, math.inf])


def test_order_of_keys_is_order_of_scores():
    found = keys.encode(SCORES, torch.zeros(9, dtype=torch.int64))
    assert (found.diff() > 0).all()


def test_decode_gives_back_scores_and_ids():
    index = torch.tensor([5, 0, 1, 2**32 - 1, 7, 8, 9, 10, 11])
    scores, ids = keys.decode(keys.encode(SCORES, index))
    assert torch.equal(scores, SCORES)
    assert ids.tolist() == [-1, *index[1:].tolist()]  # -inf is no item


def test_lower_id_wins_a_tie_and_both_zeros_tie():
    found = keys.encode(torch.tensor([0.0, -0.0, 0.0]), torch.arange(3))
    assert found.argsort(descending=True).tolist() == [0, 1, 2]


def test_empty_is_below_every_item():
    assert keys.encode(torch.tensor([-math.inf]), torch.tensor([2**32 - 2])).item() > keys.EMPTY
    assert keys.decode(torch.tensor([keys.EMPTY]))[1].item() == -1


def test_largest_equals_sort():
    generator = torch.Generator().manual_seed(0)
    rows = torch.randint(-(2**62), 2**62, (20, 33), generator=generator)
    expected = rows.sort(dim=1, descending=True).values
    for k in (1, 7, 33, 40):
        assert torch.equal(keys.largest_sorted(rows.clone(), k), expected[:, :k])
        assert torch.equal(keys.largest(rows.clone(), k).sort(dim=1, descending=True).values, expected[:, :k])


@pytest.mark.parametrize("high", [0, 2, 10**6])  # all equal, many ties, hardly any
@pytest.mark.parametrize("k", [1, 7, 32, 33, 40])
def test_largest_places_equal_a_stable_sort(high, k):
    scores = torch.randint(-high, high + 1, (20, 33), generator=torch.Generator().manual_seed(0)).float()
    scores[3, 5:] = -math.inf
    expected = scores.sort(dim=1, descending=True, stable=True).indices[:, :k].sort(dim=1).values
    assert torch.equal(keys.largest_places(scores, k), expected)


def test_the_default_dtype_does_not_matter():
    code = "import torch; torch.set_default_dtype(torch.float64); from graphmi.retrieval import keys; print(keys.EMPTY)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(found.stdout) == keys.EMPTY
