import pytest
import torch

from graphmi.losses import MultiInterestLoss, SampledSoftmaxLoss
from graphmi.losses.distinct import distinct
from graphmi.losses.partition import log_partition
from graphmi.nn import SelectReadout
from graphmi.typing import Negatives, Representations


@pytest.mark.parametrize("corrected", [False, True])
def test_the_softmax_is_that_of_all_draws(corrected):
    generator = torch.Generator().manual_seed(0)
    score, proposal = torch.randn(2, 6, generator=generator, dtype=torch.float64)
    drawn = torch.randint(5, (40,), generator=generator)  # item 5 never
    negatives = Negatives(drawn, log_q=proposal[drawn] if corrected else None)
    once = distinct(negatives)
    assert sorted(once.item.tolist()) == sorted(set(drawn.tolist()))
    expected = log_partition(score[drawn], None if negatives.log_q is None else -negatives.log_q)
    torch.testing.assert_close(log_partition(score[once.item], -once.log_q), expected)


@pytest.mark.parametrize(
    "negatives",
    [
        Negatives(torch.tensor([3, 1, 2])),
        Negatives(torch.tensor([[1, 1], [2, 2], [1, 2]])),
        Negatives(torch.tensor([1, 1]), valid=torch.tensor([[True, False]])),
        Negatives(torch.arange(3), all_items=True),
    ],
    ids=["no repetition", "per row", "valid", "all items"],
)
def test_what_stays_as_it_is(negatives):
    assert distinct(negatives) is negatives


def test_loss_and_gradients_are_those_of_the_draws_one_by_one():
    generator = torch.Generator().manual_seed(1)
    interests = torch.randn(6, 2, 5, generator=generator, dtype=torch.float64, requires_grad=True)
    items = torch.randn(4, 5, generator=generator, dtype=torch.float64, requires_grad=True)
    positive, drawn = torch.tensor([0, 1, 2, 3, 0, 1]), torch.tensor([0, 0, 0, 3, 2, 3, 0])
    loss = MultiInterestLoss(SelectReadout(), SampledSoftmaxLoss(temperature=0.7))
    found = loss(Representations(interests, items), positive, Negatives(drawn))
    scores = torch.einsum("bkd,nd->bkn", interests, items) / 0.7
    rows = []
    for row, target in enumerate(positive.tolist()):
        chosen = scores[row, scores[row, :, target].argmax()]
        logits = torch.stack([chosen[target], *(chosen[item] for item in drawn.tolist() if item != target)])
        rows.append(torch.logsumexp(logits, 0) - chosen[target])
    expected = torch.stack(rows).mean()
    torch.testing.assert_close(found, expected)
    for part in (interests, items):
        torch.testing.assert_close(
            *(torch.autograd.grad(value, part, retain_graph=True)[0] for value in (found, expected))
        )
