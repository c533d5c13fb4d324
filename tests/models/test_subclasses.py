"""Subclasses of models with a ``forward`` or ``propagate`` of their own: nothing answers past it."""

from dataclasses import replace

import pytest
import torch

from graphmi.data import Histories, LeaveOneOut, planted
from graphmi.explain import Explainer
from graphmi.models import InterestGCN, ItemKNN, SeparateInterestGCN, SequenceModel, SideBySide
from graphmi.models.item_to_item import ItemToItem
from graphmi.recommender import Recommender
from graphmi.typing import Batch, Decomposable, FoldsIn

DATA = planted(num_users=50, num_items=40, num_clusters=4)
DATASET = LeaveOneOut()(DATA)
GRAPH = DATASET.graph()
HISTORY, MASK = Histories(DATASET.train).read(torch.tensor([3, 8]), 4)


def turned(model):
    """Return a subclass that recommends what its parent would recommend last."""

    class Turned(model):
        def forward(self, batch):
            out = super().forward(batch)
            return replace(out, interests=-out.interests)

    return Turned


def made(kind, *arguments, **options):
    torch.manual_seed(0)
    return kind(*arguments, **options).eval()


@pytest.mark.parametrize("kind", [InterestGCN, SeparateInterestGCN, SequenceModel, ItemToItem, ItemKNN, SideBySide])
def test_who_answers_in_its_own_way_folds_in_and_explains_in_its_own_way(kind):
    own = turned(kind)
    assert own.fold_in is own.contributions is None
    assert (kind.fold_in is None) == (kind in (SeparateInterestGCN, SequenceModel))
    assert kind.contributions is not None


def test_new_users_and_causes_are_refused_instead_of_those_of_the_parent():
    model = made(turned(InterestGCN), GRAPH, embedding_dim=8)
    assert not isinstance(model, FoldsIn | Decomposable)
    with pytest.raises(ValueError, match=r"^Turned knows the users that it was trained with .* or give it 'fold_in'"):
        Recommender(DATA, model).for_histories([DATA.items.ids[:2]])
    [explanation] = Explainer(DATASET, model)(torch.tensor([7]))
    assert not any(each.causes for each in (*explanation.interests, *explanation.recommendations))
    with pytest.raises(ValueError, match="Turned knows the users"):
        SideBySide([model, made(InterestGCN, GRAPH)]).fold_in(HISTORY, MASK)


def test_readers_of_histories_are_asked_for_new_users():
    plain, own = (made(kind, GRAPH, embedding_dim=8, max_length=4) for kind in (InterestGCN, turned(InterestGCN)))
    expected = plain.fold_in(HISTORY, MASK).interests
    for model, sign in ((plain, 1), (own, -1)):
        found = model(Batch(torch.tensor([-1, -1]), history=HISTORY, mask=MASK)).interests
        torch.testing.assert_close(found, sign * expected)
    lists = Recommender(DATA, own, k=3).for_histories([DATA.items.ids.gather(row.tolist()) for row in HISTORY])
    scores = (-expected @ plain(Batch(torch.zeros(2, dtype=torch.int64), history=HISTORY, mask=MASK)).items.T).amax(1)
    scores[torch.arange(2).unsqueeze(1), HISTORY] = -torch.inf
    found = torch.tensor([[one.score for one in each] for each in lists])
    torch.testing.assert_close(found, scores.topk(3).values)


def test_what_a_subclass_has_itself_or_takes_for_right_stays():
    class Both(InterestGCN):
        fold_in = InterestGCN.fold_in

        def forward(self, batch):
            return super().forward(batch)

        def contributions(self):
            return super().contributions()

    class Below(turned(InterestGCN)):
        contributions = InterestGCN.contributions

    assert Both.fold_in is InterestGCN.fold_in
    assert Both.contributions is vars(Both)["contributions"]
    assert Below.fold_in is None
    assert Below.contributions is InterestGCN.contributions


class Doubled(InterestGCN):
    def propagate(self):
        virtuals, centers = super().propagate()
        return [2 * virtual for virtual in virtuals], centers


@pytest.mark.parametrize("options", [{}, {"center": "sum"}, {"score": "pair_max"}], ids=str)
def test_a_propagation_of_its_own_is_the_one_that_counts(options):
    plain, own = (made(kind, GRAPH, embedding_dim=8, **options) for kind in (InterestGCN, Doubled))
    batch = Batch(torch.tensor([1, 2]))
    torch.testing.assert_close(own(batch).interests, 2 * plain(batch).interests)
    torch.testing.assert_close(own.propagated()(batch).interests, own(batch).interests)
    assert not isinstance(own, FoldsIn | Decomposable)


@pytest.mark.parametrize("options", [{"num_neighbors": 3}, {"max_length": 5}], ids=str)
def test_ways_past_a_propagation_are_refused(options):
    with pytest.raises(ValueError, match=r"^'num_neighbors' and 'max_length' go past the 'propagate' that Doubled has"):
        Doubled(GRAPH, **options)


def test_side_by_side_models_that_have_propagated_answer_as_before():
    together = made(turned(SideBySide), [made(InterestGCN, GRAPH, embedding_dim=8) for _ in range(2)], weights=[1, 2])
    batch = Batch(torch.tensor([1, 2]))
    torch.testing.assert_close(together.propagated()(batch).interests, together(batch).interests)
