from functools import partial

import pytest
import torch
from scipy.stats import chisquare, kstest

from graphmi.samplers.numbers import fractions, integers, numpy_source

CPU = torch.device("cpu")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("shape", [(700,), (150, 140)])  # torch's and numpy's
def test_uniform_and_decided_by_the_generator(shape):
    drawn = integers(7, shape, CPU, generator())
    assert drawn.shape == shape
    assert drawn.dtype == torch.int64
    assert chisquare(torch.bincount(drawn.flatten(), minlength=7)).pvalue > 0.001
    assert drawn.equal(integers(7, shape, CPU, generator()))
    assert not drawn.equal(integers(7, shape, CPU, generator(1)))
    source = generator()
    assert not integers(7, shape, CPU, source).equal(integers(7, shape, CPU, source))  # the next draw is another


def test_large_numbers_are_reached():
    for high in (2**16, 2**16 + 1, 2**40):
        drawn = integers(high, (20_000,), CPU, generator())
        assert (drawn.dtype, bool(drawn.min() < high * 0.01)) == (torch.int64, True)
        assert high * 0.99 < drawn.max() < high


@pytest.mark.parametrize("shape", [(700,), (150, 140)])
def test_fractions_are_uniform_and_decided_by_the_generator(shape):
    drawn = fractions(shape, CPU, generator())
    assert drawn.shape == shape
    assert drawn.dtype == torch.float64
    assert kstest(drawn.flatten(), "uniform").pvalue > 0.001
    assert drawn.equal(fractions(shape, CPU, generator()))
    assert not drawn.equal(fractions(shape, CPU, generator(1)))


@pytest.mark.parametrize("make", [partial(integers, 7), fractions], ids=["integers", "fractions"])
def test_many_numbers_lie_on_their_device(make):
    assert make((20_000,), torch.device("meta"), None).is_meta


def test_every_state_of_the_generator_is_another_source():
    assert len({numpy_source(generator(seed)).random() for seed in range(100)}) == 100
