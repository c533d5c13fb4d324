"""Interests by an exported program beside those of the model."""

import io
from functools import partial

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from graphmi.config import experiment
from graphmi.data import LeaveOneOut, planted
from graphmi.models import EASE, InterestGCN, ItemKNN, Popularity, SequenceModel, SideBySide
from graphmi.nn import GRUEncoder, LastPosition
from graphmi.program import interests_program
from graphmi.retrieval import top_k
from graphmi.typing import Batch

pytestmark = pytest.mark.filterwarnings("ignore:The given buffer is not writable")  # torch's own, before 2.13
WORLD = "planted:num_users=50,num_items=40,num_clusters=4"


def loaded(model):
    """Return the program as somebody else reads it, and check that it consists of torch's own operations."""
    content = io.BytesIO()
    torch.export.save(interests_program(model), content)
    content.seek(0)
    program = torch.export.load(content).module()
    calls = [node.target for node in program.graph.nodes if node.op == "call_function"]
    assert {call.namespace for call in calls if isinstance(call, torch._ops.OpOverload)} == {"aten"}
    return program


def graph():
    return LeaveOneOut()(planted(num_users=20, num_items=40, num_clusters=4)).graph()


def histories(num, length):
    real = torch.arange(length) < torch.randint(1, length + 1, (num, 1))
    return torch.randint(40, (num, length)), real


def asked(model, history, mask):
    with torch.no_grad():
        return model.eval()(Batch(torch.zeros(len(history), dtype=torch.int64), history=history, mask=mask))


@pytest.mark.parametrize("name", ["mtmi", "multi-interest-transformer"])
def test_a_program_gives_the_interests_of_the_model_whatever_the_sizes(name):
    one = experiment(name, WORLD, model__max_length=9)
    model = one.build(one.dataset())
    program, modes = loaded(model.train()), [part.training for part in model.modules()]
    assert all(modes)
    for num, length in ((1, 1), (3, 9), (40, 5), (0, 4)):
        history, mask = histories(num, length)
        torch.testing.assert_close(program(history, mask), asked(model, history, mask).interests)
    if name != "mtmi":  # it has no positions, and torch before 2.9 lets it read more
        with pytest.raises((AssertionError, RuntimeError)):
            program(*histories(2, 10))


def test_inactive_interests_of_a_program_change_no_score():
    one = experiment("mind", WORLD, model__max_length=9)
    model = one.build(one.dataset())
    history, mask = histories(20, 9)
    out = asked(model, history, mask)
    assert not out.interest_mask.all()
    want = top_k(out.interests, out.items, 5, interest_mask=out.interest_mask)
    found = top_k(loaded(model)(history, mask), out.items, 5)
    torch.testing.assert_close(found.scores, want.scores)


def test_a_program_of_a_gru_takes_histories_of_one_length():
    model = SequenceModel(graph(), 4, 3, encoder=GRUEncoder, extractor=LastPosition)
    program, (history, mask) = loaded(AveragedModel(model)), histories(5, 3)
    torch.testing.assert_close(program(history, mask), asked(model, history, mask).interests)
    with pytest.raises((AssertionError, RuntimeError)):  # the latter before torch 2.9
        program(*histories(5, 2))


def test_a_program_of_models_side_by_side():
    readers = [SequenceModel(graph(), size, size, extractor=LastPosition) for size in (4, 6)]
    model = SideBySide(readers, weights=[1.0, 0.5])
    program = loaded(model)
    for length in (1, 5, 6):
        history, mask = histories(5, length)
        torch.testing.assert_close(program(history, mask), asked(model, history, mask).interests)
    with pytest.raises(ValueError, match="Popularity knows the users that it was trained with"):
        interests_program(SideBySide([model, Popularity(graph())]))
    with pytest.raises(ValueError, match="Told has no 'as_reader', and tells of others by 'fold_in' alone"):
        interests_program(SideBySide([model, Told(graph(), max_length=3)]))


class Scores(nn.Module):
    """Somebody's own program, of scores."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, history, mask):
        out = self.model(Batch(history[:, 0], history=history, mask=mask))
        return out.interests @ out.items[:].T


def test_in_a_program_of_ones_own_models_side_by_side_have_the_vectors_of_items():
    model = Scores(SideBySide([SequenceModel(graph(), size, 6) for size in (4, 6)])).eval()
    example = histories(5, 6)
    with torch.no_grad():
        found = torch.export.export(model, example, strict=False).module()(*example)
        torch.testing.assert_close(found, model(*example))


def of_a_graph(**options):
    return InterestGCN(graph(), num_interests=3, embedding_dim=8, **options)


@pytest.mark.parametrize(
    ("make", "length"),
    [
        (of_a_graph, None),
        (partial(of_a_graph, max_length=3, attention="neighbor", normalize=True), None),
        (lambda: ItemKNN(graph(), max_length=3), None),
        (lambda: SideBySide([of_a_graph(max_length=3), EASE(graph())], weights=[0.3, 2.0]), None),
        (lambda: SideBySide([SequenceModel(graph(), 4, 6), of_a_graph(max_length=3), EASE(graph())]), 6),
    ],
    ids=["graph", "graph by the latest", "neighbours by the latest", "two kinds", "three kinds"],
)
def test_a_program_without_the_users_of_a_graph_says_of_anybody_what_fold_in_does(make, length):
    model = make().eval()
    program = loaded(model)
    for num, size in ((1, 1), (5, 4), (30, length or 20), (0, 3)):
        history, mask = histories(num, size)
        torch.testing.assert_close(program(history, mask), model.fold_in(history, mask).interests)
    nothing = torch.zeros(2, 3, dtype=torch.int64)
    assert program(nothing, nothing.bool()).count_nonzero() == 0
    held = [*program.state_dict().values(), *interests_program(model).constants.values()]
    assert not any({20, 60} & {*tensor.shape} for tensor in held)  # nothing of users, nor of all nodes
    assert sum(tensor.numel() for tensor in held) < 40 * 40  # no weights between items, no vectors twice


class Told(InterestGCN):
    """A model that tells of others in its own way."""

    def fold_in(self, history, mask):
        return super().fold_in(history, mask)


class Unread(nn.Module):
    """A model without histories."""


class Own(InterestGCN):
    """A model that answers in its own way."""

    def forward(self, batch):
        return super().forward(batch)


class OwnBeside(SideBySide):
    """Models side by side that answer in their own way."""

    def forward(self, batch):
        return super().forward(batch)


@pytest.mark.parametrize(
    "make",
    [
        Own,
        partial(Own, max_length=3),
        Popularity,
        lambda _: Unread(),
        lambda graph: OwnBeside([SequenceModel(graph, 4, 6), InterestGCN(graph)]),
        lambda graph: SideBySide([Own(graph, max_length=3)]),
        lambda graph: type("Told", (ItemKNN,), {"fold_in": ItemKNN.fold_in})(graph, max_length=3),
    ],
)
def test_models_that_read_no_histories_are_no_programs(make):
    with pytest.raises(ValueError, match=r"only a model that reads histories or has 'as_reader' can be a program"):
        interests_program(make(graph()))
