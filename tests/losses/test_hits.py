import pytest
import torch
from torch_geometric.data import HeteroData

from graphmi.losses import BPRLoss, HardNegativeWeighting, MultiInterestLoss, SampledSoftmaxLoss
from graphmi.losses.hits import Matches, Places, accidental_hits, leave_out
from graphmi.losses.partition import log_partition
from graphmi.nn import ExpectedReadout, SelectReadout, SoftmaxSelector
from graphmi.samplers import AllItemsSampler, InBatchSampler, UniformSampler
from graphmi.typing import Negatives, Representations


def dense(item, positive):
    return {
        (row, column) for row, p in enumerate(positive.tolist()) for column, i in enumerate(item.tolist()) if i == p
    }


@pytest.mark.parametrize("num_items", [1, 4, 50])
def test_hits_are_found_wherever_they_stand(num_items):
    generator = torch.Generator().manual_seed(num_items)
    item, positive = (torch.randint(num_items, (size,), generator=generator) for size in (9, 7))
    row, column = accidental_hits(positive, Negatives(item))
    pairs = list(zip(row.tolist(), column.tolist(), strict=True))
    assert len(pairs) == len(set(pairs))
    assert set(pairs) == dense(item, positive)


def test_among_all_items_each_positive_stands_once():
    row, column = accidental_hits(torch.tensor([2, 0, 2]), Negatives(torch.arange(4), all_items=True))
    assert (row.tolist(), column.tolist()) == ([0, 1, 2], [2, 0, 2])


def test_hits_are_found_where_every_row_has_its_own_negatives():
    item, positive = torch.randint(4, (7, 9)), torch.randint(4, (7,))
    row, column = accidental_hits(positive, Negatives(item))
    assert list(zip(row.tolist(), column.tolist(), strict=True)) == [
        (r, c) for r in range(7) for c in range(9) if item[r, c] == positive[r]
    ]


def test_what_does_not_count_anyhow_is_no_hit():
    valid = torch.ones(3, 4, dtype=torch.bool)
    valid[[0, 2], [2, 1]] = False
    positive = torch.tensor([2, 0, 1])
    row, column = accidental_hits(positive, Negatives(torch.arange(4), valid=valid, all_items=True))
    assert (row.tolist(), column.tolist()) == ([1], [0])
    assert accidental_hits(positive[[0, 2]], Negatives(torch.arange(4), valid=valid[[0, 2]], all_items=True)) is None
    assert accidental_hits(torch.tensor([7]), Negatives(torch.arange(4))) is None


@pytest.mark.parametrize("shape", [(3, 5), (3, 2, 5)])
@pytest.mark.parametrize("corrected", [False, True])
def test_a_hit_is_a_correction_of_minus_infinity(shape, corrected):
    neg = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    base = torch.randn(5, dtype=torch.float64) if corrected else None
    hits = Places(torch.tensor([0, 2, 2, 2, 2, 2]), torch.tensor([3, 0, 1, 2, 3, 4]))
    removed = torch.zeros(shape, dtype=torch.float64)
    for row, column in zip(*hits, strict=True):
        removed[row, ..., column] = -torch.inf
    expected = log_partition(neg, removed if base is None else removed + base, 0.5)
    found = log_partition(neg, base, 0.5, hits)
    torch.testing.assert_close(found, expected)
    assert (found[2] == -torch.inf).all()
    direction = 100 * torch.randn_like(found)  # large, so that nothing over the smallest number would overflow
    torch.testing.assert_close(*(torch.autograd.grad(part, neg, direction)[0] for part in (found, expected)))
    assert torch.autograd.gradcheck(lambda n: log_partition(n, base, 0.5, hits)[:2], neg)


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("shape", [(7, 9), (7, 2, 9)])
def test_matches_are_the_places_that_are_looked_up(shape, own):
    item, positive = torch.randint(5, (7, 9) if own else (9,)), torch.randint(5, (7,))
    logits, other = torch.zeros(shape), torch.zeros(shape)
    leave_out(logits, Matches(positive, item))
    leave_out(other, accidental_hits(positive, Negatives(item)))
    assert torch.equal(logits, other)
    assert logits.isinf().any()
    assert not logits.isinf().all()
    leave_out(logits.zero_(), None)
    assert not logits.any()


def test_a_device_is_not_waited_for():
    found = accidental_hits(torch.zeros(3, device="meta"), Negatives(torch.zeros(4, device="meta")))
    assert isinstance(found, Matches)


@pytest.mark.parametrize("readout", [SelectReadout(), ExpectedReadout(SoftmaxSelector())], ids=["one", "each"])
@pytest.mark.parametrize("sampler", [AllItemsSampler, UniformSampler])
def test_the_loss_is_that_of_each_row_alone(readout, sampler):
    graph = HeteroData({"user": {"num_nodes": 4}, "item": {"num_nodes": 3}})
    graph["user", "interacts", "item"].edge_index = torch.tensor([[0], [0]])
    options = {} if sampler is AllItemsSampler else {"num_negatives": 8, "shared": True}
    positive = torch.tensor([2, 0, 2, 1])
    negatives = sampler(graph, reject_known=False, **options)(torch.arange(4), positive)
    interests, items = torch.randn(4, 2, 5, dtype=torch.float64), torch.randn(3, 5, dtype=torch.float64)
    loss = MultiInterestLoss(readout, SampledSoftmaxLoss())
    rows = []
    for row in range(4):
        kept = negatives.item[negatives.item != positive[row]]
        one = Representations(interests[row : row + 1], items)
        rows.append(loss(one, positive[row : row + 1], Negatives(kept, excludes_known=True)))
    found = loss(Representations(interests, items), positive, negatives)
    torch.testing.assert_close(found, torch.stack(rows).mean())


def test_a_weighting_that_compares_negatives_sees_what_does_not_count():
    items, positive = torch.randn(3, 5, dtype=torch.float64), torch.tensor([1])
    loss = MultiInterestLoss(SelectReadout(), SampledSoftmaxLoss(), HardNegativeWeighting(0.5))
    out = Representations(torch.randn(1, 2, 5, dtype=torch.float64), items)
    found = loss(out, positive, Negatives(torch.tensor([0, 1, 2, 1])))
    torch.testing.assert_close(found, loss(out, positive, Negatives(torch.tensor([0, 2]))))


LOSSES = [(SampledSoftmaxLoss(), None), (SampledSoftmaxLoss(), HardNegativeWeighting(0.5)), (BPRLoss(), None)]
DRAWS = [
    (AllItemsSampler, {}),
    (UniformSampler, {"num_negatives": 20}),
    (UniformSampler, {"num_negatives": 20, "shared": True}),
    (InBatchSampler, {}),
]


@pytest.mark.parametrize(
    ("sampler", "options", "objective", "weighting"),
    [
        (AllItemsSampler, {"block_size": 2}, SampledSoftmaxLoss(), None),
        *[(*draw, *loss) for draw in DRAWS for loss in LOSSES],
    ],
)
def test_a_positive_that_is_no_training_pair_is_no_negative_either(sampler, options, objective, weighting):
    """As in a loss on validation: the sampler leaves out what users had in training, and that is not the positive."""
    graph = HeteroData({"user": {"num_nodes": 3}, "item": {"num_nodes": 6}})
    graph["user", "interacts", "item"].edge_index = torch.tensor([[0, 1, 2], [0, 1, 2]])
    user, positive = torch.arange(3), torch.tensor([5, 4, 5])
    drawn = sampler(graph, **options)(user, positive)
    out = Representations(torch.randn(3, 2, 4), torch.randn(6, 4))
    loss = MultiInterestLoss(SelectReadout(), objective, weighting)
    rows = []
    for row, (known, wanted) in enumerate(zip([0, 1, 2], positive.tolist(), strict=True)):
        items = drawn.item if drawn.item.dim() == 1 else drawn.item[row]
        kept = torch.tensor([item for item in items.tolist() if item not in (known, wanted)], dtype=torch.int64)
        log_q = None if drawn.log_q is None else drawn.log_q[torch.tensor([i in kept for i in items.tolist()])]
        pos_log_q = None if drawn.pos_log_q is None else drawn.pos_log_q[row : row + 1]
        one = Representations(out.interests[row : row + 1], out.items)
        rows.append(loss(one, positive[row : row + 1], Negatives(kept, log_q, pos_log_q)))
    torch.testing.assert_close(loss(out, positive, drawn), torch.stack(rows).mean())
