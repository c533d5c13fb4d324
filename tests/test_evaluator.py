import json
import math
from dataclasses import replace
from itertools import product
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch_geometric.metrics import LinkPredCoverage, LinkPredNDCG
from torch_geometric.metrics.link_pred import LinkPredMetric

from graphmi.data import Categories, Histories, LeaveOneOut, TemporalSplit, planted, residual
from graphmi.evaluator import Evaluator
from graphmi.experiment import Experiment
from graphmi.metrics import (
    InterestDiagnostics,
    LinkPredF1,
    effective_interests,
    gini,
    interest_share,
    interest_values,
    rank_correlation,
)
from graphmi.models import InterestGCN, Popularity, SideBySide
from graphmi.result import save_run
from graphmi.retrieval import top_k
from graphmi.run import RunFolder
from graphmi.typing import Representations


class Table(nn.Module):
    """Given vectors; dropout would show a model left in training mode."""

    def __init__(self, users, items, mask=None):
        super().__init__()
        self.user, self.item = nn.Parameter(users), nn.Parameter(items)
        self.mask = mask
        self.dropout = nn.Dropout(0.9)
        self.seen = []

    def forward(self, batch):
        assert not torch.is_grad_enabled()
        self.seen.append(batch.user)
        mask = None if self.mask is None else self.mask[batch.user]
        return Representations(self.dropout(self.user[batch.user]), self.item, interest_mask=mask)


class NextOfLast(nn.Module):
    """Recommends the item that follows the last one of the history, for tests of what a model gets to read."""

    def __init__(self, num_items, max_length):
        super().__init__()
        self.item = nn.Parameter(torch.eye(num_items))
        self.max_length = max_length
        self.read = {}

    def forward(self, batch):
        assert batch.positive is batch.row is batch.prefix is None
        rows = zip(batch.user.tolist(), batch.history, batch.mask, strict=True)
        self.read |= {user: history[mask].tolist() for user, history, mask in rows}
        last = [self.read[user][-1] if self.read[user] else -1 for user in batch.user.tolist()]
        interests = self.item[(torch.tensor(last) + 1) % len(self.item)].unsqueeze(1)  # [batch, 1, num_items]
        return Representations(interests, self.item)


def pairs(user, item):
    return SimpleNamespace(user=torch.tensor(user, dtype=torch.int64), item=torch.tensor(item, dtype=torch.int64))


def world(seed=0, num_users=30, num_items=40):
    """Random vectors, two targets for most users and some known items, none of them targets."""
    generator = torch.Generator().manual_seed(seed)
    model = Table(torch.randn(num_users, 3, 4, generator=generator), torch.randn(num_items, 4, generator=generator))
    draw = torch.rand(num_users, num_items, generator=generator).argsort(dim=1)
    users = torch.arange(num_users)
    asked = users[users % 7 != 0]
    targets = SimpleNamespace(user=asked.repeat(2), item=torch.cat([draw[asked, 0], draw[asked, 1]]))
    known = SimpleNamespace(user=users.repeat_interleave(5), item=draw[:, 2:7].flatten())
    return model, targets, known


def loop(model, targets, known, k):
    """NDCG and recall user by user with Python lists."""
    ndcg, recall = [], []
    for user in sorted(set(targets.user.tolist())):
        relevant = {i for u, i in zip(targets.user.tolist(), targets.item.tolist(), strict=True) if u == user}
        seen = {i for u, i in zip(known.user.tolist(), known.item.tolist(), strict=True) if u == user}
        scores = (model.item @ model.user[user].T).max(dim=1).values.tolist()
        order = sorted((item for item in range(len(scores)) if item not in seen), key=lambda i: (-scores[i], i))[:k]
        gain = sum(1 / math.log2(rank + 2) for rank, item in enumerate(order) if item in relevant)
        ndcg.append(gain / sum(1 / math.log2(rank + 2) for rank in range(min(k, len(relevant)))))
        recall.append(sum(item in relevant for item in order) / len(relevant))
    return ndcg, recall


@pytest.mark.parametrize("repeat", [False, True])
@pytest.mark.parametrize("batch_size", [4, 1000])
def test_equals_loop_over_users(batch_size, repeat):
    model, targets, known = world()
    result = Evaluator(targets, known, k=(5, 10), batch_size=batch_size, repeat=repeat)(model)
    ndcg, recall = loop(model, targets, pairs([], []) if repeat else known, 10)
    assert result.per_user["ndcg@10"].tolist() == pytest.approx(ndcg, abs=1e-6)
    assert result.metrics["ndcg@10"] == pytest.approx(sum(ndcg) / len(ndcg), abs=1e-6)
    assert result.metrics["recall@10"] == pytest.approx(sum(recall) / len(recall), abs=1e-6)
    assert result.users.tolist() == sorted(set(targets.user.tolist()))
    assert set(result.metrics) == {
        f"{n}@{k}" for n in ("ndcg", "recall", "hit", "mrr", "precision", "map") for k in (5, 10)
    }


def test_groups_follow_user_ids():
    model, targets, known = world()
    group = torch.arange(30) % 4 - 1
    result = Evaluator(targets, known, k=[10], groups={"diversity": group}, replicates=20)(model)
    found = result.groups["diversity/ndcg@10"]
    per_user = dict(zip(result.users.tolist(), result.per_user["ndcg@10"].tolist(), strict=True))
    for index in range(3):
        members = [value for user, value in per_user.items() if user % 4 - 1 == index]
        assert found.count[index] == len(members)
        assert found.mean[index].item() == pytest.approx(sum(members) / len(members), abs=1e-6)
    assert "gap" in found.intervals
    again = Evaluator(targets, known, k=[10], groups={"diversity": group}, replicates=20)(model)
    assert again.groups["diversity/ndcg@10"].intervals == found.intervals
    other = Evaluator(targets, known, k=[10], groups={"diversity": group}, replicates=20, seed=1)(model)
    assert other.groups["diversity/ndcg@10"].intervals != found.intervals


def test_groups_of_nobody_who_is_asked_are_left_out():
    model, targets, known = world()
    nobody = torch.full((30,), -1).index_fill(0, torch.tensor([0, 7]), 1)  # who have no target
    assert Evaluator(targets, known, k=[10], groups={"nobody": nobody})(model).groups == {}


class FirstHit(LinkPredMetric):
    """1 where the first item is a target: of each user ``hit@1``, by a metric of one's own."""

    weighted = False

    def _compute(self, data):
        return data.pred_rel_mat[:, 0].float()


def test_metrics_of_ones_own_have_values_per_user_and_groups():
    model, targets, known = world()
    own = {"f1@10": LinkPredF1(10), "first": FirstHit(1), "recall@1": FirstHit(1)}
    group = {"diversity": torch.arange(30) % 4 - 1}
    found = Evaluator(targets, known, [1, 10], group, batch_size=4, metrics=own)(model)
    precision, recall = (found.per_user[name].double() for name in ("precision@10", "recall@10"))
    f1 = 2 * precision * recall / (precision + recall)
    torch.testing.assert_close(found.per_user["f1@10"].double(), f1.nan_to_num(), rtol=0, atol=1e-6)
    assert found.metrics["f1@10"] == pytest.approx(f1.nan_to_num().mean().item(), abs=1e-6)
    assert found.per_user["first"].equal(found.per_user["hit@1"])
    assert found.per_user["recall@1"].equal(found.per_user["hit@1"])  # in the place of the standard one
    assert found.groups["diversity/first"].mean.equal(found.groups["diversity/hit@1"].mean)
    with pytest.raises(ValueError, match=r"'metrics\[f1\]' must be .* than the lists, 10 \(got LinkPredF1\(k=20\)\)"):
        Evaluator(targets, known, [10], metrics={"f1": LinkPredF1(20)})
    for refused in (LinkPredCoverage(5, 40), LinkPredNDCG(5, weighted=True)):
        with pytest.raises(ValueError, match="must be a LinkPredMetric without weights"):
            Evaluator(targets, known, [10], metrics={"own": refused})


def test_known_items_are_never_recommended():
    # The known item 0 scores best and the rest below zero; the target is next.
    model = Table(torch.ones(1, 1, 1), torch.tensor([[5.0], [-1.0], [-2.0]]))
    targets, known = pairs([0], [1]), pairs([0], [0])
    assert Evaluator(targets, known, k=[1])(model).metrics["hit@1"] == 1.0
    assert Evaluator(targets, pairs([], []), k=[1])(model).metrics["hit@1"] == 0.0


def test_known_items_that_stay_can_be_found_and_are_still_the_history():
    dataset = LeaveOneOut()(planted(num_users=40, num_items=50, interactions_per_user=8))
    known = dataset.known("test")
    model = Table(
        torch.zeros(40, 1, 50).index_put_((known.user, torch.tensor(0), known.item), torch.ones(())), torch.eye(50)
    )
    kept, left = (Evaluator(known, known, [7], train=dataset.train, repeat=repeat)(model) for repeat in (True, False))
    assert (kept.metrics["recall@7"], left.metrics["recall@7"]) == (1.0, 0.0)
    assert kept.lists["calibration@7"] == pytest.approx(0, abs=1e-6)  # lists of the very items that users had
    assert left.lists["calibration@7"] > 0.1
    assert kept.protocol["seen items"] == "known items stay in the ranking"


def test_users_who_are_not_asked_may_know_items():
    model = Table(torch.ones(1, 1, 1), torch.tensor([[5.0], [-1.0], [-2.0]]))
    assert Evaluator(pairs([0], [1]), pairs([0, 7], [0, 1]), k=[1])(model).metrics["hit@1"] == 1.0


def test_more_asked_than_left():
    model = Table(torch.ones(2, 1, 1), torch.tensor([[3.0], [2.0], [1.0]]))
    result = Evaluator(pairs([0, 1], [2, 2]), pairs([0, 0, 1, 1, 1], [0, 1, 0, 1, 2]), k=[3, 50])(model)
    assert result.per_user["recall@50"].tolist() == [1.0, 0.0]  # user 1 knows the target: missed
    assert result.per_user["mrr@3"].tolist() == [1.0, 0.0]


def test_repeated_targets_count_once():
    model = Table(torch.ones(1, 1, 1), torch.tensor([[3.0], [2.0], [1.0]]))
    result = Evaluator(pairs([0, 0, 0], [0, 0, 2]), pairs([], []), k=[1])(model)
    assert result.metrics["recall@1"] == 0.5


def test_ties_do_not_flatter_a_constant_model():
    model = Table(torch.zeros(1, 1, 1), torch.zeros(100, 1))
    assert Evaluator(pairs([0], [99]), pairs([], []), k=[50])(model).metrics["hit@50"] == 0.0


def test_inactive_interests_do_not_score():
    users = torch.tensor([[[0.0, 1.0], [1.0, 0.0]]])
    model = Table(users, torch.tensor([[9.0, 0.0], [0.0, 1.0]]), mask=torch.tensor([[True, False]]))
    assert Evaluator(pairs([0], [1]), pairs([], []), k=[1])(model).metrics["hit@1"] == 1.0


def test_training_mode_of_every_part_is_restored():
    model, targets, known = world()
    model.train()
    model.dropout.eval()
    Evaluator(targets, known)(model)
    assert model.training
    assert not model.dropout.training
    model.forward = None
    with pytest.raises(TypeError):
        Evaluator(targets, known)(model)
    assert model.training
    assert not model.dropout.training


class Hidden(nn.Module):
    """A model of which nothing is known but its answers."""

    def __init__(self, model):
        super().__init__()
        self.model = [model.eval()]  # a list hides it

    def forward(self, batch):
        return self.model[0](batch)


@pytest.mark.parametrize(
    "make",
    [InterestGCN, lambda graph: SideBySide([InterestGCN(graph, 2), Popularity(graph)])],
)
def test_graph_models_propagate_once_and_answer_as_batch_by_batch(make, monkeypatch):
    dataset = LeaveOneOut()(planted(num_users=40, num_items=50, interactions_per_user=8))
    model, propagate, times = make(dataset.graph()), InterestGCN.propagate, []
    monkeypatch.setattr(InterestGCN, "propagate", lambda self: times.append(self) or propagate(self))
    evaluator = Evaluator(dataset.test, dataset.known("test"), batch_size=7)
    once = evaluator(model)
    assert len(times) == 1
    batch_by_batch = evaluator(Hidden(model))
    assert len(times) == 1 + 6
    assert once.metrics == batch_by_batch.metrics
    assert once.interests == batch_by_batch.interests


def test_who_asks_hears_how_many_users_are_done():
    model, targets, known = world()
    done = []
    Evaluator(targets, known, batch_size=10)(model, done.append)
    assert done == [10, 20, 25]


def test_only_users_with_a_target_are_asked_and_order_does_not_matter():
    model, targets, known = world()
    result = Evaluator(targets, known, batch_size=7)(model)
    assert torch.cat(model.seen).tolist() == result.users.tolist()
    shuffle = torch.randperm(len(targets.user), generator=torch.Generator().manual_seed(1))
    again = Evaluator(SimpleNamespace(user=targets.user[shuffle], item=targets.item[shuffle]), known)(model)
    assert again.metrics == result.metrics


@pytest.mark.parametrize("part", ["valid", "test"])
@pytest.mark.parametrize("max_length", [3, 100])
def test_models_of_histories_read_all_that_is_known(part, max_length):
    dataset = LeaveOneOut()(planted(num_users=40, interactions_per_user=8))
    model = NextOfLast(dataset.num_items, max_length)
    evaluator = Evaluator(
        dataset.targets(part), dataset.known(part), k=[1], batch_size=7, history=Histories(dataset.known(part))
    )
    evaluator(model)
    # Training in time order, then the one of validation, user by user.
    parts = [dataset.train] if part == "valid" else [dataset.train, dataset.valid]
    expected = {user: [] for user in dataset.targets(part).user.tolist()}
    for data in parts:
        for row in torch.argsort(data.time, stable=True).tolist():
            if int(data.user[row]) in expected:
                expected[int(data.user[row])].append(int(data.item[row]))
    assert model.read == {user: items[-max_length:] for user, items in expected.items()}


def test_the_next_item_is_found_and_users_without_history_are_asked_too():
    data = planted(num_users=4, interactions_per_user=5, num_items=10, num_clusters=2)
    histories = Histories(data.take(data.user < 3))  # nothing is known of user 3
    last = [histories.read(torch.tensor([user]), 1)[0].item() for user in range(3)]
    targets = pairs([0, 1, 2, 3], [*((item + 1) % 10 for item in last), 0])
    result = Evaluator(targets, pairs([], []), k=[1], history=histories)(model := NextOfLast(10, 4))
    assert result.per_user["hit@1"].tolist() == [1.0, 1.0, 1.0, 1.0]
    assert [len(model.read[user]) for user in range(4)] == [4, 4, 4, 0]


def test_graph_models_get_no_histories():
    model, targets, known = world()
    data = planted(num_users=30)
    seen = []
    model.register_forward_pre_hook(lambda module, entries: seen.extend(entries))
    result = Evaluator(targets, known, history=Histories(data))(model)
    assert all(batch.history is batch.mask is None for batch in seen)
    assert result.metrics == Evaluator(targets, known)(model).metrics


def test_a_model_of_histories_without_any():
    _, targets, known = world()
    with pytest.raises(ValueError, match="NextOfLast reads histories: give the evaluator 'history', the Histories"):
        Evaluator(targets, known)(NextOfLast(40, 5))


def test_result_is_plain_json():
    model, targets, known = world()
    result = Evaluator(targets, known, k=[5], groups={"activity": torch.arange(30) % 2}, replicates=5)(model)
    plain = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert plain["metrics"]["ndcg@5"] == result.metrics["ndcg@5"]
    assert plain["num_users"] == len(result.users)
    assert repr(result).startswith(f"Evaluation({len(result.users)} users: ndcg@5 {result.metrics['ndcg@5']:.4f}, ")
    assert plain["protocol"]["ndcg"] == "ideal DCG over min(k, relevant)"
    assert plain["protocol"]["k"] == [5]
    assert set(plain["groups"]["activity/ndcg@5"]) == {"mean", "count", "std", "gap", "cv", "ugf", "intervals"}


def in_time(**options):
    """An experiment of which many training users have nothing in the test."""
    data = "planted:num_users=300,num_items=60,interactions_per_user=8"
    return Experiment(data=data, model=Popularity, k=[20], replicates=0, split=TemporalSplit(0.1, 0.05), **options)


@pytest.mark.parametrize("part", ["valid", "test"])
def test_groups_are_equal_parts_of_the_users_who_are_asked(part):
    experiment = in_time()
    dataset = experiment.dataset()
    users = dataset.targets(part).user.unique().tolist()
    assert 50 < len(users) < 200
    found = experiment.evaluate(Popularity(dataset.graph()), dataset, part)
    value = experiment.groups.values(dataset.train)
    order = sorted(users, key=lambda user: (value[user].item(), user))
    per_user = dict(zip(users, found.per_user["ndcg@20"].tolist(), strict=True))
    parts = [[per_user[u] for n, u in enumerate(order) if n * 5 // len(order) == g] for g in range(5)]
    group = found.groups["diversity/ndcg@20"]
    assert group.count.tolist() == [len(part) for part in parts]
    assert group.mean.tolist() == pytest.approx([sum(part) / len(part) for part in parts], abs=1e-6)


def test_a_run_keeps_the_groups_of_its_test_and_says_among_whom_they_are_cut(tmp_path):
    experiment, folder = in_time(), RunFolder(tmp_path)
    dataset = experiment.dataset()
    trained = experiment.train(dataset)
    result, kept = save_run(folder, experiment, dataset, trained, {}), folder.read_tensors("per_user")
    for name in ("diversity", "diversity-controlled"):
        assert kept[f"group/{name}"].bincount(minlength=5).tolist() == result["groups"][f"{name}/ndcg@20"]["count"]
    assert result["protocol"]["group users"] == "those with a target"
    assert not kept["diversity"].isnan().any()


def test_groups_where_everyone_is_asked_are_those_of_training():
    experiment = replace(in_time(), split=LeaveOneOut())
    dataset = experiment.dataset()
    test = experiment.evaluate(Popularity(dataset.graph()), dataset, "test")
    evaluator = Evaluator(
        dataset.targets("test"), dataset.known("test"), [20], experiment.groups(dataset.train), train=dataset.train
    )
    expected = evaluator(Popularity(dataset.graph()))
    assert str(test.groups) == str(expected.groups)
    assert test.protocol == expected.protocol  # so that earlier results may stand beside it


class Interests(Table):
    """A table with routing weights of histories, as a sequence model gives them."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        draws = torch.Generator().manual_seed(7)
        routing = (6 * torch.randn(*self.user.shape[:2], 5, generator=draws)).softmax(2)
        self.register_buffer("routing", routing)

    def forward(self, batch):
        out = super().forward(batch)
        real = torch.arange(5) < 1 + batch.user.unsqueeze(1) % 5
        return Representations(
            out.interests, out.items, self.routing[batch.user], real, interest_mask=out.interest_mask
        )


def interests_world():
    """A model of three interests, one of them inactive for some, on planted data with categories."""
    dataset = LeaveOneOut()(planted(num_users=40, num_items=50, interactions_per_user=8))
    draws = torch.Generator().manual_seed(0)
    mask = torch.rand(40, 3, generator=draws) < 0.7
    mask[:, 0] |= ~mask.any(dim=1)
    users, items = torch.randn(40, 3, 4, generator=draws), torch.randn(50, 4, generator=draws)
    return Interests(users, items, mask), dataset


def ranked(model, dataset, k):
    """The lists of all users with a target, item by item, with the interest of each."""
    rows = []
    for user in dataset.test.user.unique().tolist():
        seen = set(dataset.known("test").item[dataset.known("test").user == user].tolist())
        scores = (model.user[user] @ model.item.T).masked_fill(~model.mask[user].unsqueeze(1), -math.inf)
        order = sorted(set(range(len(model.item))) - seen, key=lambda i, s=scores: (-s[:, i].max().item(), i))[:k]
        rows.append([(item, int(scores[:, item].argmax())) for item in order])
    return rows


@pytest.mark.parametrize("longest", [12, 50])  # 50: all that is left, which is less
@pytest.mark.parametrize("batch_size", [7, 1000])
def test_lists_and_interests_equal_loops(batch_size, longest):
    model, dataset = interests_world()
    diversity = torch.arange(40, dtype=torch.float64).where(torch.arange(40) % 5 > 0, math.nan)
    targets, known = dataset.targets("test"), dataset.known("test")
    options = {"train": dataset.train, "diversity": diversity}
    result = Evaluator(targets, known, k=(5, longest), batch_size=batch_size, **options)(model)
    rows = ranked(model, dataset, longest)
    shown = [torch.tensor([item for row in rows for item, _ in row[:k]]).bincount(minlength=50) for k in (5, longest)]
    assert result.lists["coverage@5"] == pytest.approx((shown[0] > 0).double().mean().item())
    assert result.lists[f"gini@{longest}"] == pytest.approx(gini(shown[1]).item())
    assert list(result.lists) == [
        f"{name}@{k}" for name in ("coverage", "gini", "novelty", "entropy", "calibration") for k in (5, longest)
    ]
    count = dataset.train.item.bincount(minlength=50).tolist()
    bits = [[math.log2(sum(count) / max(1, count[item])) for item, _ in row[:5]] for row in rows]
    per_user = [sum(row) / len(row) for row in bits]
    assert result.diagnostics["lists/novelty@5"].tolist() == pytest.approx(per_user, rel=1e-5)
    assert result.lists["novelty@5"] == pytest.approx(sum(per_user) / len(per_user), rel=1e-5)

    interest = torch.tensor([[one for _, one in row[:10]] for row in rows])
    effective = effective_interests(interest, 3)
    assert torch.allclose(result.diagnostics["interests/effective@10"].double(), effective, atol=1e-6)
    assert result.interests["effective@10"] == pytest.approx(effective.mean().item())
    assert torch.allclose(result.interest_share, interest_share(interest, 3))
    assert result.interests["effective-diversity correlation"] == pytest.approx(
        rank_correlation(effective.float(), diversity[result.users].float())
    )
    activity = dataset.train.user.bincount(minlength=40)[result.users]
    sides = (residual(values, activity) for values in (effective.where(~diversity.isnan(), math.nan), diversity))
    assert result.interests["effective-diversity correlation, controlled"] == pytest.approx(rank_correlation(*sides))
    assert {"collapse", "routing entropy", "cosine", "balance@10", "dead@10", "alignment"} <= result.interests.keys()


def test_the_controlled_correlation_is_of_what_activity_leaves():
    model, dataset = interests_world()
    row = torch.arange(len(dataset.train))
    train = dataset.train.take(row % 6 >= dataset.train.user % 7)  # user 6 and every seventh after it have nothing
    diversity = torch.rand(40, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    targets = dataset.targets("test")
    asked = targets.user % 5 > 0  # not everybody has a target
    targets = pairs(targets.user[asked].tolist(), targets.item[asked].tolist())
    result = Evaluator(targets, dataset.known("test"), [10], train=train, diversity=diversity)(model)
    activity = train.user.bincount(minlength=40)[result.users]
    trained = activity > 0
    assert 0 < trained.sum() < len(trained)
    design = torch.stack([torch.ones(len(activity)), activity.log()], 1)[trained].double()
    sides = result.diagnostics["interests/effective@10"].double(), diversity[result.users]
    left = [y[trained] - design @ torch.linalg.lstsq(design, y[trained]).solution for y in sides]
    found = result.interests["effective-diversity correlation, controlled"]
    assert found == pytest.approx(rank_correlation(*left))
    assert found != pytest.approx(rank_correlation(*(y[trained] for y in sides)))


def test_a_correlation_with_what_is_equal_for_all_is_left_out():
    model, dataset = interests_world()
    same = torch.ones(40, dtype=torch.float64)
    result = Evaluator(dataset.targets("test"), dataset.known("test"), train=dataset.train, diversity=same)(model)
    assert not any("correlation" in name for name in result.interests)


def test_lists_without_a_category_say_nothing_of_categories():
    model, dataset = interests_world()
    few = torch.arange(10)  # the only items with a category
    train = replace(dataset.train, categories=Categories(few, few % 2, ("a", "b")))
    result = Evaluator(dataset.targets("test"), dataset.known("test"), [5], train=train)(model)
    entropy = result.diagnostics["lists/entropy@5"]
    assert 0 < entropy.isnan().sum() < len(entropy)
    assert result.lists["entropy@5"] == pytest.approx(entropy[~entropy.isnan()].double().mean().item())


def test_a_sample_of_many_interests_is_that_of_the_metric_batch_by_batch():
    model, targets, known = world(num_users=900)
    found = Evaluator(targets, known, batch_size=300)(model)
    metric = InterestDiagnostics(3)
    for users in found.users.split(300):
        metric.update(Representations(model.user.detach()[users], model.item.detach()))
    assert 3 * len(found.users) > metric.num_sample
    assert found.interests["uniformity"] == pytest.approx(metric.compute()["uniformity"], abs=1e-7)


def test_interests_of_the_evaluation_are_those_of_the_metric():
    model, dataset = interests_world()
    targets, known = dataset.targets("test"), dataset.known("test")
    found = Evaluator(targets, known, k=[20], batch_size=6)(model)
    model.eval()
    with torch.no_grad():
        out = model(SimpleNamespace(user=found.users))
    mine = [known.item[known.user == user] for user in found.users.tolist()]
    rowptr = torch.tensor([0, *map(len, mine)]).cumsum(0)
    interest = top_k(out.interests, out.items, 10, exclude=(rowptr, torch.cat(mine)), interest_mask=out.interest_mask)[
        2
    ]
    row = torch.searchsorted(found.users, targets.user)
    metric = InterestDiagnostics(3)
    metric.update(out, interest, torch.stack([row, targets.item]))
    assert found.interests == pytest.approx(metric.compute(), rel=1e-5)
    assert found.lists == {}  # nothing is known of the items
    collapse = interest_values(out)["collapse"]
    assert collapse.isnan().any()  # some have a history of one item
    assert found.interests["collapse"] == pytest.approx(collapse.nanmean().item())


def test_quick_evaluation_leaves_out_what_needs_the_interest_of_an_item():
    model, dataset = interests_world()
    arguments = dataset.targets("test"), dataset.known("test"), [10]
    full, quick = Evaluator(*arguments)(model), Evaluator(*arguments, quick=True)(model)
    assert set(quick.interests) == {"collapse", "routing entropy", "cosine"}
    assert quick.interests == {name: full.interests[name] for name in quick.interests}
    assert quick.metrics == full.metrics
    assert quick.interest_share is None
    assert quick.diagnostics == {}


def test_a_single_interest_has_nothing_to_say():
    model, dataset = interests_world()
    single = Table(model.user.detach()[:, :1], model.item.detach())
    result = Evaluator(dataset.targets("test"), dataset.known("test"), train=dataset.train, diversity=torch.rand(40))(
        single
    )
    assert result.interests == {}
    assert result.to_dict()["interest_share"] == []
    assert result.lists
    assert not any(name.startswith("interests/") for name in result.diagnostics)


def test_graph_models_give_no_routing():
    model, targets, known = world()
    assert not {"collapse", "routing entropy"} & Evaluator(targets, known)(model).interests.keys()


def test_undefined_numbers_are_null_in_json():
    model, dataset = interests_world()
    uncategorised = replace(dataset.train, categories=Categories(torch.empty(0).long(), torch.empty(0).long(), ("a",)))
    result = Evaluator(dataset.targets("test"), dataset.known("test"), [5], train=uncategorised)(model)
    assert math.isnan(result.lists["calibration@5"])
    plain = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert plain["lists"]["calibration@5"] is None
    assert plain["lists"]["coverage@5"] > 0
    assert len(plain["interest_share"]) == 5
    assert sum(plain["interest_share"][0]) == pytest.approx(1.0)


def test_errors():
    model, targets, known = world()
    with pytest.raises(ValueError, match="nothing to evaluate"):
        Evaluator(pairs([], []), known)
    with pytest.raises(ValueError, match="'batch_size' must be at least 1"):
        Evaluator(targets, known, batch_size=0)
    for k, least in (([10, 0], 0), ([-3], -3), ([], 0)):
        with pytest.raises(ValueError, match=rf"'k' must be at least 1 \(got {least}\)"):
            Evaluator(targets, known, k)
    with pytest.raises(ValueError, match=r"'groups\[age\]' must have at least 30 entries, one per user \(got 29\)"):
        Evaluator(targets, known, groups={"age": torch.zeros(29, dtype=torch.int64)})
    with pytest.raises(ValueError, match=r"'diversity' must have at least 30 entries, one per user \(got 3\)"):
        Evaluator(targets, known, diversity=torch.zeros(3))
    for quick, mistaken in product((False, True), [(pairs([1, 2], [3, 40]), known), (targets, pairs([1, 2], [40, 3]))]):
        with pytest.raises(ValueError, match="has 40 items and 'targets' or 'known' the number 40, counted from 0"):
            Evaluator(*mistaken, quick=quick, batch_size=1)(model)
    with torch.no_grad():
        model.item[3] = math.nan
    with pytest.raises(ValueError, match="NaN"):
        Evaluator(targets, known)(model)
    for rows in (1, 26):
        model.forward = lambda batch, rows=rows: Representations(torch.zeros(rows, 1, 4), model.item)
        with pytest.raises(ValueError, match=rf"a row for each of 25 users \(got {rows}\)"):
            Evaluator(targets, known)(model)


def test_every_process_ranks_for_all_users_unless_told_otherwise(monkeypatch):
    model, targets, known = world()
    expected = Evaluator(targets, known)(model).metrics
    monkeypatch.setattr("graphmi.evaluator.position", lambda: (1, 2))
    assert Evaluator(targets, known)(model).metrics == expected


def test_users_whom_a_graph_model_does_not_have_are_refused():
    small, large = (LeaveOneOut()(planted(num_users=size, num_items=40, num_clusters=4)) for size in (60, 80))
    with pytest.raises(ValueError, match="the model has 60 users and the data one with the number 79"):
        Evaluator(large.test, large.known("test"))(InterestGCN(small.graph(), embedding_dim=8))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_gpu_gives_the_same_numbers():
    model, targets, known = world()
    evaluator = Evaluator(targets, known, batch_size=7)
    expected = evaluator(model).metrics
    assert evaluator(model.cuda()).metrics == pytest.approx(expected, abs=1e-6)
