"""Interests by an exported program beside those of the model."""

import io

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from graphmi.config import experiment
from graphmi.data import LeaveOneOut, planted
from graphmi.models import InterestGCN, SequenceModel, SideBySide
from graphmi.nn import GRUEncoder, LastPosition
from graphmi.program import interests_program
from graphmi.retrieval import top_k
from graphmi.typing import Batch

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
    with pytest.raises(AssertionError):
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
    with pytest.raises(AssertionError):
        program(*histories(5, 2))


def test_a_program_of_models_side_by_side():
    readers = [SequenceModel(graph(), size, size, extractor=LastPosition) for size in (4, 6)]
    model, (history, mask) = SideBySide(readers, weights=[1.0, 0.5]), histories(5, 6)
    torch.testing.assert_close(loaded(model)(history, mask), asked(model, history, mask).interests)
    with pytest.raises(ValueError, match="InterestGCN knows users by their ids or a graph"):
        interests_program(SideBySide([model, InterestGCN(graph())]))


class Unread(nn.Module):
    """A model without histories."""


@pytest.mark.parametrize("make", [InterestGCN, lambda _: Unread()])
def test_models_that_read_no_histories_are_no_programs(make):
    with pytest.raises(ValueError, match="only a model that reads histories can be a program"):
        interests_program(make(graph()))
