"""Explanations: lists, interests and causes against naive loops, for every kind of model; the command from outside."""

import json
import re
from dataclasses import replace
from io import StringIO

import polars as pl
import pytest
import torch
from rich.console import Console
from torch import nn

import graphmi.explain
from graphmi import cli
from graphmi.attribution import Cause, _largest
from graphmi.commands.explanation import print_explanation
from graphmi.data import Dataset, Interactions, LeaveOneOut, Vocabulary, planted
from graphmi.explain import Explainer
from graphmi.models import InterestGCN, Popularity, SeparateInterestGCN, SequenceModel
from graphmi.nn import DynamicRoutingExtractor, FeatureSum, GRUEncoder, ItemTower, LastPosition, MeanPooling
from graphmi.typing import Batch, Representations

USERS = torch.tensor([7, 2, 19])


@pytest.fixture(scope="module")
def dataset():
    return LeaveOneOut()(planted(num_users=30, num_items=40, num_clusters=4, interactions_per_user=9))


class Table(nn.Module):
    """Given vectors that say nothing of where they come from."""

    def __init__(self, users, items, mask=None):
        super().__init__()
        self.user, self.item, self.mask = nn.Parameter(users), nn.Parameter(items), mask

    def forward(self, batch):
        mask = None if self.mask is None else self.mask[batch.user]
        return Representations(self.user[batch.user], self.item, interest_mask=mask)


def graph_model(dataset, **options):
    return InterestGCN(dataset.graph(), **{"num_interests": 3, "embedding_dim": 6, "num_layers": 2} | options)


def sequence_model(dataset, **options):
    return SequenceModel(dataset.graph(), **{"embedding_dim": 6, "max_length": 5} | options)


MODELS = {
    "graph": graph_model,
    "graph, cosine": lambda data: graph_model(data, normalize=True),
    "graph, pairs": lambda data: graph_model(data, score="pair_max"),
    "graph, symmetric": lambda data: graph_model(data, score="symmetric", normalize=True),
    "graph, one interest": lambda data: graph_model(data, num_interests=1),
    "separate": lambda data: SeparateInterestGCN(data.graph(), num_interests=3, embedding_dim=6),
    "factors": lambda data: graph_model(data, num_interests=1, num_layers=0),
    "popularity": lambda data: Popularity(data.graph()),
    "self-attentive": sequence_model,
    "routing": lambda data: sequence_model(data, extractor=DynamicRoutingExtractor),
    "item tower": lambda data: sequence_model(data, item_tower=ItemTower),
    "features": lambda data: sequence_model(data, item_tower=FeatureSum),
    "graph, features": lambda data: graph_model(data, item_tower=FeatureSum),
    "mean": lambda data: sequence_model(data, extractor=MeanPooling),
    "recurrent": lambda data: sequence_model(data, encoder=GRUEncoder, extractor=LastPosition),
    "foreign": lambda data: Table(torch.randn(data.num_users, 3, 6), torch.randn(data.num_items, 6)),
}
SILENT = {"popularity", "recurrent", "foreign", "factors"}  # no item is behind their interests


def items_of(part, user):
    rows = (part.user == user).nonzero().flatten().tolist()
    return [int(part.item[row]) for row in sorted(rows, key=lambda row: int(part.time[row]))]


def scores_by_interest(out, row):
    """Return the best score over the vectors of each item, ``[num_interests, num_items]``."""
    dim = out.interests.size(2)
    items = out.items[torch.arange(len(out.items))].detach().view(len(out.items), -1, dim)
    return torch.einsum("kd,ivd->kiv", out.interests[row].detach(), items).amax(-1)


def shares(items, values, rest=0.0):
    """Return the share of each item in what is above 0, summed over where it stands."""
    summed = {}
    for item, value in zip(items, values, strict=True):
        summed[item] = summed.get(item, 0.0) + float(value)
    positive = {item: value for item, value in summed.items() if value > 0}
    total = sum(positive.values()) + max(0.0, float(rest))
    return {item: value / total for item, value in positive.items()}


def assert_causes(causes, expected, limit=None):
    found = {cause.item: cause.weight for cause in causes}
    best = sorted(expected.items(), key=lambda pair: -pair[1])[:limit]
    assert found == pytest.approx(dict(best), abs=1e-5)
    weights = [cause.weight for cause in causes]
    assert weights == sorted(weights, reverse=True)


# --- what is recommended, by which interest


@pytest.mark.parametrize(("name", "repeat"), [*((name, False) for name in MODELS), ("graph", True)])
def test_list_and_interests_equal_a_full_sort(dataset, name, repeat):
    model = MODELS[name](dataset).eval()
    explainer = Explainer(dataset, model, repeat=repeat)
    for row, told in enumerate(explainer(USERS, k=6, num_nearest=4)):
        user = int(USERS[row])
        assert told.user == user
        assert list(told.history) == items_of(dataset.test_history, user)
        assert list(told.targets) == items_of(dataset.test, user)
        out = model(question(dataset, model))
        by_interest = scores_by_interest(out, row)
        if out.interest_mask is not None:
            by_interest[~out.interest_mask[row]] = -torch.inf
        score, interest = by_interest.max(0)
        left = [item for item in range(dataset.num_items) if repeat or item not in told.history]
        best = sorted(left, key=lambda item: (-float(score[item]), item))[:6]
        assert [one.item for one in told.recommendations] == best
        assert [one.score for one in told.recommendations] == pytest.approx(score[best].tolist(), rel=1e-5)
        assert [one.interest for one in told.recommendations] == interest[best].tolist()
        assert [one.hit for one in told.recommendations] == [item in told.targets for item in best]
        alone = scores_by_interest(out, row)
        for index, one in enumerate(told.interests):
            assert one.index == index
            assert isinstance(one.active, bool)
            assert one.share == pytest.approx(interest[best].tolist().count(index) / 6)
            nearest = sorted(range(dataset.num_items), key=lambda item: (-float(alone[index, item]), item))
            assert list(one.nearest) == nearest[:4]
        assert sum(one.share for one in told.interests) == pytest.approx(1)


def question(dataset, model):
    """Return the users with what they had before the test."""
    length = getattr(model, "max_length", None)
    if length is None:
        return Batch(user=USERS)
    read = [items_of(dataset.test_history, user)[-length:] for user in USERS.tolist()]
    mask = torch.tensor([[place < len(items) for place in range(length)] for items in read])
    return Batch(user=USERS, history=torch.tensor([items + [0] * (length - len(items)) for items in read]), mask=mask)


@pytest.mark.parametrize("name", MODELS)
def test_shares_are_shares(dataset, name):
    explanations = Explainer(dataset, MODELS[name](dataset))(USERS, num_causes=100)
    parts = [part for told in explanations for part in (*told.interests, *told.recommendations)]
    assert any(part.causes for part in parts) == (name not in SILENT)
    for told in explanations:
        for part in (*told.interests, *told.recommendations):
            assert all(0 < cause.weight <= 1 for cause in part.causes)
            assert sum(cause.weight for cause in part.causes) <= 1 + 1e-5
            assert {cause.item for cause in part.causes} <= set(told.history)
    none = Explainer(dataset, MODELS[name](dataset))(USERS, num_causes=0)
    assert not any(part.causes for told in none for part in (*told.interests, *told.recommendations))


# --- causes


@pytest.mark.parametrize("name", ["graph", "graph, cosine", "graph, pairs", "graph, symmetric", "separate"])
def test_causes_of_a_graph_model_are_what_neighbours_bring(dataset, name):
    model = MODELS[name](dataset).eval().requires_grad_(False)
    out, parts = model(Batch(user=USERS)), model.contributions()(Batch(user=USERS))
    dim = out.interests.size(2)
    for row, told in enumerate(Explainer(dataset, model)(USERS, k=5, num_causes=100)):
        mine = parts.row == row
        items, vectors, rest = parts.item[mine].tolist(), parts.vector[mine], parts.rest[row]
        assert sorted(items) == sorted(items_of(dataset.train, int(USERS[row])))
        for one in told.recommendations:
            sides = out.items[one.item].view(-1, dim)
            side = max(sides, key=lambda side: float(side @ out.interests[row, one.interest]))
            values = vectors[:, one.interest] @ side
            assert float(values.sum() + rest[one.interest] @ side) == pytest.approx(one.score, abs=1e-5)
            assert_causes(one.causes, shares(items, values, rest[one.interest] @ side))
        for one in told.interests:
            interest = out.interests[row, one.index]
            expected = shares(items, vectors[:, one.index] @ interest, rest[one.index] @ interest)
            assert_causes(one.causes, expected)


@pytest.mark.parametrize("name", ["self-attentive", "routing", "item tower"])
def test_causes_of_a_sequence_model_are_routing_and_what_positions_bring(dataset, name):
    model = MODELS[name](dataset).eval().requires_grad_(False)
    batch = question(dataset, model)
    out, parts = model(batch), model.contributions()(batch)
    for row, told in enumerate(Explainer(dataset, model)(USERS, k=5, num_causes=3)):
        items = batch.history[row][batch.mask[row]].tolist()
        for one in told.interests:
            routed = out.routing[row, one.index][batch.mask[row]]
            assert_causes(one.causes, shares(items, routed) if one.active else {}, 3)
        for one in told.recommendations:
            values = parts.vector[parts.row == row][:, one.interest] @ out.items[torch.tensor(one.item)]
            assert float(values.sum()) == pytest.approx(one.score, abs=1e-5)
            assert_causes(one.causes, shares(items, values), 3)


class RoutesOnly(nn.Module):
    """A model of one's own that has routing weights, and no sums."""

    max_length = 4

    def __init__(self, num_items):
        super().__init__()
        self.item = nn.Parameter(torch.randn(num_items, 5))

    def forward(self, batch):
        assert not torch.is_grad_enabled()
        routing = torch.rand(len(batch.user), 2, batch.history.size(1))  # of what is no item too
        self.routing, self.batch = routing, batch
        interests = torch.tanh((routing * batch.mask.unsqueeze(1)) @ self.item[batch.history])
        return Representations(interests, self.item, routing=routing, mask=batch.mask)


def test_without_sums_a_recommendation_has_the_causes_of_its_interest():
    data = small_dataset([(0, 1), (0, 4), (0, 2), (1, 3), (1, 5)], targets=[4])  # one user has more than the other
    model = RoutesOnly(data.num_items)
    for row, told in enumerate(Explainer(data, model)(torch.tensor([0, 1]), k=5, num_causes=10)):
        mask = model.batch.mask[row]
        items = model.batch.history[row][mask].tolist()
        for one in told.interests:
            assert_causes(one.causes, shares(items, model.routing[row, one.index][mask]))
        for one in told.recommendations:
            assert one.causes == told.interests[one.interest].causes != ()


@pytest.mark.parametrize(("max_length", "mask"), [(None, torch.ones(3, 4) > 0), (4, None), (5, torch.ones(3, 4) > 0)])
def test_weights_of_something_else_than_the_history_are_no_causes(dataset, max_length, mask):
    class RoutesElsewhere(Table):
        def forward(self, batch):
            return replace(super().forward(batch), routing=torch.rand(3, 3, 4), mask=mask)

    model = RoutesElsewhere(torch.randn(dataset.num_users, 3, 6), torch.randn(dataset.num_items, 6))
    if max_length is not None:
        model.max_length = max_length
    for told in Explainer(dataset, model)(USERS):
        assert not any(part.causes for part in (*told.interests, *told.recommendations))


def small_dataset(rows, targets, num_users=3, num_items=8):
    """Rows of (user, item) in time order; ``targets`` says which are those of the test."""
    user, item = torch.tensor(rows).unbind(1)
    interactions = Interactions(
        user=user,
        item=item,
        users=Vocabulary(pl.Series(range(num_users), dtype=pl.Int64)),
        items=Vocabulary(pl.Series(range(num_items), dtype=pl.Int64)),
        time=torch.arange(len(rows)),
    )
    test = torch.zeros(len(rows), dtype=torch.bool)
    test[targets] = True
    valid = torch.zeros_like(test)
    valid[0] = True
    history = torch.ones_like(test) ^ test
    return Dataset.from_rows(interactions, valid=valid, test=test, train=history, test_history=history, protocol={})


def test_an_item_that_stands_several_times_adds_up():
    data = small_dataset([(0, 1), (0, 4), (0, 2), (0, 4), (1, 3), (1, 5)], targets=[5])
    model = sequence_model(data).eval()
    batch = Batch(torch.tensor([0]), history=torch.tensor([[1, 4, 2, 4]]), mask=torch.ones(1, 4, dtype=torch.bool))
    routing = model(batch).routing[0]
    [told] = Explainer(data, model)(torch.tensor([0]))
    for one in told.interests:
        by_item = {cause.item: cause.weight for cause in one.causes}
        a, b, c, d = routing[one.index].tolist()
        assert by_item == pytest.approx({1: a, 4: b + d, 2: c}, abs=1e-6)
    # It may speak for an item at one place and against it at another.
    [causes] = _largest(torch.tensor([4, 4, 1]), torch.tensor([[3.0, -2.0, 2.0]]), torch.tensor([-1.0]), 5)
    assert causes == (Cause(1, pytest.approx(2 / 3)), Cause(4, pytest.approx(1 / 3)))


def test_inactive_interests_have_no_part(dataset):
    mask = torch.ones(dataset.num_users, 3, dtype=torch.bool)
    mask[2, 1:] = False
    model = Table(torch.randn(dataset.num_users, 3, 6), torch.randn(dataset.num_items, 6), mask)
    _, told, _ = Explainer(dataset, model)(USERS, k=8)
    assert [one.active for one in told.interests] == [True, False, False]
    assert [one.share for one in told.interests] == [1.0, 0.0, 0.0]
    assert {one.interest for one in told.recommendations} == {0}
    routing = sequence_model(dataset, extractor=DynamicRoutingExtractor, max_length=2)  # two items are few
    graph = graph_model(dataset, dynamic_interests=True, temperature=0.1, init_std=1.0)
    for model in (routing, graph):
        explanations = Explainer(dataset, model)(torch.arange(dataset.num_users))
        active = [[one.active for one in told.interests] for told in explanations]
        assert [[bool(one.causes) for one in told.interests] for told in explanations] == active
        assert not all(map(all, active))


# --- users and arguments


@pytest.mark.parametrize("name", ["graph", "self-attentive", "popularity", "recurrent"])
def test_users_without_history_or_target(name):
    data = small_dataset([(0, 1), (0, 4), (1, 3), (1, 5)], targets=[3])
    explanations = Explainer(data, MODELS[name](data))(torch.tensor([0, 2]), k=20, num_nearest=20)
    without_target, without_history = explanations
    assert without_target.targets == ()
    assert without_target.history == (1, 4)
    assert not any(one.hit for one in without_target.recommendations)
    assert [one.item for one in without_target.recommendations if one.item in (1, 4)] == []
    assert len(without_target.recommendations) == 6  # fewer are left than were asked for
    assert without_history.history == ()
    assert len(without_history.recommendations) == 8
    assert all(one.causes == () for one in without_history.interests)
    for told in explanations:
        assert sum(one.share for one in told.interests) == pytest.approx(1)
        assert all(sorted(one.nearest) == list(range(8)) for one in told.interests)


def test_every_target_is_a_hit():
    data = small_dataset([(0, 1), (0, 4), (0, 6), (0, 2), (1, 3)], targets=[2, 3])
    [told] = Explainer(data, graph_model(data))(torch.tensor([0]), k=20)
    assert told.targets == (6, 2)
    assert {one.item for one in told.recommendations if one.hit} == {2, 6}


def test_who_knows_all_items_is_recommended_none():
    data = small_dataset([*((0, item) for item in range(8)), (1, 3), (1, 5)], targets=[9])
    [told] = Explainer(data, graph_model(data))(torch.tensor([0]))
    assert told.recommendations == ()
    assert [one.share for one in told.interests] == [0, 0, 0]


def test_batches_change_nothing_and_the_model_stays_in_training(dataset, monkeypatch):
    model = sequence_model(dataset, dropout=0.5).train()
    explainer = Explainer(dataset, model)
    users = torch.arange(dataset.num_users)
    together = explainer(users)
    assert model.training
    monkeypatch.setattr(graphmi.explain, "_USERS", 7)
    monkeypatch.setattr(graphmi.explain, "_ATTRIBUTED", 3)
    assert [told.user for told in explainer(users)] == users.tolist()
    for one, other in zip(together, explainer(users), strict=True):
        assert [r.item for r in one.recommendations] == [r.item for r in other.recommendations]
        parts, others = ((*told.interests, *told.recommendations) for told in (one, other))
        assert [[c.item for c in part.causes] for part in parts] == [[c.item for c in part.causes] for part in others]
    monkeypatch.delattr(SequenceModel, "forward")
    assert explainer(users[:0]) == []


def test_a_graph_model_propagates_once_to_answer_and_once_for_causes(dataset, monkeypatch):
    propagate, times = InterestGCN.propagate, []
    monkeypatch.setattr(graphmi.explain, "_USERS", 1)
    monkeypatch.setattr(InterestGCN, "propagate", lambda self: times.append(self) or propagate(self))
    assert len(Explainer(dataset, graph_model(dataset))(USERS)) == 3
    assert len(times) == 2


def test_validation_has_its_own_targets(dataset):
    [told] = Explainer(dataset, graph_model(dataset), "valid")(torch.tensor([4]))
    assert list(told.targets) == items_of(dataset.valid, 4)
    assert list(told.history) == items_of(dataset.train, 4)


def test_arguments_out_of_range(dataset):
    explainer = Explainer(dataset, Popularity(dataset.graph()))
    with pytest.raises(ValueError, match=r"'users' must be in \[0, 30\) \(got 4 to 30\)"):
        explainer(torch.tensor([4, 30]))
    with pytest.raises(ValueError, match=r"\(got -1 to 4\)"):
        explainer(torch.tensor([4, -1]))
    for name, least in {"num_nearest": 1, "num_causes": 0}.items():
        with pytest.raises(ValueError, match=rf"'{name}' must be at least {least} \(got {least - 1}\)"):
            explainer(USERS, **{name: least - 1})
    with pytest.raises(ValueError, match="'k' must be at least 1"):
        explainer(USERS, k=0)
    with pytest.raises(ValueError, match="'part' must be"):
        Explainer(dataset, explainer.model, "train")


# --- the command

WORLD = "planted:num_users=40,num_items=60,num_clusters=4,interactions_per_user=10"
SMALL = ["--data", WORLD, "--trainer.epochs", "1", "--trainer.accelerator", "cpu", "--replicates", "0"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for preset in ("interest-gcn", "comirec-sa", "popularity"):
        assert cli.main(["train", preset, *SMALL, "--out", str(folder / preset)]) == 0
    return folder


@pytest.fixture
def explain(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")

    def run(*words):
        capsys.readouterr()  # what training has printed
        status = cli.main(["explain", *(str(word) for word in words)])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


@pytest.mark.parametrize("preset", ["interest-gcn", "comirec-sa", "popularity"])
def test_the_command_shows_what_json_says(runs, explain, preset):
    status, text, err = explain(runs / preset, "--user", "17", "--k", "4")
    assert (status, err) == (0, "")
    assert max(len(line) for line in text.splitlines()) <= 80
    status, out, err = explain(runs / preset, "--user", "17", "--k", "4", "--json")
    assert (status, err) == (0, "")
    told = json.loads(out)
    assert told["user"] == 17
    assert text.startswith(f"User 17 in {runs / preset}")
    assert len(told["recommendations"]) == 4
    assert [one["rank"] for one in told["recommendations"]] == [1, 2, 3, 4]
    assert [one["number"] for one in told["interests"]] == list(range(1, len(told["interests"]) + 1))
    assert sum(told["categories"].values()) == len(told["history"])  # one cluster per item
    for one in told["recommendations"]:
        [line] = [line for line in text.splitlines() if line.startswith(f"│ {one['rank']:>2} │")][-1:]
        cells = [cell.strip() for cell in line.split("│")[1:-1]]
        assert cells[1].removeprefix("✓ ") == one["title"]
        assert cells[1].startswith("✓") == one["hit"] == (one["item"] in [t["item"] for t in told["targets"]])
        assert cells[3] == str(one["interest"])
        assert cells[4:5] == [
            f"{100 * cause['share']:.{0 if cause['share'] >= 0.1 else 1}f}% {cause['title']}"
            for cause in one["causes"][:1]
        ]
    assert all(name in text for name in told["categories"])
    assert ("because of" in text) == (preset != "popularity")
    assert told["source"] == {"interest-gcn": "graph", "comirec-sa": "history", "popularity": "none"}[preset]


def test_ids_and_titles_are_those_of_the_data(tmp_path, explain):
    rows = "\n".join(
        f"user-{u},[item] {i},{t}"
        for t, (u, i) in enumerate((u, (u * 3 + n) % 11) for u in range(12) for n in range(6))
    )
    (tmp_path / "log.csv").write_text(f"user_id,item_id,timestamp\n{rows}\n")
    words = ["--data", str(tmp_path / "log.csv"), "--replicates", "0", "--out", str(tmp_path / "run")]
    assert cli.main(["train", "popularity", *words]) == 0
    status, out, err = explain(tmp_path / "run", "--user", "user-7", "--json")
    assert (status, err) == (0, "")
    told = json.loads(out)
    assert told["user"] == "user-7"
    assert all(one["title"].startswith("[item] ") for one in told["recommendations"])
    assert told["categories"] == {}
    status, text, _ = explain(tmp_path / "run", "--user", "user-7")
    assert told["recommendations"][0]["title"] in text  # brackets are no markup
    status, out, err = explain(tmp_path / "run", "--user", "user-77")
    assert (status, out) == (2, "")
    assert err == "graphmi: no user has the id 'user-77' (nearest of the 12 ids: user-7 and user-8)\n"


def test_without_a_user_a_typical_one_is_shown(runs, explain):
    status, out, _ = explain(runs / "comirec-sa", "--json")
    assert status == 0
    told = json.loads(out)
    assert told["typical"]
    others = [json.loads(explain(runs / "comirec-sa", "--user", told[who], "--json")[1]) for who in ("narrow", "broad")]
    assert others[0]["diversity"] < told["diversity"] < others[1]["diversity"]
    assert [others[0]["group"], told["group"], others[1]["group"]] == [1, 3, 5]
    status, text, _ = explain(runs / "comirec-sa")
    assert f"--user {told['narrow']} has a narrow taste" in text


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (["--user", "40"], 2, "no user has the id '40' (nearest of the 40 ids: 39)"),
        (
            ["--user", "99999999999999999999"],
            2,
            "no user has the id '99999999999999999999' (nearest of the 40 ids: 39)",
        ),
        (["--user", "ann"], 2, "no user has the id 'ann': ids are whole numbers, such as 0"),
        (["--user", "1", "--k", "0"], 1, "'k' must be at least 1 (got 0)"),
        (["--user", "1", "--split", "train"], 2, "'--split' must be one of 'valid', 'test' (got train)"),
    ],
)
def test_mistakes_are_answered_in_a_sentence(runs, explain, words, status, sentence):
    assert explain(runs / "popularity", *words) == (status, "", f"graphmi: {sentence}\n")


def test_a_folder_without_a_run(tmp_path, explain):
    status, out, err = explain(tmp_path, "--user", "1")
    assert (status, out) == (1, "")
    assert err.startswith(f"graphmi: '{tmp_path}' is not a run folder")


def test_users_of_whom_nothing_is_known_come_with_a_warning(monkeypatch):
    from graphmi.commands import explain as command

    data = small_dataset([(0, 1), (0, 4), (1, 3), (1, 5)], targets=[3])
    for name, word in (("graph", "training"), ("self-attentive", "known items"), ("popularity", None)):
        model = MODELS[name](data)
        run = type("Run", (), {"dataset": data, "model": model})
        known, unknown = (command._note(run, told) for told in Explainer(data, model)(torch.tensor([0, 2])))
        assert known is None
        assert unknown is None if word is None else word in unknown


def test_titles_come_from_the_data(dataset):
    from graphmi.commands import explain as command

    titles = tuple(f"Film {item}" for item in range(dataset.num_items))
    names = ("train", "valid", "test", "valid_history", "test_history")
    titled = Dataset(**{n: replace(getattr(dataset, n), titles=titles) for n in names}, protocol={})
    [told] = Explainer(titled, graph_model(titled))(torch.tensor([3]))
    named = command._named(told, titled)
    assert [one["title"] for one in named["recommendations"]] == [f"Film {one.item}" for one in told.recommendations]
    assert named["interests"][0]["causes"][0]["title"] == f"Film {told.interests[0].causes[0].item}"


def told(title, share=None, item=None, categories=()):
    return {"item": title if item is None else item, "title": title, "categories": [*categories], "share": share}


FOUND = {
    "run": "runs/one",
    "split": "test",
    "user": "ann",
    "diversity": 1.234,
    "group": 3,
    "num_groups": 5,
    "max_length": 8,
    "source": "history",
    "note": "Nobody knows.",
    "typical": True,
    "narrow": "bob",
    "broad": "zoe",
    "history": [told(f"item {n}", categories=["drama", "war"]) for n in range(9)],
    "categories": {f"kind {n}": 1000 * (9 - n) for n in range(9)},
    "targets": [told("x"), told("y")],
    "interests": [
        {"number": 1, "active": True, "share": 0.5, "nearest": [told("near"), told("by")],
         "causes": [told(f"cause {n}", share) for n, share in enumerate([0.6, 0.1, 0.0999, 0.0006, 0.0004])]},
        {"number": 2, "active": False, "share": 0.0, "nearest": [told("far")], "causes": []},
    ],
    "recommendations": [
        {**told("Film", item=7, categories=["drama"]), "rank": 1, "score": 99.5, "interest": 2, "hit": True,
         "causes": [told(f"reason {n}", 0.2) for n in range(4)]},
        {**told("8", item=8, categories=["war"]), "rank": 2, "score": -1234.5678, "interest": 1, "hit": False,
         "causes": []},
        {**told("Play", item=9), "rank": 3, "score": 100.0, "interest": 1, "hit": False, "causes": []},
    ],
}  # fmt: skip


def printed(width=200, **changes):
    """Return the lines of the tables, without rules, and cells apart by a bar."""
    console = Console(file=StringIO(), width=width)
    print_explanation(console, {**FOUND, **changes})
    lines = [" | ".join(line.strip().strip("│").split("│")) for line in console.file.getvalue().splitlines()]
    return [" ".join(line.split()) for line in lines if line and not set(line) <= set("─┼├┤┏━┳┓┡╇┩└┴┘ ")]


def test_tables_for_the_terminal_hold_what_was_found():
    facts = "9 known items; the model reads the latest 8; diversity 1.23; diversity group 3 of 5; "
    bars = [f"kind {n} {'█' * 24 if n == 0 else '?'} {9 - n},000" for n in range(8)]
    expected = [
        "User ann in runs/one, test",
        f"{facts}1 of 2 targets in the list of 3",
        "Chosen as typical; --user bob has a narrow taste, --user zoe a broad one",
        "Nobody knows.",
        "Latest 8 of 9 known items",
        *(f"item {n} drama, war" for n in range(8, 0, -1)),
        "Known items by category, and 1 more",
        *bars,
        "Interests",
        "┃ # ┃ of the list ┃ nearest items ┃ from, in the history ┃",
        "1 | 50% | near | 60% cause 0",
        "| █████ | by | 10% cause 1",
        "| | | 10.0% cause 2",
        "| | | 0.1% cause 3",
        "2 | inactive | far |",
        "%: how much of the interest comes from the item",
        "Recommendations",
        "┃ # ┃ item ┃ score ┃ by ┃ because of ┃",
        "1 | ✓ Film | 99.500 | 2 | 20% reason 0",
        "| 7: drama | | | 20% reason 1",
        "| | | | 20% reason 2",
        "2 | 8 | -1234.57 | 1 |",
        "| war | | |",
        "3 | Play | 100 | 1 |",
        "| 9 | | |",
        "✓: was to be found; by: the interest; %: share of all that speaks for the item",
    ]
    found = [re.sub(r"(kind [1-7]) [█▏▎▍▌▋▊▉]+", r"\1 ?", line) for line in printed()]
    assert found == expected
    console = Console(file=StringIO(), width=200, force_terminal=True, color_system="truecolor", no_color=False)
    print_explanation(console, FOUND)
    for number, color in ((1, "0;114;178"), (2, "230;159;0")):
        assert re.search(rf"\[1;38;2;{color}m *{number}", console.file.getvalue())
    console = Console(file=StringIO(), width=200)
    print_explanation(console, FOUND)
    assert {len(line) for line in console.file.getvalue().splitlines() if "│" in line} == {110}


@pytest.mark.parametrize(
    ("changes", "there", "gone"),
    [
        ({"max_length": 9}, "9 known items; diversity 1.23", "the model reads"),
        ({"max_length": None}, "9 known items; diversity 1.23", "the model reads"),
        ({"diversity": None, "group": None}, "reads the latest 8; 1 of 2 targets", "diversity"),
        ({"targets": []}, "no targets in the test split", "in the list of"),
        ({"recommendations": []}, "0 of 2 targets in the list of 0", "✓ "),
        ({"history": [], "categories": {}}, "no known items; diversity", "Known items"),
        ({"history": FOUND["history"][:8]}, "Known items", "Latest"),
        ({"history": FOUND["history"][:1]}, "\n1 known item; diversity", "known items"),
        ({"categories": {f"kind {n}": 1 for n in range(8)}}, "kind 7", "more"),
        ({"note": None, "typical": False}, "Latest", "Nobody"),
        ({"source": "graph"}, "from, in the graph", "from, in the history"),
        ({"source": "none"}, "this model does not say which items an interest comes from", "because of"),
    ],
)
def test_tables_for_the_terminal_say_what_is_not_there(changes, there, gone):
    text = "\n".join(printed(**changes))
    assert there in text
    assert gone not in text
