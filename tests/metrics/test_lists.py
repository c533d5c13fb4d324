import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.metrics import LinkPredCoverage

from graphmi.metrics import (
    Catalogue,
    calibration,
    category_distribution,
    gini,
    list_entropy,
    list_values,
    novelty,
)

# Items 0 to 4: two categories, one, one, none, all three.
CATEGORY = torch.tensor([[1, 1, 0], [1, 0, 0], [0, 0, 1], [0, 0, 0], [1, 1, 1]])


def world(seed=0, num_users=20, num_items=15, num_categories=4, length=6):
    """Random lists, some cut short, histories of any length, and items with any number of categories."""
    draws = torch.Generator().manual_seed(seed)
    ranking = torch.rand(num_users, num_items, generator=draws).argsort(dim=1)[:, :length]
    left = torch.randint(0, length + 1, (num_users, 1), generator=draws)
    ranking = ranking.where(torch.arange(length) < left, -1)
    category = (torch.rand(num_items, num_categories, generator=draws) < 0.3).long()
    histories = [
        torch.randperm(num_items, generator=draws)[:size].tolist()
        for size in torch.randint(0, 5, (num_users,), generator=draws).tolist()
    ]
    popularity = torch.randint(0, 30, (num_items,), generator=draws)
    return ranking, category, histories, popularity


def csr(rows):
    rowptr = torch.tensor([0, *(len(row) for row in rows)]).cumsum(0)
    return rowptr, torch.tensor([item for row in rows for item in row], dtype=torch.int64)


def mixture(items, category):
    """Return the distribution over categories of a list of items, or None."""
    weights = [0.0] * category.size(1)
    for item in items:
        mine = [c for c, member in enumerate(category[item].tolist()) if member]
        for c in mine:
            weights[c] += 1 / len(mine)
    return [weight / sum(weights) for weight in weights] if sum(weights) else None


def real(row):
    return [item for item in row.tolist() if item >= 0]


def expect(values, expected):
    """Compare values with a list that has None where they must be NaN."""
    assert len(values) == len(expected)
    for value, one in zip(values.tolist(), expected, strict=True):
        assert math.isnan(value) if one is None else value == pytest.approx(one, abs=1e-5)
    assert {one is None for one in expected} == {True, False}  # both happen in the data


def test_items_share_their_weight_among_their_categories():
    share = Catalogue(torch.ones(5), CATEGORY).share
    found = category_distribution(torch.tensor([[0, 1, 3, -1], [4, 2, -1, -1], [3, -1, -1, -1]]), share)
    assert found[0].tolist() == pytest.approx([0.75, 0.25, 0.0])
    assert found[1].tolist() == pytest.approx([1 / 6, 1 / 6, 2 / 3])
    assert found[2].isnan().all()
    rows = category_distribution(torch.tensor([0, 1, 3, 4, 2]), share, torch.tensor([0, 3, 5, 5]))
    assert torch.allclose(rows, found.nan_to_num(nan=math.nan), equal_nan=True)
    assert Catalogue(torch.ones(1), torch.tensor([[0.2, 0.0, 3.0]])).share.tolist() == [[0.5, 0.0, 0.5]]


@pytest.mark.parametrize("seed", [0, 1])
def test_values_equal_loops(seed):
    ranking, category, histories, popularity = world(seed)
    found = list_values(ranking, (2, 6), Catalogue(popularity, category), csr(histories))
    assert set(found) == {f"{name}@{k}" for name in ("novelty", "entropy", "calibration") for k in (2, 6)}
    total = popularity.sum().item()
    for k in (2, 6):
        entropies, distances, novelties = [], [], []
        for row, history in zip(ranking[:, :k], histories, strict=True):
            listed, before = mixture(real(row), category), mixture(history, category)
            bits = [math.log2(total / max(1, popularity[item].item())) for item in real(row)]
            novelties.append(sum(bits) / len(bits) if bits else None)
            entropies.append(None if listed is None else -sum(q * math.log(q) for q in listed if q))
            if listed is None or before is None:
                distances.append(None)
                continue
            smooth = [0.99 * q + 0.01 * p for p, q in zip(before, listed, strict=True)]
            distances.append(sum(p * math.log(p / q) for p, q in zip(before, smooth, strict=True) if p))
        expect(found[f"novelty@{k}"], novelties)
        expect(found[f"entropy@{k}"], entropies)
        expect(found[f"calibration@{k}"], distances)


def test_without_categories_or_history():
    ranking, category, _, popularity = world()
    assert set(list_values(ranking, [3], Catalogue(popularity))) == {"novelty@3"}
    assert set(list_values(ranking, [3], Catalogue(popularity, category))) == {"novelty@3", "entropy@3"}


def test_nobody_has_a_history():
    ranking, category, _, popularity = world()
    found = list_values(ranking, [3], Catalogue(popularity, category), csr([[]] * len(ranking)))
    assert found["calibration@3"].isnan().all()


def test_calibration_by_hand():
    half, one = torch.tensor([[0.5, 0.5]]), torch.tensor([[1.0, 0.0]])
    # A history of two equal interests, one of which is missing: 0.5 log(.5/.995) + 0.5 log(.5/.005).
    assert calibration(one, half).item() == pytest.approx(0.5 * math.log(0.5 / 0.995) + 0.5 * math.log(100))
    # The other way round: new things in the list cost little, log(1 / (.99 * .5 + .01)).
    assert calibration(half, one).item() == pytest.approx(math.log(1 / 0.505))
    assert calibration(one.flip(1), one).item() == pytest.approx(math.log(100))
    assert calibration(half, one, alpha=1.0).item() == 0.0
    for alpha in (0.0, 1.5):
        with pytest.raises(ValueError, match=r"'alpha' must be above 0 and at most 1"):
            calibration(half, one, alpha)


def test_rounding_takes_no_calibration_below_zero():
    listed = torch.rand(200, 7, generator=torch.Generator().manual_seed(0))
    listed /= listed.sum(dim=1, keepdim=True)
    assert calibration(listed, listed).min() >= 0


weights = st.lists(st.integers(0, 5), min_size=4, max_size=4).filter(any)


@settings(max_examples=50, deadline=None)
@given(weights, weights)
def test_ranges_of_entropy_and_calibration(first, second):
    first, second = (torch.tensor([one], dtype=torch.float32) / sum(one) for one in (first, second))
    assert 0 <= list_entropy(first).item() <= math.log(4) + 1e-6
    assert 0 <= calibration(first, second).item() <= math.log(100) + 1e-6
    assert calibration(first, first).item() == pytest.approx(0.0, abs=1e-6)
    swap = torch.tensor([2, 0, 3, 1])
    expected = calibration(first, second).item()
    assert calibration(first[:, swap], second[:, swap]).item() == pytest.approx(expected, abs=1e-5)


def test_novelty_counts_bits():
    catalogue = Catalogue(torch.tensor([8, 4, 4, 0]))
    assert catalogue.information.tolist() == [1.0, 2.0, 2.0, 4.0]  # an item without any counts as if it had one
    found = novelty(torch.tensor([[0, 1], [3, -1], [-1, -1]]), catalogue.information)
    assert found[:2].tolist() == [1.5, 4.0]
    assert found[2].isnan()
    assert Catalogue(torch.zeros(2)).information.tolist() == [0.0, 0.0]  # nobody had anything: nothing is surprising


def test_gini_equals_the_mean_difference_of_all_pairs():
    exposure = torch.randint(0, 20, (3, 12), generator=torch.Generator().manual_seed(0))
    for row, value in zip(exposure.tolist(), gini(exposure).tolist(), strict=True):
        pairs = sum(abs(a - b) for a in row for b in row)
        assert value == pytest.approx(pairs / (2 * len(row) * sum(row)))
    assert gini(torch.ones(7)).item() == pytest.approx(0.0, abs=1e-12)
    assert gini(torch.tensor([0, 0, 9, 0])).item() == pytest.approx(1 - 1 / 4)
    assert gini(torch.zeros(4)).isnan()


def test_coverage_of_pyg_is_that_of_the_exposure():
    ranking = torch.randint(0, 30, (5, 4), generator=torch.Generator().manual_seed(0))
    metric = LinkPredCoverage(4, num_dst_nodes=30)
    metric.update(ranking, torch.empty(2, 0, dtype=torch.int64))
    assert metric.compute().item() == pytest.approx(len(set(ranking.flatten().tolist())) / 30)


def test_catalogue_refuses_wrong_shapes():
    with pytest.raises(ValueError, match=r"'popularity' must be one number per item \(got shape \[2, 2\]\)"):
        Catalogue(torch.ones(2, 2))
    with pytest.raises(ValueError, match=r"'category' must be \[3, num_categories\] \(got shape \[2, 5\]\)"):
        Catalogue(torch.ones(3), torch.ones(2, 5))
