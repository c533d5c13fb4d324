"""What crosses between parts goes to a device as a whole."""

import torch
from lightning_fabric.utilities.apply_func import move_data_to_device

from graphmi.typing import Batch, Negatives


def test_batches_and_negatives_move_with_all_their_tensors():
    batch = Batch(torch.arange(3), history=torch.zeros(3, 2, dtype=torch.int64), mask=torch.ones(3, 2).bool())
    negatives = Negatives(torch.arange(4), log_q=torch.zeros(4), excludes_known=True, block_size=2)
    for value in (batch, negatives):
        for moved in (value.to("meta"), move_data_to_device(value, torch.device("meta"))):
            for name in type(value).__dataclass_fields__:
                before, after = getattr(value, name), getattr(moved, name)
                if torch.is_tensor(before):
                    assert (after.device.type, after.shape, after.dtype) == ("meta", before.shape, before.dtype)
                else:
                    assert after == before
