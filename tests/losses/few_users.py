"""Three of six users with all their positives, and every kind of readout."""

import torch
from torch_geometric.data import HeteroData

from graphmi.nn import (
    ArgmaxSelector,
    ExpectedReadout,
    InverseDistanceSelector,
    JointReadout,
    LogSumExpReadout,
    MeanSelector,
    MixtureReadout,
    SelectReadout,
    SoftmaxSelector,
)
from graphmi.typing import Representations

USERS, ITEMS, DIM = 6, 12, 5


def mixture():
    readout = MixtureReadout(DIM).double()
    torch.nn.init.normal_(readout.prior.weight, generator=torch.Generator().manual_seed(1))
    return readout


READOUTS = {
    "argmax": SelectReadout(),
    "candidate": SelectReadout(anchor="candidate"),
    "soft candidate": SelectReadout(SoftmaxSelector(2.0), anchor="candidate"),
    "mean": SelectReadout(MeanSelector()),
    "inverse distance": SelectReadout(InverseDistanceSelector()),
    "logsumexp": LogSumExpReadout(temperature=0.3),
    "expected": ExpectedReadout(SoftmaxSelector()),
    "expected argmax": ExpectedReadout(ArgmaxSelector()),
    "mixture": mixture(),
    "joint": JointReadout([SelectReadout(), LogSumExpReadout(), mixture()]),
    "joint with soft": JointReadout([LogSumExpReadout(), SelectReadout(MeanSelector())]),
}


def make_graph(num_items=ITEMS):
    keys = torch.randperm(USERS * ITEMS, generator=torch.Generator().manual_seed(0))[:20].sort().values
    graph = HeteroData({"user": {"num_nodes": USERS}, "item": {"num_nodes": num_items}})
    graph["user", "interacts", "item"].edge_index = torch.stack([keys // ITEMS, keys % ITEMS])
    return graph


def make_batch():
    """Return the output for users 3, 0, 5, the users, and their positives with rows."""
    user, item = make_graph()["user", "interacts", "item"].edge_index
    users = torch.tensor([3, 0, 5])
    positive = torch.cat([item[user == u] for u in users])
    row = torch.cat([torch.full((int((user == u).sum()),), n) for n, u in enumerate(users.tolist())])
    interests, items = (torch.randn(*s, DIM, dtype=torch.double, requires_grad=True) for s in ((3, 4), (ITEMS,)))
    active = torch.tensor([[1, 1, 0, 1], [1, 0, 0, 0], [1, 1, 1, 1]], dtype=torch.bool)
    return Representations(interests, items, interest_mask=active), users, positive, row
