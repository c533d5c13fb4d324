"""Models side by side: their scores added up, or the best of them, score by score."""

from itertools import product

import pytest
import torch

from graphmi.data import Histories, LeaveOneOut, planted
from graphmi.models import EASE, InterestGCN, Popularity, SequenceModel, SideBySide
from graphmi.nn import LastPosition
from graphmi.recommender import Recommender
from graphmi.typing import Batch, HistoryReader, Representations

USERS = torch.tensor([3, 0, 7])


@pytest.fixture
def data():
    return planted(num_users=20, num_items=30, num_clusters=3)


@pytest.fixture
def models(data):
    """A sequence model, a graph model that reads the latest two, and one that reads nothing; of different widths."""
    torch.manual_seed(0)
    graph = LeaveOneOut()(data).graph()
    return [
        SequenceModel(graph, 4, max_length=5, extractor=LastPosition).eval(),
        InterestGCN(graph, 1, 6, 1, max_length=2).eval(),
        InterestGCN(graph, 1, 3, 1).eval(),
    ]


def asked(model, data, length=None):
    length = getattr(model, "max_length", 1) if length is None else length
    history, mask = Histories(data).read(USERS, length)
    return model(Batch(USERS, history=history, mask=mask))


@pytest.mark.parametrize("weights", [None, (2.0, 0.5, 1.0)])
@pytest.mark.parametrize("reading", ["sum", "best"])
def test_scores_are_those_of_the_models(data, models, reading, weights):
    """Each model reads as much of the histories as it would alone."""
    outs = [asked(model, data) for model in models]
    scores = [
        weight * out.interests[:, 0] @ out.items[:].T
        for weight, out in zip(weights or (1.0, 1.0, 1.0), outs, strict=True)
    ]
    expected = torch.stack(scores).sum(0) if reading == "sum" else torch.stack(scores).amax(0)
    together = SideBySide(models, reading, weights)
    assert together.max_length == 5
    for length in (5, 9):  # what nobody reads changes nothing
        out = asked(together, data, length)
        torch.testing.assert_close((out.interests @ out.items.T).amax(1), expected)


def test_histories_are_read_where_one_of_the_models_does(models):
    assert not isinstance(SideBySide(models[2:]), HistoryReader)
    assert SideBySide(models[1:]).max_length == 2


@pytest.mark.parametrize("reading", ["sum", "best"])
def test_models_of_graphs_propagate_once_where_they_have_propagated(data, models, reading, monkeypatch):
    together = SideBySide(models, reading, (2.0, 0.5, 1.0))
    expected, ready = asked(together, data), together.propagated().eval()
    with monkeypatch.context() as patch:
        patch.setattr(InterestGCN, "propagate", lambda self: pytest.fail("it propagates again"))
        found = asked(ready, data)
    assert torch.equal(found.interests, expected.interests)
    assert torch.equal(found.items, expected.items)
    assert asked(together, data).items is not expected.items
    with torch.no_grad():
        first = asked(ready, data).items
    assert asked(ready, data).items is first  # put together once
    assert torch.equal(first, expected.items)
    assert asked(ready.train(), data).items.requires_grad
    assert together.eval().propagated().training is False


def test_beginnings_of_histories_are_refused(models):
    history, mask = torch.arange(4).unsqueeze(0), torch.ones(1, 4, dtype=torch.bool)
    with pytest.raises(ValueError, match="no 'prefix' of them"):
        SideBySide(models)(Batch(USERS, history=history, mask=mask, prefix=torch.tensor([0, 1, 3])))


class Masked(torch.nn.Module):
    """A model whose second of three interests is not active."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, batch):
        out = self.model(batch)
        return Representations(out.interests, out.items, interest_mask=torch.tensor([[True, False, True]] * 3))


def test_several_interests_keep_their_masks(data, models):
    several = InterestGCN(LeaveOneOut()(data).graph(), 3, 5, 1).eval()
    out = asked(SideBySide([models[2], Masked(several)], "best"), data)
    assert out.interests.shape == (3, 4, 8)
    assert out.interest_mask.tolist() == [[True, True, False, True]] * 3


def test_what_several_interests_say_at_best_is_added_up(data, models):
    """Each model says of an item what its best active interest does."""
    graph = LeaveOneOut()(data).graph()
    several = [InterestGCN(graph, 3, 5, 1).eval(), InterestGCN(graph, 2, 4, 1).eval()]
    together = SideBySide([Masked(several[0]), models[0], several[1]], weights=[1.0, 2.0, 0.5])
    out = asked(together, data)
    assert out.interests.shape == (3, 6, 13)
    first, second, third = (asked(each, data, 5) for each in (several[0], models[0], several[1]))
    expected = (
        (first.interests[:, [0, 2]] @ first.items.T).amax(1)
        + 2.0 * second.interests[:, 0] @ second.items[:].T
        + 0.5 * (third.interests @ third.items.T).amax(1)
    )
    scores = (out.interests @ out.items.T).masked_fill(~out.interest_mask.unsqueeze(-1), -torch.inf)
    torch.testing.assert_close(scores.amax(1), expected)


@pytest.mark.parametrize("reading", ["sum", "best"])
def test_interests_are_sums_of_what_items_add_in_any_model(data, models, reading):
    graph = LeaveOneOut()(data).graph()
    several = [InterestGCN(graph, 3, 5, 1).eval(), SequenceModel(graph, 4).eval(), models[1], EASE(graph)]
    together = SideBySide(several, reading, [1.0, 2.0, 0.5, 0.1])
    history, mask = Histories(data).read(USERS, together.max_length)
    batch = Batch(USERS, history=history, mask=mask)
    out, parts = together(batch), together.contributions()(batch)
    torch.testing.assert_close(parts.rest.index_add(0, parts.row, parts.vector), out.interests)
    assert parts.row.tolist() == sorted(parts.row.tolist())
    own = [SideBySide([model], weights=[weight]) for model, weight in zip(several, together.weights, strict=True)]
    for row in range(3):
        of_all = set(parts.item[parts.row == row].tolist())
        terms = [each.contributions()(batch) for each in own]
        assert of_all == {item for term in terms for item in term.item[term.row == row].tolist()}
    item = parts.item[parts.row == 0][0]
    score = out.items[9] @ parts.vector[(parts.row == 0) & (parts.item == item)].sum(0).t()
    alone = [
        each.items[9] @ term.vector[(term.row == 0) & (term.item == item)].sum(0).t()
        for each, term in ((model(batch), model.contributions()(batch)) for model in own)
    ]
    expected = torch.cat(alone) if reading == "best" else torch.stack([sum(terms) for terms in product(*alone)])
    torch.testing.assert_close(score, expected)


def test_nothing_is_said_of_items_where_a_model_cannot(data, models):
    popularity = Popularity(LeaveOneOut()(data).graph())
    for unable in (popularity, models[0]):  # who knows of no terms, and whose interests are one position
        history, mask = Histories(data).read(USERS, 5)
        together = SideBySide([models[2], unable])
        assert together.contributions()(Batch(USERS, history=history, mask=mask)) is None


def test_kept_items_are_those_of_serving(data, models):
    """What has propagated keeps vectors of items, but none of training, with gradients or made for inference."""
    ready = SideBySide(models).propagated()
    assert not any(model.training for model in ready.models)  # as it was
    ready.eval()
    assert asked(ready, data).items.requires_grad
    with torch.inference_mode():
        asked(ready, data)
    vectors = ready.models[0].embedding.weight
    for training, change, seen in ((True, 1, True), (False, 1, True), (False, 1, False)):
        ready.train(training)
        with torch.no_grad():
            vectors += change
            items = asked(ready, data).items
        assert not items.requires_grad
        assert not items.is_inference()
        assert torch.equal(items[:, :4], vectors) == seen
    plain = SideBySide(models).eval()
    with torch.no_grad():
        before = asked(plain, data).items
        models[0].embedding.weight += 1
        assert not torch.equal(asked(plain, data).items, before)


def test_more_combinations_than_can_be_ranked(data):
    graph = LeaveOneOut()(data).graph()
    models = [InterestGCN(graph, 17, 2, 1).eval(), InterestGCN(graph, 16, 2, 1).eval()]
    with pytest.raises(ValueError, match=r"models of \[17, 16\] interests added up have 272, all combinations"):
        asked(SideBySide(models), data)
    assert asked(SideBySide(models, "best"), data).interests.size(1) == 33
    assert asked(SideBySide(models[1:] * 2), data).interests.size(1) == 256  # as many as can be


def test_somebody_new_is_served_where_all_models_can(data, models):
    """Each model reads as much of the history as it would alone."""
    items = data.items.ids[:9]
    lists = Recommender(data, SideBySide(models, "sum"), k=5).for_histories([items])
    history, mask = torch.arange(9).unsqueeze(0), torch.ones(1, 9, dtype=torch.bool)
    outs = [
        models[0](Batch(torch.tensor([-1]), history=history[:, 4:], mask=mask[:, 4:])),
        models[1].fold_in(history[:, 7:], mask[:, 7:]),
        models[2].fold_in(history, mask),
    ]
    assert not SideBySide(models).fold_in(history, mask).interests.requires_grad
    scores = sum(out.interests[0, 0] @ out.items[:].T for out in outs)
    scores[:9] = -torch.inf
    best = scores.topk(5)
    assert [one.item for one in lists[0]] == data.items.decode(best.indices)
    assert [one.score for one in lists[0]] == pytest.approx(best.values.tolist(), rel=1e-5)
    with pytest.raises(ValueError, match="Popularity knows the users that it was trained with"):
        SideBySide([models[0], Popularity(LeaveOneOut()(data).graph())]).fold_in(history, mask)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"weights": [1.0]},
            r"give each model a positive weight that float32 holds \(got 3 models and weights \[1.0\]\)",
        ),
        *(({"weights": [1.0, weight, 1.0]}, "give each model a positive weight") for weight in (0.0, 1e-46, 1e39)),
        ({"reading": "mean"}, "'reading' must be 'sum' or 'best'"),
    ],
)
def test_arguments_out_of_range(models, options, message):
    with pytest.raises(ValueError, match=message):
        SideBySide(models, **options)
    with pytest.raises(ValueError, match="got 0 models"):
        SideBySide([])
    with pytest.raises(ValueError, match=r"'models' must be a list of trained models \(got SequenceModel\)"):
        SideBySide(models[0])
