"""The fused log-partition beside the plain one in double precision."""

import pytest
import torch

pytest.importorskip("triton", minversion="3.6", reason="Triton is not installed")

from graphmi.kernels import partition, triton_kernels, use_triton
from graphmi.losses import MultiInterestLoss, SampledSoftmaxLoss
from graphmi.losses.hits import Matches, Places
from graphmi.losses.products import partition_of_products
from graphmi.nn import LogSumExpReadout, SelectReadout
from graphmi.typing import Negatives, Representations

BATCH, VECTORS, ITEMS, DIM = 40, 2, 150, 20  # more than a tile of rows and of columns, and no multiple of any
CORRECTIONS = {
    "none": None,
    "per item": (ITEMS,),
    "per row": (BATCH, 1, 1),
    "per row and item": (BATCH, 1, ITEMS),
    "all": (BATCH, VECTORS, ITEMS),
}


def expected(left, right, correction=None, temperature=1.0, hit=None, name=None):
    scores = left.double() @ right.double().T / temperature
    if correction is not None:
        scores = scores + correction
    if hit is not None:
        name = torch.arange(len(right), device=hit.device) if name is None else name
        scores = scores.masked_fill((name == hit.unsqueeze(1)).unsqueeze(1), -torch.inf)
    return scores.logsumexp(-1)


def draw(shape, device, correction=None, hits=None):
    batch, vectors, items, dim = shape
    variables = torch.randn(batch, vectors, dim, device=device), torch.randn(items, dim, device=device)
    added = None if correction is None else torch.randn(correction, device=device)
    same = {}
    if hits:
        same["hit"] = torch.randint(items, (batch,), device=device)
    if hits == "by name":  # several columns of one name
        same["name"] = torch.randint(items // 2 + 1, (items,), device=device)
    return [each.requires_grad_() for each in variables], added, same


def compare(shape, device, correction=None, hits=None, kind=torch.float32, rounding=2e-5):
    variables, added, same = draw(shape, device, correction, hits)
    variables = [each.detach().to(kind).float().requires_grad_() for each in variables]
    found = partition.partition_of_products(*variables, added, 0.5, kind, **same)
    reference = expected(*variables, added, 0.5, **same)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), reference, rtol=2e-6, atol=2e-5)
    direction = torch.randn_like(found)
    grads = (torch.autograd.grad(out, variables, direction.to(out)) for out in (found, reference))
    for part, other in zip(*grads, strict=True):
        assert (part - other).norm() < rounding * other.norm()


@pytest.mark.parametrize("correction", CORRECTIONS.values(), ids=CORRECTIONS)
@pytest.mark.parametrize("hits", [None, "by column", "by name"])
def test_is_that_of_double_precision(device, correction, hits):
    compare((BATCH, VECTORS, ITEMS, DIM), device, correction, hits)


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (3, 4, 2, 64), (1, 3, 700, 5), (700, 1, 1, 5)])
def test_sizes(device, shape):
    compare(shape, device)


@pytest.mark.parametrize(("places", "parts"), [(1, 1), (5, 2), (1000, 5)])
def test_tiles_are_divided_where_they_are_few(device, monkeypatch, places, parts):
    """Three tiles of rows and five of columns: what each goes over is divided into parts."""
    monkeypatch.setattr(partition, "_places", lambda _: places)
    run, made = partition._Problem.run, []

    def watched(*args, **kwargs):
        made.append(run(*args, **kwargs))
        return made[-1]

    monkeypatch.setattr(partition._Problem, "run", watched)
    compare((BATCH, VECTORS, ITEMS, DIM), device, (ITEMS,), "by name")
    assert len(made[0]) == len(made[1]) == parts


@pytest.fixture
def products_of_bfloat16(device, monkeypatch):
    """Teach the interpreter products of bfloat16, which it keeps as 16-bit integers and would multiply as such."""
    if device == "cuda":
        return
    from triton import language
    from triton.runtime.interpreter import InterpreterBuilder, TensorHandle

    original = InterpreterBuilder.create_dot

    def exact(x):
        if str(x.dtype.scalar) != "bf16":
            return x
        return TensorHandle((x.data.astype("uint32") << 16).view("float32"), language.float32)

    def create_dot(self, a, b, *more):
        return original(self, exact(a), exact(b), *more)

    monkeypatch.setattr(InterpreterBuilder, "create_dot", create_dot)


@pytest.mark.parametrize("shape", [(BATCH, VECTORS, ITEMS, DIM), (3, 4, 150, 200)])
def test_half_precision(device, products_of_bfloat16, shape):
    # Shares are in half precision, too: off by a bit of eight, which the interpreter cuts off.
    compare(shape, device, shape[2:3], "by column", torch.bfloat16, rounding=8e-3)


def test_rows_with_nothing_left(device):
    left, right = torch.randn(3, 2, 8, device=device), torch.randn(5, 8, device=device)
    variables = left.requires_grad_(), right.requires_grad_()
    correction = torch.zeros(3, 1, 5, device=device).index_fill(0, torch.tensor([1], device=device), -torch.inf)
    found = partition.partition_of_products(*variables, correction, 1.0, torch.float32)
    assert (found[1] == -torch.inf).all()
    direction = torch.ones_like(found).index_fill(0, torch.tensor([1], device=device), torch.nan)
    found.backward(direction)  # whatever comes back to it
    assert not left.grad[1].any()
    kept = torch.tensor([0, 2], device=device)
    reference = torch.autograd.grad(expected(left[kept], right).sum(), variables)
    for part, other in zip((left.grad, right.grad), reference, strict=True):
        torch.testing.assert_close(part, other.float())


@pytest.mark.parametrize("shape", [(0, 2, 5, 8), (4, 1, 0, 8)])
def test_nothing_at_all(device, shape):
    variables, *_ = draw(shape, device)
    found = partition.partition_of_products(*variables, None, 1.0, torch.float32)
    assert found.shape == shape[:2]
    assert (found == -torch.inf).all()
    for grad in torch.autograd.grad(found.sum(), variables):
        assert not grad.any()


def test_large_logits(device):
    left, right = 1e4 * torch.eye(2, device=device).unsqueeze(0), torch.eye(2, device=device)
    found = partition.partition_of_products(left, right, None, 0.1, torch.float32)
    torch.testing.assert_close(found, torch.full_like(found, 1e5))


def test_only_what_is_asked_for(device):
    (left, right), *_ = draw((3, 1, 4, 8), device)
    found = partition.partition_of_products(left.detach(), right, None, 1.0, torch.float32)
    (grad,) = torch.autograd.grad(found.sum(), (right,))
    torch.testing.assert_close(grad, torch.autograd.grad(expected(left, right).sum(), right)[0])


def test_vectors_may_lie_anywhere_in_memory(device):
    left, right = torch.randn(2, 7, 8, device=device), torch.randn(8, 5, device=device)
    found = partition.partition_of_products(left.transpose(0, 1), right.T, None, 1.0, torch.float32)
    torch.testing.assert_close(found.double(), expected(left.transpose(0, 1), right.T))


@pytest.fixture
def calls(monkeypatch):
    """Counts how often the kernels are used."""
    used, original = [], partition.partition_of_products

    def counted(*args):
        used.append(args)
        return original(*args)

    monkeypatch.setattr(partition, "partition_of_products", counted)
    return used


@pytest.mark.parametrize("readout", [SelectReadout(), LogSumExpReadout(temperature=0.2)])
@pytest.mark.parametrize("everything", [True, False])
def test_losses_use_it(device, calls, readout, everything):
    interests = torch.randn(6, 3, 8, device=device, requires_grad=True)
    items = torch.randn(30, 8, device=device, requires_grad=True)
    positive = torch.randint(30, (6,), device=device)
    if everything:
        negatives = Negatives(torch.arange(30, device=device), all_items=True)
    else:
        negatives = Negatives(torch.randint(30, (25,), device=device))
    loss = MultiInterestLoss(readout, SampledSoftmaxLoss(temperature=0.2))
    out = Representations(interests, items)
    reference = loss(out, positive, negatives)
    assert not calls
    with triton_kernels():
        found = loss(out, positive, negatives)
    assert calls or (device == "cpu" and not everything)
    torch.testing.assert_close(found, reference)
    grads = (torch.autograd.grad(each, (interests, items)) for each in (found, reference))
    for part, other in zip(*grads, strict=True):
        assert (part - other).norm() < 1e-5 * other.norm()


def test_what_does_not_fit_is_left_to_torch(device, calls):
    (left, right), *_ = draw((3, 1, 4, 100), device)
    with triton_kernels():
        found = partition_of_products(left, right)
        wide = partition_of_products(left.double(), right.double())
    assert not calls
    for each in (found, wide):
        torch.testing.assert_close(each.double(), expected(left, right), rtol=1e-6, atol=1e-6)


def test_so_is_what_is_compiled(device):
    x = torch.zeros(1, device=device)
    with triton_kernels():
        assert use_triton(x)
        assert torch.compile(lambda x: x + use_triton(x), backend="aot_eager", fullgraph=True)(x) == 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="several hits of a row are of the CPU")
def test_several_hits_of_a_row_are_left_to_torch(calls):
    (left, right), *_ = draw((2, 1, 4, 8), "cpu")
    with triton_kernels():
        partition_of_products(left, right, hits=Places(torch.tensor([0, 0]), torch.tensor([1, 2])))
        assert not calls
        partition_of_products(left, right, hits=Places(torch.tensor([0, 1]), torch.tensor([1, 2])))
        partition_of_products(left, right, hits=Matches(torch.tensor([7, 8]), torch.tensor([7, 8, 7, 9])))
    assert len(calls) == 2
