import math

import pytest
import torch

from graphmi.nn.powers import exp2_


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_powers_of_2_are_0_where_they_are_tiny_and_finite_above_0(dtype):
    least = math.log2(torch.finfo(dtype).tiny)
    exponents = torch.tensor([0.0, -1.0, -3.5, 2000.0, -torch.inf, least - 5, least + 1.5, least + 3], dtype=dtype)
    expected = [1.0, 0.5, 2**-3.5, 2.0**64, 0.0, 0.0, 0.0, 2 ** (least + 3)]
    assert exp2_(exponents).tolist() == pytest.approx(expected, rel=1e-4, abs=0)
