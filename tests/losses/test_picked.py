import pytest
import torch

from graphmi.losses import picked
from graphmi.losses.picked import picked_products

SHAPES = pytest.mark.parametrize(("rows", "num_items", "num_negatives"), [(5, 7, 4), (1, 3, 9), (4, 1, 2), (0, 3, 2)])


def drawn(rows, num_items, num_negatives, dtype=torch.float64):
    query, items = torch.randn(rows, 3, dtype=dtype), torch.randn(num_items, 3, dtype=dtype)
    return query.requires_grad_(), items.requires_grad_(), torch.randint(num_items, (rows, num_negatives))


def of_gathered(query, items, item):
    return (query.unsqueeze(1) * items[item]).sum(-1)


@SHAPES
@pytest.mark.parametrize("scores", [1, 14, 2**19])  # a row at a time, two, all
def test_products_and_gradients_are_those_of_gathered_vectors(monkeypatch, rows, num_items, num_negatives, scores):
    monkeypatch.setattr(picked, "_SCORES", scores)
    inputs = drawn(rows, num_items, num_negatives)
    found, expected = picked_products(*inputs), of_gathered(*inputs)
    torch.testing.assert_close(found, expected)
    weight = torch.randn_like(found)  # an item that comes twice in a row gets both gradients
    for one, other in zip(*(torch.autograd.grad(x, inputs[:2], weight) for x in (found, expected)), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("scores", [1, 14])
def test_gradients(monkeypatch, scores):
    monkeypatch.setattr(picked, "_SCORES", scores)
    query, items, item = drawn(5, 7, 4)
    assert torch.autograd.gradcheck(lambda *vectors: picked_products(*vectors, item), (query, items))


def test_half_precision_and_compiled_code_take_one_product():
    query, items, item = drawn(5, 7, 4, torch.float32)
    with torch.autocast("cpu"):
        assert picked_products(query, items, item).dtype == torch.bfloat16
    half = query.detach().bfloat16(), items.detach().bfloat16()
    assert picked_products(*half, item).dtype == torch.bfloat16
    compiled = torch.compile(picked_products, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(query, items, item), picked_products(query, items, item))


def test_in_half_precision_the_gradient_of_an_item_is_summed_in_full(monkeypatch):
    monkeypatch.setattr(picked, "_SCORES", 1)
    query, items = torch.ones(1000, 1, dtype=torch.bfloat16), torch.ones(1, 1, dtype=torch.bfloat16, requires_grad=True)
    picked_products(query, items, torch.zeros(1000, 1, dtype=torch.int64)).sum().backward()
    assert items.grad.item() == 1000  # one by one, the sum would not get beyond 256


def test_scores_of_all_items_are_there_for_few_rows_at_a_time(monkeypatch, make_largest):
    query, items, item = drawn(50, 40, 2)
    for scores, largest in ((50 * 40, 50 * 40), (50 * 40 - 1, 49 * 40), (200, 200)):
        monkeypatch.setattr(picked, "_SCORES", scores)
        with make_largest() as seen:
            picked_products(query, items, item).sum().backward()
        assert seen.numel == largest
