"""Items that do not learn, such as pretrained vectors: no product goes into a gradient of theirs."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from graphmi.losses import picked
from graphmi.losses.cross_entropy import cross_entropy_of_products
from graphmi.losses.picked import picked_products
from graphmi.losses.products import partition_of_products


class Products(TorchDispatchMode):
    """Counts matrix products."""

    number = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.number += function.overloadpacket in (torch.ops.aten.mm, torch.ops.aten.addmm, torch.ops.aten.addmm_)
        return function(*args, **(kwargs or {}))


LOSSES = {
    "cross entropy": lambda rows, items: cross_entropy_of_products(rows.unsqueeze(1), items, rows[:, 0].detach()),
    "partition": lambda rows, items: partition_of_products(rows.unsqueeze(1), items),
    "picked": lambda rows, items: picked_products(rows, items, torch.tensor([[0, 3], [2, 2], [1, 4]])),
}


@pytest.mark.parametrize("direction", [torch.ones(3), torch.tensor([1.0, -2.0, 0.5])], ids=["alike", "different"])
@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_gradients_are_those_of_items_that_learn_for_fewer_products(monkeypatch, loss, direction):
    monkeypatch.setattr(picked, "_SCORES", 15 - 1)  # at most two rows at once
    rows, items = torch.randn(3, 4, requires_grad=True), torch.randn(5, 4)
    numbers, gradients = [], []
    for learns in (True, False):
        items.requires_grad_(learns)
        with Products() as counted:
            (direction * loss(rows, items).view(3, -1).sum(1)).sum().backward()
        numbers.append(counted.number)
        gradients.append(rows.grad)
        rows.grad = None
    torch.testing.assert_close(*gradients)
    assert items.grad is not None
    assert 2 * numbers[0] == 3 * numbers[1] > 0  # of scores, for the rows, and for the items
