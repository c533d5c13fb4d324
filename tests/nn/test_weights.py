import itertools
import math

import pytest
import torch

from graphmi.nn import CAGCNWeight, LightGCNWeight

USER_ITEM = torch.tensor([[0, 0, 1, 1], [0, 1, 1, 2]])  # u0-{i0, i1}, u1-{i1, i2}
OVERLAP = {
    "jaccard": lambda a, b: len(a & b) / len(a | b),
    "salton": lambda a, b: len(a & b) / math.sqrt(len(a) * len(b)),
    "lhn": lambda a, b: len(a & b) / (len(a) * len(b)),
    "common": lambda a, b: len(a & b),
}


def by_sets(edges, similarity, gamma, fused):
    """The formula on Python sets."""
    pairs = edges.t().tolist()
    into = {v: {j for j, w in pairs if w == v} for v in edges[1].tolist()}
    out = {j: {v for i, v in pairs if i == j} for j in edges[0].tolist()}
    phi = {(j, v): sum(OVERLAP[similarity](out[j], out[i]) for i in into[v]) / len(into[v]) for j, v in pairs}
    weights = []
    for j, v in pairs:
        share = gamma * phi[j, v] / sum(phi[i, v] for i in into[v])
        norm = {i: 1 / math.sqrt(len(out[i]) * len(into[v])) for i in into[v]}
        weights.append(share + norm[j] if fused else share * sum(norm.values()))
    return torch.tensor(weights)


def test_vector_of_the_design():
    phi = CAGCNWeight().common_interacted_ratio(USER_ITEM, (2, 3))
    torch.testing.assert_close(phi, torch.tensor([1, 2 / 3, 2 / 3, 1]))
    phi = CAGCNWeight().common_interacted_ratio(USER_ITEM.flip(0), (3, 2))
    torch.testing.assert_close(phi, torch.full((4,), 0.75))
    to_item, to_user = CAGCNWeight()(USER_ITEM, (2, 3)), CAGCNWeight()(USER_ITEM.flip(0), (3, 2))
    torch.testing.assert_close(to_item[:2], torch.tensor([1.707107, 1.0]))
    torch.testing.assert_close(to_user[:2], torch.tensor([1.207107, 1.0]))


@pytest.mark.parametrize("similarity", list(OVERLAP))
@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("block_size", [1, 3, 256])
def test_equals_the_formula_on_sets(similarity, fused, block_size):
    generator = torch.Generator().manual_seed(0)
    keys = torch.randperm(7 * 9, generator=generator)[:25]
    edges = torch.stack([keys // 9, keys % 9])
    weight = CAGCNWeight(similarity, gamma=0.7, fused=fused, block_size=block_size)
    for edge_index, size in ((edges, (7, 9)), (edges.flip(0), (9, 7))):
        torch.testing.assert_close(weight(edge_index, size), by_sets(edge_index, similarity, 0.7, fused))


@pytest.mark.parametrize("similarity", OVERLAP)
def test_repeated_edges_are_one(similarity):
    edges = torch.tensor([[0, 0, 1, 1, 2, 0, 0], [0, 1, 1, 2, 2, 1, 1]])
    weight = CAGCNWeight(similarity, block_size=2)
    once = weight.common_interacted_ratio(edges[:, :5], (3, 3))
    found = weight.common_interacted_ratio(edges, (3, 3))
    torch.testing.assert_close(found, once[[0, 1, 2, 3, 4, 1, 1]])


def test_edges_outside_the_nodes_are_refused():
    for edges in ([[0], [3]], [[3], [0]]):
        with pytest.raises(ValueError, match="names node 3, but there are 3"):
            CAGCNWeight().common_interacted_ratio(torch.tensor(edges), (3, 3))


def test_gamma_zero_is_lightgcn():
    torch.testing.assert_close(CAGCNWeight(gamma=0.0)(USER_ITEM, (2, 3)), LightGCNWeight()(USER_ITEM, (2, 3)))


def test_lightgcn_weights():
    expected = torch.tensor([1 / math.sqrt(2), 0.5, 0.5, 1 / math.sqrt(2)])
    torch.testing.assert_close(LightGCNWeight()(USER_ITEM, (2, 3)), expected)


def test_isolated_nodes_change_nothing():
    for weight, flip in itertools.product((LightGCNWeight(), CAGCNWeight()), (False, True)):
        edges, size, larger = USER_ITEM, (2, 3), (4, 6)
        if flip:
            edges, size, larger = edges.flip(0), size[::-1], larger[::-1]
        torch.testing.assert_close(weight(edges, larger), weight(edges, size))


@pytest.mark.parametrize("size", [(2, 3), (0, 3), (2, 0), (0, 0)])
@pytest.mark.parametrize("weight", [LightGCNWeight(), CAGCNWeight()])
def test_without_edges_there_are_no_weights(weight, size):
    assert weight(USER_ITEM[:, :0], size).shape == (0,)


@pytest.mark.parametrize(
    "kwargs", [{"similarity": "dice"}, {"gamma": -1.0}, {"gamma": float("nan")}, {"block_size": 0}]
)
def test_wrong_arguments_are_named(kwargs):
    (name,) = kwargs
    with pytest.raises(ValueError, match=f"'{name}'"):
        CAGCNWeight(**kwargs)
