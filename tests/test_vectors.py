"""Exported vectors beside the representations of the model, row by row."""

import polars as pl
import pytest
import torch

from graphmi.data import Histories, LeaveOneOut, planted
from graphmi.models import InterestGCN, SequenceModel
from graphmi.typing import Batch
from graphmi.vectors import vectors


def test_interests_that_are_inactive_are_left_out():
    data = planted(num_users=30, num_items=40, num_clusters=4)
    model = InterestGCN(LeaveOneOut()(data).graph(), 5, 8, 1, dynamic_interests=True, temperature=0.1, init_std=1.0)
    users, items = vectors(data, model)
    out = model.eval()(Batch(torch.arange(30)))
    active = out.interest_mask
    assert not active.all()
    assert users["user_id"].to_list() == data.users.ids.gather(active.nonzero()[:, 0].numpy()).to_list()
    assert users["interest"].to_list() == (active.nonzero()[:, 1] + 1).tolist()
    torch.testing.assert_close(torch.tensor(users["vector"].to_numpy()), out.interests[active].detach())
    assert items["item_id"].to_list() == data.items.ids.to_list()
    torch.testing.assert_close(torch.tensor(items["vector"].to_numpy()), out.items.detach())


def test_an_item_with_several_vectors_has_several_rows():
    data = planted(num_users=30, num_items=40, num_clusters=4)
    model = InterestGCN(LeaveOneOut()(data).graph(), 3, 8, 1, score="pair_max")
    users, items = vectors(data, model)
    assert (len(users), len(items)) == (90, 120)
    assert items["item_id"].to_list() == [item for item in data.items.ids.to_list() for _ in range(3)]
    out = model.eval()(Batch(torch.tensor([7])))
    mine = users.filter(users["user_id"] == data.users.ids[7])["vector"].to_numpy()
    scores = torch.from_numpy(mine @ items["vector"].to_numpy().T).view(3, 40, 3).amax((0, 2))
    expected = (out.interests[0] @ out.items.view(40, 3, 8).transpose(1, 2)).amax((1, 2))
    torch.testing.assert_close(scores, expected.detach())


def test_a_model_reads_all_that_is_known_and_the_user_mode_stays():
    data = planted(num_users=30, num_items=40, num_clusters=4)
    model = SequenceModel(LeaveOneOut()(data).graph(), 8, max_length=4)
    users, items = vectors(data, model.train())
    assert model.training
    history, mask = Histories(data).read(torch.arange(30), 4)
    out = model.eval()(Batch(torch.arange(30), history=history, mask=mask))
    found = torch.tensor(users["vector"].to_numpy()).view(out.interests.shape)
    torch.testing.assert_close(found, out.interests.detach())
    assert len(items) == data.num_items


def test_vectors_of_any_precision_are_float32():
    data = planted(num_users=30, num_items=40, num_clusters=4)
    users, items = vectors(data, SequenceModel(LeaveOneOut()(data).graph(), 8, max_length=4).bfloat16())
    vector = pl.Array(pl.Float32, 8)
    assert users.schema == {"user_id": data.users.ids.dtype, "interest": pl.Int32, "vector": vector}
    assert items.schema == {"item_id": data.items.ids.dtype, "vector": vector}


def test_a_graph_model_propagates_once(monkeypatch):
    data, propagate, times = planted(num_users=30, num_items=40, num_clusters=4), InterestGCN.propagate, []
    model = InterestGCN(LeaveOneOut()(data).graph(), 2, 8, 1)
    monkeypatch.setattr("graphmi.vectors._USERS", 10)
    monkeypatch.setattr(InterestGCN, "propagate", lambda self: times.append(self) or propagate(self))
    done = []
    users, _ = vectors(data, model, done.append)
    assert done == [10, 20, 30]
    assert users["user_id"].to_list() == [user for user in data.users.ids for _ in range(2)]
    assert len(times) == 1


def test_a_model_of_other_data_is_refused():
    small, large = (planted(num_users=30, num_items=size, num_clusters=4) for size in (40, 80))
    model = InterestGCN(LeaveOneOut()(large).graph(), 2, 8, 1)
    with pytest.raises(ValueError, match="the model has 80 items and the data 40: take the data"):
        vectors(small, model)
    with pytest.raises(ValueError, match="the model has 40 items and the data 80"):
        vectors(large, InterestGCN(LeaveOneOut()(small).graph(), 2, 8, 1))
    with pytest.raises(ValueError, match="the model has 30 users and the data one with the number 34"):
        vectors(planted(num_users=35, num_items=80, num_clusters=4), model)
