"""What is computed for the users of a batch alone, against what is computed for everybody."""

import pytest
import torch
from torch_geometric.data import HeteroData

from graphmi.models import InterestGCN, few_users, interest_gcn
from graphmi.nn.conv import CAGCNWeight, CenterAggregator, MultiInterestConv, VirtualInterestGenerator
from graphmi.typing import Batch


def graph(num_users=40, num_items=15, num_pairs=150):
    draws = torch.Generator().manual_seed(0)
    pairs = torch.unique(torch.randint(num_users * num_items, (num_pairs,), generator=draws))
    pairs = pairs[pairs // num_items != 7]  # user 7 has none
    data = HeteroData({"user": {"num_nodes": num_users}, "item": {"num_nodes": num_items}})
    data["user", "interacts", "item"].edge_index = torch.stack([pairs // num_items, pairs % num_items])
    return data


def output(model, user):
    """Return interests, items and parameters behind them, and gradients of all parameters, and the mask."""
    out = model(Batch(user=user))
    draws = torch.Generator().manual_seed(1)
    values = out.interests, out.items, out.ego_users, out.ego_items
    total = sum((each * torch.randn(each.shape, dtype=each.dtype, generator=draws)).sum() for each in values)
    parameters = [each for each in model.parameters() if each.requires_grad]
    return [*values, *torch.autograd.grad(total, parameters, allow_unused=True)], out.interest_mask


def few(model, user, monkeypatch):
    """Tell whether the batch went the way of few users."""
    calls, original = [], interest_gcn.stacked_for_few
    with monkeypatch.context() as patch:
        patch.setattr(interest_gcn, "stacked_for_few", lambda *args: calls.append(args) or original(*args))
        model(Batch(user=user))
    return bool(calls)


OPTIONS = [
    {"num_interests": 3, "center": "sum"},
    {"num_interests": 3, "center": "sum", "attention": "neighbor", "num_layers": 2},
    {"num_interests": 3, "center": "sum", "attention": "sigmoid", "normalize": True, "rescale": True},
    {"num_interests": 4, "center": "sum", "temperature": 0.2, "share_interests": True, "dynamic_interests": True},
    {"num_interests": 2, "center": "sum", "num_layers": 1, "weight": CAGCNWeight()},
    {"num_interests": 3},
    {"num_interests": 3, "center": "node_norm", "num_layers": 1, "normalize": True},
    {"num_interests": 2, "num_layers": 2, "attention": "neighbor", "rescale": True, "dynamic_interests": True},
    {"num_interests": 1},
    {"num_interests": 1, "num_layers": 1, "normalize": True},
    {"num_interests": 1, "num_layers": 2, "center": "node_norm", "attention": "sigmoid", "weight": CAGCNWeight()},
]


@pytest.mark.parametrize("user", [[3], [20, 7, 3], [5, 31, 5, 7, 5]], ids=["one", "in no order", "one several times"])
@pytest.mark.parametrize("options", OPTIONS)
def test_few_users_are_as_among_all(options, user, monkeypatch):
    torch.manual_seed(0)
    model = InterestGCN(graph(), embedding_dim=4, **options).double()
    user, whole = torch.tensor(user), []
    for conv in model.convs:
        conv.register_forward_hook(lambda *_: whole.append(1))
    assert few(model, user, monkeypatch)
    assert bool(whole) != (options["num_interests"] == 1 or options.get("center") == "sum")  # those of all nodes
    found, mask = output(model, user)
    monkeypatch.setattr(few_users, "_FEW", 1_000)
    assert not few(model, user, monkeypatch)
    expected, expected_mask = output(model, user)
    for one, other in zip(found, expected, strict=True):
        assert (one is None) == (other is None) or not (one if other is None else other).any()
        if one is not None and other is not None:
            torch.testing.assert_close(one, other)
    assert (mask is None) == (expected_mask is None)
    assert mask is None or mask.equal(expected_mask)


def test_many_users_and_what_needs_all_go_the_way_of_all(monkeypatch):
    data, some = graph(), torch.tensor([1, 2])
    model = InterestGCN(data, 3, 4, center="sum")
    assert few(model, some, monkeypatch)
    assert not few(model, torch.arange(40), monkeypatch)
    assert not few(model, torch.tensor([1]).repeat(11), monkeypatch)  # more rows than a quarter of the users
    degree = data["user", "interacts", "item"].edge_index[0].bincount(minlength=40)
    most = degree.argsort(descending=True)[:10]  # a quarter of the users, but of more edges
    assert not few(model, most, monkeypatch)
    assert not few(model.eval(), some, monkeypatch)
    for options in ({"center": "edge_dot"}, {"score": "pair_max"}, {"num_layers": 0}):
        assert not few(InterestGCN(data, 3, 4, **options), some, monkeypatch)
    assert not few(InterestGCN(data, 1, 4, center="edge_dot"), some, monkeypatch)
    assert few_users.are_few(some, model.edges(), 40)
    assert not few_users.are_few(some.to("meta"), model.edges(), 40)  # a device would be waited for
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    assert not few_users.are_few(some, model.edges(), 40)


class Own(InterestGCN):
    def propagate(self):
        virtuals, centers = super().propagate()
        return [2 * each for each in virtuals], centers


def test_a_propagation_of_ones_own_is_not_passed_by(monkeypatch):
    model = Own(graph(), 3, 4, center="sum")
    assert not few(model, torch.tensor([1, 2]), monkeypatch)
    torch.testing.assert_close(
        model(Batch(user=torch.tensor([1]))).interests, torch.stack(model.propagate()[0]).mean(0)[1:2]
    )


class OwnConv(MultiInterestConv):
    def forward(self, *arguments, **options):
        virtual, center = super().forward(*arguments, **options)
        return 2 * virtual, 3 * center


class OwnGenerator(VirtualInterestGenerator):
    def forward(self, *arguments, **options):
        return 2 * super().forward(*arguments, **options)


class OwnAggregator(CenterAggregator):
    def forward(self, *arguments, **options):
        return 3 * super().forward(*arguments, **options)


@pytest.mark.parametrize("own", [OwnConv, OwnGenerator, OwnAggregator])
@pytest.mark.parametrize(("num_interests", "center"), [(3, "node_dot"), (3, "sum"), (1, "sum")])
def test_a_part_of_ones_own_is_not_passed_by(own, num_interests, center):
    model = InterestGCN(graph(), num_interests, 4, center=center, num_layers=2)
    for index, conv in enumerate(model.convs):
        if own is OwnConv:
            model.convs[index] = OwnConv(4, num_interests, center=center)
        elif own is OwnGenerator:
            conv.generator = OwnGenerator(4, num_interests)
        else:
            conv.aggregator = OwnAggregator(center)
    virtuals, centers = (torch.stack(layers).mean(0) for layers in model.propagate())
    for _ in ("training", "evaluation"):
        out = model(Batch(user=torch.tensor([1, 2])))
        torch.testing.assert_close(out.interests, virtuals[[1, 2]])
        torch.testing.assert_close(out.items, centers[40:])
        model.eval()
