import math
from dataclasses import replace
from itertools import product

import jsonargparse
import pytest
import torch
import torch.nn.functional as F
import yaml
from torch_geometric.data import HeteroData

from graphmi.losses import (
    BPRLoss,
    EmbeddingNorm,
    GBCELoss,
    HardNegativeWeighting,
    InterestRepulsion,
    Loss,
    MultiInterestLoss,
    SampledSoftmaxLoss,
    SumLoss,
    UniformWeighting,
    Weighted,
)
from graphmi.nn import (
    ArgmaxSelector,
    ExpectedReadout,
    InnerProduct,
    JointReadout,
    LogSumExpReadout,
    MixtureReadout,
    ProjectedInnerProduct,
    SampledSelector,
    SelectReadout,
    SoftmaxSelector,
)
from graphmi.samplers import InBatchSampler
from graphmi.typing import Negatives, Representations

# BaM: interests are the unit vectors, the positive is (2, 1), then three negatives.
BAM = Representations(torch.eye(2)[None], torch.tensor([[2.0, 1.0], [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]))
POSITIVE, NEGATIVES = torch.tensor([0]), Negatives(torch.tensor([1, 2, 3]))


def random_world(batch=5, num_interests=3, num_items=8):
    generator = torch.Generator().manual_seed(0)
    interests = torch.randn(batch, num_interests, 4, dtype=torch.float64, generator=generator)
    items = torch.randn(num_items, 4, dtype=torch.float64, generator=generator)
    return Representations(interests, items), torch.randint(num_items, (batch,), generator=generator)


@pytest.mark.parametrize(
    ("readout", "value"),
    [
        (SelectReadout(), 0.440190),
        (ExpectedReadout(SoftmaxSelector()), 0.592469),
        (LogSumExpReadout(), 0.626523),
        (JointReadout([SelectReadout(), LogSumExpReadout()]), 0.440190 + 0.626523),
        (JointReadout([ExpectedReadout(SoftmaxSelector()), LogSumExpReadout()]), 0.592469 + 0.626523),
    ],
)
def test_published_bam_losses(readout, value):
    loss = MultiInterestLoss(readout, SampledSoftmaxLoss())(BAM, POSITIVE, NEGATIVES)
    assert loss.item() == pytest.approx(value, abs=2e-6)


def test_the_long_form_of_bam_draws_one_of_two_losses():
    loss = MultiInterestLoss(JointReadout([SelectReadout(SampledSelector()), LogSumExpReadout()]), SampledSoftmaxLoss())
    torch.manual_seed(0)
    drawn = torch.stack([loss(BAM, POSITIVE, NEGATIVES) for _ in range(400)]) - 0.626523
    first, second = (torch.isclose(drawn, torch.tensor(value), atol=2e-6) for value in (0.440190, 1.006409))
    assert (first | second).all()
    assert first.double().mean().item() == pytest.approx(0.731059, abs=0.07)
    assert drawn.mean().item() == pytest.approx(0.592469, abs=0.04)  # the expected readout has it without drawing


@pytest.mark.parametrize("weighting", [UniformWeighting(), HardNegativeWeighting(2.0)])
@pytest.mark.parametrize("objective", [BPRLoss(), SampledSoftmaxLoss(0.5)])
def test_joint_readouts_add_up_the_losses_of_each(weighting, objective):
    out, positive = random_world()
    out = replace(out, interest_mask=torch.tensor([[True, True, False]]).expand(5, -1))
    negatives = Negatives(torch.randint(8, (5, 6)), torch.randn(5, 6), torch.randn(5), torch.rand(5, 6) < 0.8)
    parts = [SelectReadout(), LogSumExpReadout(), ExpectedReadout(SoftmaxSelector()), MixtureReadout(4).double()]
    expected = SumLoss([MultiInterestLoss(part, objective, weighting) for part in parts])
    actual = MultiInterestLoss(JointReadout(parts), objective, weighting)
    torch.testing.assert_close(actual(out, positive, negatives), expected(out, positive, negatives))


def test_a_mixture_over_all_items_is_a_mixture_of_softmaxes():
    out, positive = random_world()
    readout = MixtureReadout(4).double()
    torch.nn.init.normal_(readout.prior.weight)
    prior = (out.interests @ readout.prior.weight[0]).softmax(1)
    softmaxes = torch.stack([F.softmax(out.interests[:, k] @ out.items.T / 0.5, 1) for k in range(3)], 1)
    expected = -(prior.unsqueeze(-1) * softmaxes).sum(1)[torch.arange(5), positive].log().mean()
    actual = MultiInterestLoss(readout, SampledSoftmaxLoss(0.5))(out, positive, Negatives(torch.arange(8)))
    torch.testing.assert_close(actual, expected)


def test_the_other_interest_of_bam():
    second = Representations(BAM.interests[:, 1:], BAM.items)
    assert MultiInterestLoss(SelectReadout(), SampledSoftmaxLoss())(
        second, POSITIVE, NEGATIVES
    ).item() == pytest.approx(1.006409, abs=1e-6)


@pytest.mark.parametrize("temperature", [1.0, 0.2])
@pytest.mark.parametrize("readout", [SelectReadout(anchor="candidate"), LogSumExpReadout()])
def test_all_items_as_negatives_equal_cross_entropy(temperature, readout):
    out, positive = random_world()
    scores = torch.einsum("bkd,nd->bkn", out.interests, out.items)
    scores = scores.amax(1) if isinstance(readout, SelectReadout) else scores.logsumexp(1)
    loss = MultiInterestLoss(readout, SampledSoftmaxLoss(temperature))
    actual = loss(out, positive, Negatives(torch.arange(8)))
    torch.testing.assert_close(actual, F.cross_entropy(scores / temperature, positive))


def test_expected_loss_of_a_hard_choice_is_the_chosen_loss():
    out, positive = random_world()
    negatives = Negatives(torch.randint(8, (5, 6)), torch.randn(5, 6), torch.randn(5), torch.rand(5, 6) < 0.8)
    for weighting in (UniformWeighting(), HardNegativeWeighting(2.0)):
        selected = MultiInterestLoss(SelectReadout(), SampledSoftmaxLoss(), weighting)
        expected = MultiInterestLoss(ExpectedReadout(ArgmaxSelector()), SampledSoftmaxLoss(), weighting)
        torch.testing.assert_close(selected(out, positive, negatives), expected(out, positive, negatives))


class TestExpectedIsTheExactExpectation:
    """Rao-Blackwell: over every draw of BaM, not over a sample of draws."""

    @pytest.mark.parametrize("similarity", [InnerProduct(), ProjectedInnerProduct(4, 3).double()])
    @pytest.mark.parametrize("weighting", [UniformWeighting(), HardNegativeWeighting(1.0)])
    @pytest.mark.parametrize("objective", [BPRLoss(), SampledSoftmaxLoss(0.5)])
    def test_over_all_draws(self, objective, weighting, similarity):
        out, positive = random_world()
        negatives = Negatives(torch.randint(8, (5, 6)), torch.randn(5, 6), torch.randn(5))
        probability = SoftmaxSelector(0.7, similarity)(out.interests, out.items[positive].unsqueeze(1))  # [5, 3, 1]
        expected = 0.0
        for k in range(3):  # a draw of interest k is a model with this interest alone
            for user in range(5):
                own = slice(user, user + 1)
                chosen = replace(out, interests=out.interests[own, k : k + 1])
                drawn = Negatives(negatives.item[own], negatives.log_q[own], negatives.pos_log_q[own])
                loss = MultiInterestLoss(SelectReadout(), objective, weighting)(chosen, positive[own], drawn)
                expected = expected + probability[user, k, 0] * loss / 5
        readout = ExpectedReadout(SoftmaxSelector(0.7, similarity))
        actual = MultiInterestLoss(readout, objective, weighting)(out, positive, negatives)
        torch.testing.assert_close(actual, expected)

    def test_draws_average_to_it(self):
        out, positive = random_world()
        negatives = Negatives(torch.arange(8))
        copies = replace(out, interests=out.interests.repeat(4000, 1, 1))
        torch.manual_seed(0)
        drawn = MultiInterestLoss(SelectReadout(SampledSelector(0.7)), SampledSoftmaxLoss())
        expected = MultiInterestLoss(ExpectedReadout(SoftmaxSelector(0.7)), SampledSoftmaxLoss())
        assert drawn(copies, positive.repeat(4000), negatives).item() == pytest.approx(
            expected(out, positive, negatives).item(), rel=0.02
        )

    @pytest.mark.parametrize("learns", [True, False])
    def test_the_projection_learns_where_nothing_is_drawn(self, learns):
        out, positive = random_world()
        projection = ProjectedInnerProduct(4).double()
        selector = (SoftmaxSelector if learns else SampledSelector)(similarity=projection)
        readout = ExpectedReadout(selector) if learns else SelectReadout(selector)
        out.interests.requires_grad_()
        MultiInterestLoss(readout, SampledSoftmaxLoss())(out, positive, Negatives(torch.arange(8))).backward()
        weights = [projection.interest.weight, projection.item.weight]
        assert all((w.grad is not None and w.grad.abs().max() > 0) == learns for w in weights)


@pytest.mark.parametrize("temperature", [1.0, 0.2])
@pytest.mark.parametrize("reject", [True, False])
def test_in_batch_negatives_with_log_q_and_accidental_hits_written_out(reject, temperature):
    known = [(0, 1), (0, 2), (1, 2), (2, 3), (3, 3), (3, 4), (4, 7)]
    graph = HeteroData({"user": {"num_nodes": 5}, "item": {"num_nodes": 8}})
    graph["user", "interacts", "item"].edge_index = torch.tensor(known).T
    out, _ = random_world()
    users, positive = torch.arange(5), torch.tensor([2, 2, 3, 4, 7])
    negatives = InBatchSampler(graph, reject_known=reject)(users, positive)
    loss = MultiInterestLoss(SelectReadout(anchor="candidate"), SampledSoftmaxLoss(temperature))
    degree = [sum(item == other for _, other in known) for item in range(8)]
    total = 0.0
    for user, own in zip(users.tolist(), positive.tolist(), strict=True):
        logits = [
            max(float(m @ out.items[item]) for m in out.interests[user]) / temperature - math.log(degree[item] / 7)
            for item in [own, *positive.tolist()]
            if item == own or not (reject and (user, item) in known)
        ]
        hits = positive.tolist().count(own)  # the own positive again is no negative, whoever it belongs to
        kept = [logits[0], *[logit for logit in logits[1:] if logit != logits[0]]]
        assert len(logits) - len(kept) == hits
        total -= math.log(math.exp(kept[0]) / sum(map(math.exp, kept))) / 5
    assert loss(out, positive, negatives).item() == pytest.approx(total, rel=1e-6)


def test_shared_negatives_equal_their_copies_per_row():
    out, positive = random_world()
    item, log_q, valid = torch.tensor([0, 3, 3, 7]), torch.rand(4).log(), torch.rand(5, 4) < 0.8
    for readout in (SelectReadout(), ExpectedReadout(SoftmaxSelector())):
        loss = MultiInterestLoss(readout, SampledSoftmaxLoss(), regularizers=[(0.1, EmbeddingNorm())])
        shared = loss(out, positive, Negatives(item, log_q, torch.zeros(5), valid))
        copies = Negatives(item.expand(5, -1), log_q.expand(5, -1), torch.zeros(5), valid)
        torch.testing.assert_close(loss(out, positive, copies), shared)


def test_a_negative_that_is_the_positive_does_not_count():
    out, positive = random_world(batch=1)
    others = torch.tensor([i for i in range(8) if i != positive])
    for objective in (BPRLoss(), SampledSoftmaxLoss()):
        loss = MultiInterestLoss(SelectReadout(), objective)
        with_hits = Negatives(torch.cat([positive.repeat(3), others]))
        torch.testing.assert_close(loss(out, positive, with_hits), loss(out, positive, Negatives(others)))


@pytest.mark.parametrize("readout", [SelectReadout(), LogSumExpReadout(), ExpectedReadout(SoftmaxSelector())])
def test_without_negatives_a_softmax_has_no_loss(readout):
    out, positive = random_world()
    interests = out.interests.clone().requires_grad_()
    value = MultiInterestLoss(readout, SampledSoftmaxLoss())(
        replace(out, interests=interests), positive, Negatives(torch.zeros(0, dtype=torch.long))
    )
    assert value == 0
    assert not torch.autograd.grad(value, interests)[0].any()


@pytest.mark.parametrize("width", [1, 2])
@pytest.mark.parametrize("shape", [(5, 2), (5, 30), (3,)])  # with tensors, 30 are picked out of the scores of all items
@pytest.mark.parametrize("objective", [BPRLoss(), SampledSoftmaxLoss()])
def test_item_tables_are_asked_by_id_once(objective, shape, width):
    asked = []

    class Table:
        def __init__(self, weight):
            self.weight = weight

        def __getitem__(self, index):
            assert index.dtype == torch.int64  # neither a slice nor a mask: all items are never built
            asked.append(tuple(index.shape))
            return self.weight[index]

        def __len__(self):
            return 8

    out, positive = random_world()
    items, negatives = torch.cat([out.items, -out.items.roll(1, 0)][:width], dim=1), Negatives(torch.randint(8, shape))
    hard, best = SelectReadout(), SelectReadout(anchor="candidate")
    readouts = (hard, best, ExpectedReadout(SoftmaxSelector()), LogSumExpReadout())
    for readout, norms in product(readouts, ([], [Weighted(0.1, EmbeddingNorm())])):
        loss, gradients = MultiInterestLoss(readout, objective, regularizers=norms), []
        for made in (Table, torch.Tensor.clone):
            leaves = [part.clone().requires_grad_() for part in (out.interests, items)]
            value = loss(Representations(leaves[0], made(leaves[1])), positive, negatives)
            gradients.append([value, *torch.autograd.grad(value, leaves)])
        torch.testing.assert_close(*gradients)
        assert norms or asked == [(5,), shape]  # a table may draw anew each time
        asked.clear()


@pytest.mark.parametrize("row", [None, torch.arange(5)])
def test_an_objective_learns_the_number_of_items_from_the_model(row):
    out, positive = random_world()
    negatives = Negatives(torch.randint(8, (5, 3)), excludes_known=True)
    given, asked = (
        MultiInterestLoss(SelectReadout(), objective) for objective in (GBCELoss(8, 0.9), GBCELoss(None, 0.9))
    )
    torch.testing.assert_close(asked(out, positive, negatives, row), given(out, positive, negatives, row))


@pytest.mark.parametrize("balance", [0.0, 0.5, 1.0])
def test_user_balance_weighs_users_with_several_entries(balance):
    out, positive = random_world()
    user, negatives = torch.tensor([70, 3, 70, 70, 12]), Negatives(torch.tensor([0, 3, 5, 7]))
    single = MultiInterestLoss(SelectReadout(), SampledSoftmaxLoss())
    each = [single(replace(out, interests=out.interests[i : i + 1]), positive[i : i + 1], negatives) for i in range(5)]
    weight = [3**-balance, 1, 3**-balance, 3**-balance, 1]
    expected = sum(w * loss for w, loss in zip(weight, each, strict=True)) / sum(weight)
    loss = MultiInterestLoss(SelectReadout(), SampledSoftmaxLoss(), user_balance=balance)
    torch.testing.assert_close(loss(out, positive, negatives, user=user), expected)
    torch.testing.assert_close(SumLoss([loss])(out, positive, negatives, user=user), expected)


def test_terms_are_named_weighted_and_summed():
    out, positive = random_world()
    negatives = Negatives(torch.tensor([1, 2]))
    regularizers = [(0.5, EmbeddingNorm()), Weighted(2.0, InterestRepulsion()), (1.0, EmbeddingNorm())]
    loss = MultiInterestLoss(SelectReadout(), BPRLoss(), regularizers=regularizers)
    terms = loss.terms(out, positive, negatives)
    assert list(terms) == ["BPRLoss", "EmbeddingNorm", "InterestRepulsion", "EmbeddingNorm_2"]
    norm = EmbeddingNorm()(out, positive, negatives)
    torch.testing.assert_close(terms["EmbeddingNorm"], 0.5 * norm)
    torch.testing.assert_close(terms["EmbeddingNorm_2"], norm)
    torch.testing.assert_close(loss(out, positive, negatives), sum(terms.values()))


def test_losses_add_up():
    selected = MultiInterestLoss(SelectReadout(), SampledSoftmaxLoss())
    every = MultiInterestLoss(LogSumExpReadout(), SampledSoftmaxLoss())
    total = selected + every
    assert list(total.terms(BAM, POSITIVE, NEGATIVES)) == ["SampledSoftmaxLoss", "SampledSoftmaxLoss_2"]
    assert total(BAM, POSITIVE, NEGATIVES).item() == pytest.approx(0.440190 + 0.626523, abs=1e-5)
    three = (total + selected).terms(BAM, POSITIVE, NEGATIVES)
    assert len(three) == 3
    with pytest.raises(ValueError, match="at least one loss"):
        SumLoss([])


CONFIG = """
loss:
  class_path: MultiInterestLoss
  init_args:
    readout:
      class_path: SelectReadout
      init_args: {anchor: candidate}
    objective:
      class_path: SampledSoftmaxLoss
      init_args: {temperature: 0.2}
    weighting:
      class_path: HardNegativeWeighting
      init_args: {beta: 1.0}
    regularizers:
      - weight: 0.0001
        regularizer: EmbeddingNorm
"""


@pytest.fixture
def parser():
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--config", action="config")
    parser.add_subclass_arguments(Loss, "loss")
    return parser


def test_configuration_round_trip(parser, tmp_path):
    path = tmp_path / "loss.yaml"
    path.write_text(CONFIG)
    config = parser.parse_args(["--config", str(path), "--loss.weighting.beta", "5"])
    loss = parser.instantiate(config).loss
    assert loss.weighting.beta == 5.0
    assert loss.objective.temperature == 0.2
    assert loss.readout.anchor == "candidate"
    assert loss.weights == [0.0001]
    assert isinstance(loss.regularizers[0], EmbeddingNorm)
    (tmp_path / "again.yaml").write_text(parser.dump(config))
    again = parser.parse_args(["--config", str(tmp_path / "again.yaml")])
    assert yaml.safe_load(parser.dump(again)) == yaml.safe_load(parser.dump(config))


def test_configuration_of_a_sum(parser):
    loss = yaml.safe_load(CONFIG)["loss"]
    config = parser.parse_object({"loss": {"class_path": "SumLoss", "init_args": {"losses": [loss, loss]}}})
    assert len(parser.instantiate(config).loss.losses) == 2


@pytest.mark.parametrize("objective", [SampledSoftmaxLoss(), BPRLoss()], ids=["softmax", "bpr"])
@pytest.mark.parametrize("shape", [(9,), (5, 9)], ids=["shared", "own"])
def test_proposals_can_be_left_uncorrected(objective, shape):
    out, positive = random_world()
    item = torch.randint(8, shape, generator=torch.Generator().manual_seed(0))  # some of them several times
    log_q = torch.linspace(-3, -1, 8, dtype=torch.float64)
    negatives = Negatives(item, log_q=log_q[item], pos_log_q=log_q[positive])
    plain, corrected = (
        MultiInterestLoss(SelectReadout(), objective, UniformWeighting(log_q=kept))(out, positive, negatives)
        for kept in (False, True)
    )
    expected = MultiInterestLoss(SelectReadout(), objective)(out, positive, Negatives(item))
    torch.testing.assert_close(plain, expected)
    assert not torch.isclose(corrected, expected)
