import pickle
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from functools import partial
from threading import Barrier
from time import sleep

import pandas as pd
import polars as pl
import pytest
import torch
from torch import nn

from graphmi import recommender as recommender_module
from graphmi.config import experiment
from graphmi.data import DataError, Histories, Interactions, LeaveOneOut, planted
from graphmi.models import InterestGCN, Popularity, SequenceModel
from graphmi.nn.extract import DynamicRoutingExtractor
from graphmi.recommender import Recommender
from graphmi.retrieval import ExactIndex, FaissIndex, top_k
from graphmi.typing import Batch, Representations

K = 6


@pytest.fixture(scope="module")
def data():
    """Users and items with ids that are not their indices, one category each."""
    world = planted(num_users=40, num_items=60, num_clusters=4)
    frame = pl.DataFrame(
        {
            "user_id": [f"u{user:03}" for user in world.user.tolist()],
            "item_id": (world.item * 7 + 100).numpy(),
            "time": torch.arange(len(world)).numpy(),
            "category": [f"c{item % 3}" for item in world.item.tolist()],
        }
    )
    return Interactions.from_frame(frame, category="category")


@pytest.fixture(scope="module", params=["graph", "sequence", "popularity"])
def model(request, data):
    torch.manual_seed(0)
    graph = LeaveOneOut()(data).graph()
    if request.param == "graph":
        return InterestGCN(graph, num_interests=3, embedding_dim=8, num_layers=1)
    return SequenceModel(graph, 8, max_length=5) if request.param == "sequence" else Popularity(graph)


@pytest.fixture(scope="module")
def graph_model(data):
    torch.manual_seed(0)
    return InterestGCN(LeaveOneOut()(data).graph(), num_interests=3, embedding_dim=8, num_layers=1)


def expected(data, model, user, keep=lambda item: True, repeat=False):
    """Return ids, scores and interests of a user from all scores, one by one."""
    index = data.users.encode([user])
    history, mask = Histories(data).read(index, getattr(model, "max_length", 1))
    out = model.eval()(Batch(index, history=history, mask=mask))
    scores = out.interests[0].detach() @ out.items[torch.arange(data.num_items)].detach().T
    best, interest = scores.max(0)
    known = set(data.item[data.user == index].tolist())
    ids = data.items.ids.to_list()
    order = [
        i for i in best.argsort(descending=True, stable=True).tolist() if keep(ids[i]) and (repeat or i not in known)
    ]
    return [ids[i] for i in order[:K]], [float(best[i]) for i in order[:K]], [int(interest[i]) for i in order[:K]]


def unzipped(found):
    return [list(part) for part in zip(*found, strict=True)]


def test_lists_are_the_best_unknown_items(data, model):
    users = ["u012", "u003"]
    for user, found in zip(users, Recommender(data, model, K)(users), strict=True):
        ids, scores, interests = unzipped(found)
        assert (ids, interests) == (expected(data, model, user)[0], expected(data, model, user)[2])
        torch.testing.assert_close(torch.tensor(scores), torch.tensor(expected(data, model, user)[1]))


def test_filters_and_repeats(data, graph_model):
    ids = data.items.ids.to_list()
    among, without = ids[10:40], ids[15:20]
    [found] = Recommender(data, graph_model, K, among=among, without=without)(["u005"])
    assert [one.item for one in found] == expected(
        data, graph_model, "u005", lambda item: item in among and item not in without
    )[0]
    [found] = Recommender(data, graph_model, K, repeat=True)(["u005"])
    assert [one.item for one in found] == expected(data, graph_model, "u005", repeat=True)[0]


def test_a_known_item_takes_no_place_whether_it_is_allowed_or_not(data, graph_model):
    known = set(data.items.ids.gather(data.item[data.user == data.users.encode(["u005"])].tolist()))
    new = [item for item in data.items.ids if item not in known]
    for among in (new[::9], [*new[:K], *known]):
        [found] = Recommender(data, graph_model, K, among=among)(["u005"])
        assert {one.item for one in found} == set(among) - known


def test_inactive_interests_recommend_nothing(data):
    extractor = partial(DynamicRoutingExtractor, num_interests=3)
    model = SequenceModel(LeaveOneOut()(data).graph(), 8, max_length=5, extractor=extractor)
    history = data.items.ids[:1]  # of one item, which has one interest
    [every] = Recommender(data, model, 60, repeat=True).for_histories([history])
    assert len(every) == 60
    [few] = Recommender(data, model, K, quota=2).for_histories([history])
    assert len(few) == 2
    assert {one.interest for one in every + few} == {0}


def test_a_list_ends_where_nothing_is_left(data, graph_model):
    [found] = Recommender(data, graph_model, K, among=data.items.ids[:2], repeat=True)(["u000"])
    assert len(found) == 2


@pytest.mark.parametrize("quota", [None, 1])
def test_a_varied_list_ends_where_nothing_is_left(data, graph_model, quota):
    options = {"among": data.items.ids[:5], "repeat": True, "quota": quota}
    for users in (["u000"], data.users.ids):
        plain = Recommender(data, graph_model, 8, **options)(users)
        varied = Recommender(data, graph_model, 8, variety=0.1, **options)(users)
        assert [sorted(each) for each in varied] == [sorted(each) for each in plain]


def test_variety_by_several_categories_is_the_greedy_loop(data, graph_model):
    """Items have one category, two, or none."""
    pairs = [(item, f"c{item % 4}") for item in range(40)] + [(item, f"c{item % 5}") for item in range(20)]
    names = [[name for other, name in pairs if other == item] for item in range(60)]
    several = data.with_categories(data.items.ids.gather([item for item, _ in pairs]), [name for _, name in pairs])
    [ranked] = Recommender(data, graph_model, 60)(["u001"])
    place = {item: index for index, item in enumerate(data.items.ids)}
    left, counts, expected = [(one.item, one.score) for one in ranked], {f"c{n}": 0 for n in range(5)}, []
    while left and len(expected) < K:
        own = [set(names[place[item]]) for item, _ in left]
        values = [
            score - 0.2 * sum(counts[name] for name in each) / max(len(each), 1)
            for (_, score), each in zip(left, own, strict=True)
        ]
        best = values.index(max(values))
        for name in own[best]:
            counts[name] += 1
        expected.append(left.pop(best)[0])
    [found] = Recommender(several, graph_model, K, variety=0.2)(["u001"])
    assert [one.item for one in found] == expected


@pytest.mark.parametrize(("only", "second"), [(19, 19), (20, 1)])
def test_with_variety_ten_times_as_many_items_are_candidates(data, only, second):
    """All items but one are of one category; the items come in their order."""

    class InOrder(nn.Module):
        def forward(self, batch):
            return Representations(torch.ones(len(batch.user), 1, 1), -torch.arange(60.0).unsqueeze(1))

    two = data.with_categories(data.items.ids, [str(item == only) for item in range(60)])
    [found] = Recommender(two, InOrder(), 2, repeat=True, variety=100.0)(["u001"])
    assert [one.item for one in found] == data.items.ids.gather([0, second]).to_list()


def test_quota_and_variety(data, graph_model):
    category = dict(zip(data.items.ids, data.categories.matrix(data.num_items).argmax(1).tolist(), strict=True))
    [plain], [mixed] = (Recommender(data, graph_model, K, variety=weight)(["u001"]) for weight in (0.0, 100.0))
    assert [one.item for one in plain] == expected(data, graph_model, "u001")[0]
    kinds = [category[one.item] for one in mixed]
    assert all(kinds.count(kind) == K // 3 for kind in range(3))
    [limited] = Recommender(data, graph_model, K, quota=2)(["u001"])
    assert all(sum(one.interest == interest for one in limited) == 2 for interest in range(3))


@pytest.mark.parametrize("options", [{}, {"without": [100, 107]}, {"quota": 2}], ids=["all", "some", "quota"])
def test_another_index_is_made_once_of_the_items_that_are_allowed(data, graph_model, options):
    made = []

    def index(items):
        made.append(items)
        return ExactIndex(items)

    recommender, exact = (
        Recommender(data, graph_model, K, index=index, **options),
        Recommender(data, graph_model, K, **options),
    )
    users, history = data.users.ids[:5], data.items.ids[:3]
    assert recommender(users) == exact(users)
    assert recommender.for_histories([history]) == exact.for_histories([history])
    assert [len(items) for items in made] == [data.num_items - len(options.get("without", []))]


def test_with_an_index_a_model_stays_as_it_was_at_the_first_request(data, graph_model):
    model, users, histories = deepcopy(graph_model), data.users.ids[:5], [data.items.ids[:3]]
    recommender, moment = (Recommender(data, model, K, index=index) for index in (ExactIndex, None))
    before, new = moment(users), moment.for_histories(histories)
    assert (recommender(users), recommender.for_histories(histories)) == (before, new)
    torch.nn.init.normal_(model.embedding.weight)
    assert (recommender(users), recommender.for_histories(histories)) == (before, new)
    assert pickle.loads(pickle.dumps(recommender))(users) == before
    assert moment(users) != before


def test_threads_that_ask_first_propagate_and_make_the_index_once(data, graph_model, monkeypatch):
    propagated, made, users = InterestGCN.propagated, [], data.users.ids[:8]
    exact, start = Recommender(data, graph_model, K), Barrier(len(users))

    def slowly(make, given):
        made.append(make)
        sleep(0.1)  # all others ask meanwhile
        return make(given)

    def ask(user):
        start.wait(10)
        return recommender([user])

    recommender = Recommender(data, graph_model, K, index=partial(slowly, ExactIndex))
    monkeypatch.setattr(InterestGCN, "propagated", lambda model: slowly(propagated, model))
    with ThreadPoolExecutor(len(users)) as pool:
        assert list(pool.map(ask, users)) == [exact([user]) for user in users]
    assert made == [propagated, ExactIndex]


def test_an_approximate_index(data, graph_model):
    pytest.importorskip("faiss")
    users = data.users.ids
    found, exact = (
        Recommender(data, graph_model, K, index=index)(users) for index in (partial(FaissIndex, factory="Flat"), None)
    )
    assert [[one.item for one in each] for each in found] == [[one.item for one in each] for each in exact]


def test_somebody_new_is_served_by_a_history(data, graph_model):
    history = data.items.ids.gather([3, 8, 20])
    graph, sequence = graph_model, SequenceModel(LeaveOneOut()(data).graph(), 8, max_length=2).eval()
    items, mask = torch.tensor([[3, 8, 20]]), torch.ones(1, 3).bool()
    outs = {
        graph: graph.fold_in(items, mask),
        sequence: sequence(Batch(torch.tensor([0]), history=items[:, 1:], mask=mask[:, 1:])),
    }
    for model, out in outs.items():
        found = top_k(out.interests, out.items, K, exclude=(torch.tensor([0, 3]), torch.tensor([3, 8, 20])))
        [one, other] = Recommender(data, model, K).for_histories([history, history[:1]])
        assert [each.item for each in one] == data.items.decode(found.ids[0])
        assert len(other) == K
        assert not {each.item for each in other} & set(history[:1])


def test_items_newer_than_the_model_are_found_and_left_out(data, graph_model):
    recommender, old = Recommender(data, graph_model, K), data.items.ids[:3].to_list()
    history = [*old[:2], 99_999, old[2]]
    with pytest.raises(DataError, match="99999"):
        recommender.for_histories([old, history])
    left = [item for item, known in zip(history, data.items.contains(history), strict=True) if known]
    assert recommender.for_histories([left]) == recommender.for_histories([old])


def test_a_table_of_all_users(data, graph_model, monkeypatch):
    monkeypatch.setattr(recommender_module, "_USERS", 15)
    done = []
    recommender = Recommender(data, graph_model, K)
    table = recommender.table(on_users=done.append)
    types = {"user_id": pl.String, "rank": pl.Int32, "item_id": pl.Int64, "score": pl.Float32, "interest": pl.Int32}
    assert list(table.schema.items()) == list(types.items())
    assert done == [15, 30, 40]
    assert table["user_id"].n_unique() == 40
    [first] = recommender(["u000"])
    of_first = table.filter(pl.col("user_id") == "u000")
    assert of_first["item_id"].to_list() == [one.item for one in first]
    assert of_first["interest"].to_list() == [one.interest + 1 for one in first]
    assert of_first["rank"].to_list() == list(range(1, K + 1))


def test_users_of_other_interactions_are_answered_by_their_items_there(data, model, monkeypatch):
    monkeypatch.setattr(recommender_module, "_USERS", 3)
    done = []
    items = data.items.ids.to_list()
    histories = {"new": items[4:9], "u003": items[20:22], "other": [items[7]], "zoë": items[::9], "last": items[2:5]}
    rows = [(user, item, time) for user, history in histories.items() for time, item in enumerate(history)]
    rows += [("new", 10**6, 2), ("nobody", 10**6, 0)]  # an item that came after the training
    others = Interactions.from_frame(pl.DataFrame(rows[::-1], schema=["user_id", "item_id", "time"], orient="row"))
    recommender = Recommender(data, model, K)
    if isinstance(model, Popularity):
        with pytest.raises(ValueError, match="Popularity knows the users that it was trained with and no others"):
            recommender.table_for(others)
        return
    table = recommender.table_for(others, done.append)
    assert done == [3, 5]
    assert sorted(table["user_id"].unique()) == sorted(histories)
    for user, history in histories.items():
        [expected] = recommender.for_histories([history])
        found = table.filter(pl.col("user_id") == user)
        assert found["item_id"].to_list() == [one.item for one in expected]
        assert found["score"].to_list() == pytest.approx([one.score for one in expected], rel=1e-5)
    nobody = others.take(others.item == int(others.items.encode([10**6])))
    assert recommender.table_for(nobody, done.append).is_empty()
    assert recommender.table_for(nobody).schema == table.schema
    assert len(done) == 2


def test_a_graph_model_propagates_once_for_all_users_of_a_call(data, graph_model, monkeypatch):
    users, histories = data.users.ids, [[item] for item in data.items.ids[:40]]
    recommender, propagate, calls = Recommender(data, deepcopy(graph_model).train(), K), InterestGCN.propagate, []
    monkeypatch.setattr(recommender_module, "_USERS", 20)
    monkeypatch.setattr(InterestGCN, "propagate", lambda model: calls.append(model) or propagate(model))
    assert recommender(users) == recommender(users[:20]) + recommender(users[20:])
    both = recommender.for_histories(histories[:20]) + recommender.for_histories(histories[20:])
    assert recommender.for_histories(histories) == both
    assert len(both) == 40
    assert recommender.table().equals(pl.concat([recommender.table(users[:20]), recommender.table(users[20:])]))
    assert len(calls) == 3 * 3


def test_no_history_is_laid_out_for_a_model_that_reads_none(data, graph_model, monkeypatch):
    """The longest one would make all as long as it is."""
    monkeypatch.delattr(Histories, "read")
    assert [len(each) for each in Recommender(data, graph_model, K)(data.users.ids)] == [K] * data.num_users
    monkeypatch.delattr(Histories, "rows")
    assert len(Recommender(data, graph_model, K, repeat=True).table()) == K * data.num_users


def test_nobody_is_given_nothing(data, graph_model):
    recommender, done = Recommender(data, graph_model, K), []
    assert recommender([]) == recommender.for_histories([]) == []
    none, some = recommender.table([], done.append), recommender.table(["u001", "u001"])
    assert done == []
    assert len(none) == 0
    assert none.schema == some.schema
    assert len(some) == 2 * K


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 0}, "'k' must be at least 1"),
        ({"quota": 0}, "'quota' must be at least 1"),
        ({"variety": -1.0}, "'variety' must be at least 0"),
        ({"among": [100], "without": [100]}, "leave no item"),
        ({"among": [3]}, "not in the vocabulary"),
    ],
)
def test_what_makes_no_list_is_refused(data, graph_model, options, message):
    with pytest.raises(ValueError, match=message):
        Recommender(data, graph_model, **options)


def test_ids_come_in_series_of_pandas_and_in_sets(data, graph_model):
    recommender, users, items = Recommender(data, graph_model, K), ["u003", "u012"], data.items.ids[:3].to_list()
    assert recommender(pd.Series(users)) == recommender(pd.Series(users).unique()) == recommender(users)
    frame = pd.DataFrame({"user_id": ["x", "y", "x"], "item_id": items})
    groups = [group for _, group in frame.groupby("user_id")["item_id"]]
    assert recommender.for_histories(groups) == recommender.for_histories([items[::2], items[1:2]])
    expected = Recommender(data, graph_model, K, without=items)(users)
    kinds = [items, [str(item) for item in items], pl.Series(items[:1], dtype=pl.UInt16)]
    found = [[one.item for one in each] for each in recommender.for_histories(kinds)]
    assert found == [[one.item for one in recommender.for_histories([each])[0]] for each in kinds]
    for without in (pd.Series(items), set(items)):
        assert Recommender(data, graph_model, K, without=without)(users) == expected


def test_a_single_id_is_no_list(data, graph_model):
    recommender = Recommender(data, graph_model, K)
    for ask in (recommender, recommender.table, lambda ids: recommender.for_histories([ids])):
        with pytest.raises(DataError, match=r"the ids must be a list, such as \['u007'\] \(got 'u007'\)"):
            ask("u007")
    with pytest.raises(DataError, match=r"such as \['i1'\]"):
        recommender.for_histories(["i1", "i2"])
    for options in ({"without": "107"}, {"without": 107}, {"among": "107"}):
        with pytest.raises(DataError, match="the ids must be a list"):
            Recommender(data, graph_model, **options)


def test_what_cannot_be_known_is_said(data, graph_model):
    with pytest.raises(DataError, match="not in the vocabulary: 'nobody'"):
        Recommender(data, graph_model)(["nobody"])
    with pytest.raises(ValueError, match="number 2 has none"):
        Recommender(data, graph_model).for_histories([[100], [], []])
    with pytest.raises(ValueError, match="Popularity knows the users"):
        Recommender(data, Popularity(LeaveOneOut()(data).graph())).for_histories([[100]])
    plain = planted(num_users=40, num_items=60, num_clusters=4)
    bare = Interactions(plain.user, plain.item, plain.users, plain.items)
    with pytest.raises(ValueError, match="the model has 60 items and the data 40"):
        Recommender(planted(num_users=40, num_items=40, num_clusters=4), graph_model)([0])
    with pytest.raises(ValueError, match="the model has 40 users and the data one with the number 50"):
        Recommender(planted(num_users=60, num_items=60, num_clusters=4), graph_model)([50])
    with pytest.raises(ValueError, match="needs categories"):
        Recommender(bare, graph_model, variety=1.0)


def test_users_of_whom_nothing_is_known_get_a_list(data, graph_model):
    without = data.take(data.user != data.users.encode(["u004"]))
    [found] = Recommender(without, graph_model, K)(["u004"])
    assert len(found) == K


def test_nothing_is_dropped_from_a_model_in_training(data, monkeypatch):
    monkeypatch.setattr(recommender_module, "_USERS", 15)
    model, modes, users = SequenceModel(LeaveOneOut()(data).graph(), 8, max_length=5), [], []
    model.register_forward_pre_hook(lambda module, _: modes.append(module.training or torch.is_grad_enabled()))
    model.register_forward_pre_hook(lambda _, asked: users.append(int(asked[0].user.min())))
    recommender = Recommender(data, model.train(), K)
    recommender(["u000"])
    recommender.for_histories([data.items.ids[:3]])
    for table in (recommender.table, partial(recommender.table_for, data)):
        table(on_users=lambda _: model.train())  # another thread trains it between two parts
    assert modes == [False] * (1 + 1 + 3 + 3)
    assert users == [0, -1, 0, 15, 30, -1, -1, -1]  # those of histories are none of the data
    assert model.training


def test_training_mode_is_as_before(data, graph_model):
    graph_model.train()
    Recommender(data, graph_model)(["u000"])
    assert graph_model.training
    graph_model.eval()


def test_all_that_a_run_knows_is_known(tmp_path):
    """What the test asks for is not recommended: it has happened."""
    small = experiment("popularity", "planted:num_users=50,num_items=40,num_clusters=4")
    dataset = small.dataset()
    recommender = Recommender(small.interactions(), small.build(dataset), 40)
    target = dict(zip(dataset.test.user.tolist(), dataset.test.item.tolist(), strict=True))
    for user, found in enumerate(recommender(dataset.train.users.ids)):
        assert dataset.train.items.ids[target[user]] not in [one.item for one in found]
