import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphmi.metrics import LinkPredNDCG, ranking_metrics, values_per_user


def naive(name, ranking, relevant, k):
    """One user, straight from the textbook; the ranking may be short."""
    hits = [item in relevant for item in ranking[:k]]
    if not relevant:
        return 0.0
    ideal = min(k, len(relevant))
    if name == "recall":
        return sum(hits) / len(relevant)
    if name == "precision":
        return sum(hits) / k
    if name == "hit":
        return float(any(hits))
    if name == "mrr":
        return next((1 / rank for rank, hit in enumerate(hits, 1) if hit), 0.0)
    if name == "ndcg":
        gain = sum(1 / math.log2(rank + 1) for rank, hit in enumerate(hits, 1) if hit)
        return gain / sum(1 / math.log2(rank + 1) for rank in range(1, ideal + 1))
    return sum(sum(hits[:rank]) / rank for rank, hit in enumerate(hits, 1) if hit) / ideal


def pad(rankings, width):
    return torch.tensor([[*row, *[-1] * (width - len(row))] for row in rankings])


def labels(relevant):
    pairs = [(row, item) for row, items in enumerate(relevant) for item in items]
    return torch.tensor(pairs, dtype=torch.int64).view(-1, 2).t()


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_equals_naive_loop(data):
    num_items = data.draw(st.integers(1, 12))
    rows = data.draw(st.integers(1, 5))
    items = st.lists(st.integers(0, num_items - 1), unique=True)
    rankings = [data.draw(items) for _ in range(rows)]
    relevant = [data.draw(items) for _ in range(rows)]
    values = values_per_user(ranking_metrics([1, 3, 12]), pad(rankings, 12), labels(relevant))
    assert len(values) == 18
    for key, value in values.items():
        name, k = key.split("@")
        expected = [naive(name, *pair, int(k)) for pair in zip(rankings, relevant, strict=True)]
        torch.testing.assert_close(value, torch.tensor(expected), msg=lambda text, key=key: f"{key}: {text}")


def test_ndcg_takes_the_ideal_of_all_relevant_items():
    # Hits at ranks 1 and 3 of 5, 4 relevant items: not .919721, which is the ideal of the hits alone.
    values = values_per_user({"ndcg": LinkPredNDCG(5)}, torch.tensor([[0, 9, 1, 8, 7]]), labels([[0, 1, 2, 3]]))
    assert values["ndcg"].item() == pytest.approx(0.585570, abs=1e-6)


def test_missing_predictions_match_nothing():
    # Row 1 is empty; PyG alone would count its -1 as item 4 of row 0, which is relevant there.
    values = values_per_user(ranking_metrics([2]), torch.tensor([[3, 4], [-1, -1]]), labels([[4], [4]]))
    assert values["recall@2"].tolist() == [1.0, 0.0]


def test_impossible_arguments():
    with pytest.raises(ValueError, match="positive"):
        ranking_metrics([0])
    with pytest.raises(ValueError, match=r"'ndcg@5' needs 5 predictions a row \(got 2\)"):
        values_per_user(ranking_metrics([5]), torch.tensor([[1, 2]]), labels([[1]]))
