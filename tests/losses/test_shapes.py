"""What parts of one's own return: mistakes that torch would broadcast are errors."""

import pytest
import torch
from torch import Tensor

from graphmi.losses import BPRLoss, MultiInterestLoss, Objective, Regularizer, SampledSoftmaxLoss, Weighting
from graphmi.nn import ExpectedReadout, Readout, Scores, Selector, SelectReadout, Similarity, SoftmaxSelector
from graphmi.typing import Negatives, Representations

BATCH, ITEMS = 4, torch.randn(9, 2, generator=torch.Generator().manual_seed(0))
POSITIVE, NEGATIVES = torch.arange(BATCH), Negatives(torch.full((BATCH, 3), 8))
OBJECTIVES = pytest.mark.parametrize("objective", [BPRLoss(), SampledSoftmaxLoss()])


def loss_of(out, readout=None, objective=None, **options):
    loss = MultiInterestLoss(readout or SelectReadout(anchor="candidate"), objective or BPRLoss(), **options)
    return loss(out, POSITIVE, NEGATIVES)


def interests(*shape):
    return Representations(torch.ones(shape), ITEMS)


class OwnObjective(Objective):
    def __init__(self, reduce) -> None:
        super().__init__()
        self.reduce = reduce

    def forward(self, pos: Tensor, neg: Tensor, correction: Tensor | None = None) -> Tensor:
        return self.reduce(neg - pos.unsqueeze(-1))


class OwnReadout(Readout):
    def __init__(self, scores) -> None:
        super().__init__()
        self.scores = scores

    def forward(self, interests, positive, negative, interest_mask=None):
        pos, neg = (interests @ items.transpose(-1, -2) for items in (positive, negative))
        return self.scores(pos.amax(1), neg.amax(1))


class OwnSelector(Selector):
    def forward(self, interests, anchor, interest_mask=None):
        return (interests @ anchor.transpose(-1, -2)).softmax(1).transpose(1, 2)  # [batch, num_anchors, num_interests]


class OwnRegularizer(Regularizer):
    def __init__(self, reduce) -> None:
        super().__init__()
        self.reduce = reduce

    def forward(self, out, positive, negatives):
        return self.reduce(out.interests.square().flatten(1))


@OBJECTIVES
@pytest.mark.parametrize("shape", [(BATCH, 2), (1, 3, 2), (BATCH + 1, 3, 2)])
def test_interests_have_a_row_for_each_positive(objective, shape):
    assert loss_of(interests(BATCH, 3, 2), objective=objective).isfinite()
    with pytest.raises(ValueError, match=r"must be \[batch, num_interests, dim\], one row for each positive"):
        loss_of(interests(*shape), objective=objective)


@pytest.mark.parametrize("shape", [(3,), (BATCH,), (1, 3), (BATCH, 1), (BATCH, 3, 1)])
def test_a_mask_tells_of_each_interest(shape):
    out = Representations(torch.ones(BATCH, 3, 2), ITEMS, interest_mask=torch.ones(shape, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"'interest_mask' must be \[batch, num_interests\], \[4, 3\] \(got \["):
        loss_of(out)


def test_positives_of_users_need_a_user_each():
    out, row, loss = interests(2, 3, 2), torch.tensor([0, 0, 1, 1]), MultiInterestLoss(SelectReadout(), BPRLoss())
    negatives = Negatives(torch.full((2, 3), 8), excludes_known=True)
    assert loss(out, POSITIVE, negatives, row).isfinite()
    with pytest.raises(ValueError, match=r"'row' a user for each positive \(got \[3\]\)"):
        loss(out, POSITIVE, negatives, row[:3])
    with pytest.raises(ValueError, match=r"got \[4, 3, 2\] for \[4, 1\] positives"):
        loss(interests(BATCH, 3, 2), POSITIVE.unsqueeze(1), NEGATIVES)


def test_ids_alone_are_no_negatives():
    loss = MultiInterestLoss(SelectReadout(), BPRLoss())
    with pytest.raises(ValueError, match=r"Negatives\(item\) \(got a Tensor\)"):
        loss(interests(BATCH, 3, 2), POSITIVE, NEGATIVES.item)


@OBJECTIVES
def test_scores_of_a_readout_have_a_row_for_each_positive(objective):
    out = interests(BATCH, 3, 2)
    own = loss_of(out, OwnReadout(lambda pos, neg: Scores(pos.squeeze(1), neg)), objective)
    torch.testing.assert_close(own, loss_of(out, objective=objective))
    for wrong in (
        Scores,
        lambda pos, neg: Scores(pos.squeeze(1)[:2], neg),
        lambda pos, neg: Scores(pos, neg, pos),
        lambda pos, neg: Scores(pos, neg.unsqueeze(1)),  # of each interest, but without its weight
        lambda pos, neg: Scores(pos, neg.unsqueeze(1), pos.expand(-1, 2)),
    ):
        with pytest.raises(ValueError, match="OwnReadout must give 'pos'"):
            loss_of(out, OwnReadout(wrong), objective)
    with pytest.raises(ValueError, match=r"OwnReadout must return Scores \(got a tuple\)"):
        loss_of(out, OwnReadout(lambda pos, neg: (pos.squeeze(1), neg)), objective)


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("readout", [SelectReadout, ExpectedReadout])
@OBJECTIVES
def test_a_selector_weighs_each_interest_of_each_user(readout, objective, hard):
    selector = OwnSelector()
    selector.hard = hard
    loss, out, row = MultiInterestLoss(readout(selector), objective), interests(BATCH, 3, 2), torch.arange(BATCH)
    for own in (None, row):
        negatives = Negatives(NEGATIVES.item, excludes_known=own is not None)
        with pytest.raises(ValueError, match=r"OwnSelector must give weights .*, \[4, 3, 1\] \(got \[4, 1, 3\]\)"):
            loss(out, POSITIVE, negatives, own)
    with pytest.raises(ValueError, match=r"OwnSelector must give weights"):
        loss_of(out, SelectReadout(selector, anchor="candidate"), objective)


@OBJECTIVES
def test_a_model_returns_representations(objective):
    with pytest.raises(ValueError, match=r"Representations\(interests, items\) \(got a Tensor\)"):
        loss_of(torch.ones(BATCH, 3, 2), objective=objective)


@OBJECTIVES
@pytest.mark.parametrize(
    ("wrong", "got"),
    [
        ({"item": torch.zeros(2, 3, dtype=torch.int64)}, r"'item' \[2, 3\] of torch.int64"),
        ({"item": torch.zeros(BATCH, 3, 1, dtype=torch.int64)}, r"'item' \[4, 3, 1\]"),
        ({"item": torch.zeros(3)}, r"'item' \[3\] of torch.float32"),
        ({"item": torch.tensor(8)}, r"'item' \[\] of torch.int64"),
        ({"log_q": torch.zeros(5)}, r"'log_q' \[5\]"),
        ({"pos_log_q": torch.zeros(BATCH, 1)}, r"'pos_log_q' \[4, 1\]"),
        ({"valid": torch.ones(BATCH, 1, dtype=torch.bool)}, r"'valid' \[4, 1\]"),
    ],
)
def test_a_sampler_gives_negatives_of_the_batch(objective, wrong, got):
    right = {"item": torch.full((3,), 8), "log_q": torch.zeros(3), "pos_log_q": torch.zeros(BATCH)}
    right["valid"] = torch.ones(BATCH, 3, dtype=torch.bool)
    loss, out = MultiInterestLoss(SelectReadout(anchor="candidate"), objective), interests(BATCH, 3, 2)
    assert loss(out, POSITIVE, Negatives(**right)).isfinite()
    with pytest.raises(ValueError, match=f"a sampler must give .* the batch has 4 rows .*{got}"):
        loss(out, POSITIVE, Negatives(**(wrong if "item" in wrong else right | wrong)))


class OwnSimilarity(Similarity):
    def __init__(self, reduce) -> None:
        super().__init__()
        self.reduce = reduce

    def pairwise(self, left, right):
        return self.reduce(left @ right.transpose(-1, -2))


def test_a_similarity_scores_all_pairs():
    out, own = interests(BATCH, 3, 2), SelectReadout(anchor="candidate", similarity=OwnSimilarity(lambda pairs: pairs))
    torch.testing.assert_close(loss_of(out, own), loss_of(out))
    for wrong in (lambda pairs: pairs.sum(-1), lambda pairs: pairs.sum(-1, keepdim=True), lambda pairs: pairs.mT):
        with pytest.raises(ValueError, match="'pairwise' of OwnSimilarity must give"):
            OwnSimilarity(wrong)(out.interests, ITEMS)
        if wrong(torch.ones(BATCH, 3, 1)).shape != (BATCH, 3, 1):
            with pytest.raises(ValueError, match=r"of OwnSimilarity must give .* for \[4, 3, 2\] and \[4, 1, 2\]"):
                loss_of(out, SelectReadout(anchor="candidate", similarity=OwnSimilarity(wrong)))


class OwnWeighting(Weighting):
    def __init__(self, shape) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, neg, log_q=None, valid=None, pos_log_q=None):
        return torch.zeros(self.shape)


@OBJECTIVES
@pytest.mark.parametrize("readout", [SelectReadout(anchor="candidate"), ExpectedReadout(SoftmaxSelector())])
def test_the_correction_of_a_weighting_broadcasts_to_the_negatives(readout, objective):
    out = interests(BATCH, 3, 2)
    for shape in ((), (1,), (3,), (BATCH,) + (1,) * (2 if isinstance(readout, ExpectedReadout) else 1)):
        torch.testing.assert_close(
            loss_of(out, readout, objective, weighting=OwnWeighting(shape)), loss_of(out, readout, objective)
        )
    for shape in ((BATCH,), (1, BATCH, 3, 3)):
        with pytest.raises(ValueError, match="OwnWeighting must give a correction that broadcasts to the negative"):
            loss_of(out, readout, objective, weighting=OwnWeighting(shape))


def test_a_weighting_that_gives_no_tensor_gets_a_sentence():
    own = OwnWeighting(())
    own.forward = lambda *_: 0.0
    with pytest.raises(ValueError, match=r"OwnWeighting must give a correction .*\[4, 3\] \(got a float\)"):
        loss_of(interests(BATCH, 3, 2), weighting=own)


@pytest.mark.parametrize("readout", [SelectReadout(anchor="candidate"), ExpectedReadout(SoftmaxSelector())])
def test_an_objective_gives_a_loss_for_each_positive(readout):
    out = interests(BATCH, 3, 2)
    assert loss_of(out, readout, OwnObjective(lambda gap: gap.relu().mean(-1))).isfinite()
    for wrong in (lambda gap: gap.mean(), lambda gap: gap):
        with pytest.raises(ValueError, match="OwnObjective must give a loss for each positive score"):
            loss_of(out, readout, OwnObjective(wrong))
    with pytest.raises(ValueError, match=r"OwnObjective must give a loss .*\(got a NoneType\)"):
        loss_of(out, readout, OwnObjective(lambda gap: None))


def test_a_regularizer_gives_a_scalar():
    out = interests(BATCH, 3, 2)
    assert loss_of(out, regularizers=[(1.0, OwnRegularizer(torch.mean))]).dim() == 0
    with pytest.raises(ValueError, match=r"OwnRegularizer must give a scalar, such as a mean over users \(got \[4\]\)"):
        loss_of(out, regularizers=[(1.0, OwnRegularizer(lambda squares: squares.sum(1)))])
    with pytest.raises(ValueError, match=r"OwnRegularizer must give a scalar, .* \(got a float\)"):
        loss_of(out, regularizers=[(1.0, OwnRegularizer(lambda squares: 0.0))])
