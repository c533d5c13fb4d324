"""The sampler through PyG's own loaders, against a search hop by hop in Python."""

import pytest
import torch
from torch_geometric.data import HeteroData
from torch_geometric.loader import LinkLoader, NodeLoader
from torch_geometric.sampler import EdgeSamplerInput, NegativeSampling, NodeSamplerInput
from torch_geometric.utils import k_hop_subgraph

from graphmi.neighbors import BipartiteNeighborSampler, sample_hops

TO_ITEM, TO_USER = ("user", "interacts", "item"), ("item", "rev_interacts", "user")
NUM = {"user": 12, "item": 15}


def make_graph(num_edges=50, reverse=True):
    """Edges in no order, the two directions in different ones; the last user and item have none."""
    generator = torch.Generator().manual_seed(3)
    keys = torch.randperm(11 * 14, generator=generator)[:num_edges]
    pairs = torch.stack([keys // 14, keys % 14])
    graph = HeteroData({kind: {"num_nodes": num, "x": torch.arange(num) * 10} for kind, num in NUM.items()})
    graph[TO_ITEM].edge_index = pairs
    graph[TO_ITEM].number = torch.arange(num_edges)
    if reverse:
        order = torch.randperm(num_edges, generator=generator)
        graph[TO_USER].edge_index = pairs.flip(0)[:, order]
        graph[TO_USER].number = torch.arange(num_edges)
    return graph


def ends(data, kind):
    """Source and destination of the edges in the numbers of the whole graph."""
    row, col = data[kind].edge_index
    return list(zip(data[kind[0]].n_id[row].tolist(), data[kind[2]].n_id[col].tolist(), strict=True))


def edges_of(graph, kind):
    return list(zip(*graph[kind].edge_index.tolist(), strict=True))


def nodes(graph, seeds, num_hops):
    """All nodes within some hops, by PyG, as (kind, id)."""
    edge_index = graph[TO_ITEM].edge_index + torch.tensor([[0], [NUM["user"]]])
    both = torch.cat([edge_index, edge_index.flip(0)], 1)
    seeds = [node + (kind == "item") * NUM["user"] for kind, node in seeds]
    found = k_hop_subgraph(seeds, num_hops, both, num_nodes=sum(NUM.values()))[0].tolist()
    return {("user", n) if n < NUM["user"] else ("item", n - NUM["user"]) for n in found}


def check(graph, data, num_neighbors, replace=False):
    """What is true of every sample."""
    depth = torch.arange(len(num_neighbors) + 1)
    hop = {kind: depth.repeat_interleave(torch.tensor(data[kind].num_sampled_nodes)) for kind in NUM}
    for kind in (TO_ITEM, TO_USER):
        store, (source, _, destination) = data[kind], kind
        assert set(ends(data, kind)) <= set(edges_of(graph, kind))
        assert [edges_of(graph, kind)[e] for e in store.e_id.tolist()] == ends(data, kind)
        assert torch.equal(store.number, store.e_id)  # PyG took the attributes of these edges
        if not replace:
            assert len(set(ends(data, kind))) == len(ends(data, kind))
        degree = graph[kind].edge_index[1].bincount(minlength=NUM[destination])
        edge_hop = torch.arange(len(num_neighbors)).repeat_interleave(torch.tensor(store.num_sampled_edges))
        row, col = store.edge_index
        assert torch.equal(hop[destination][col], edge_hop)  # a node draws once, in the hop after it was found
        assert (hop[source][row] <= edge_hop + 1).all()
        for node, (n_id, h) in enumerate(zip(data[destination].n_id, hop[destination], strict=True)):
            if h < len(num_neighbors):
                num, full = num_neighbors[h], int(degree[n_id])
                expected = full if num == -1 else num * (full > 0) if replace else min(num, full)
                assert int((col == node).sum()) == expected
    for kind in NUM:
        assert len(data[kind].n_id.unique()) == len(data[kind].n_id) == data[kind].num_nodes
        assert torch.equal(data[kind].x, data[kind].n_id * 10)


@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize("num_neighbors", [[2], [3, 2], [2, 1, 2], [-1, 2], [20, 20, 20]])
@pytest.mark.parametrize("kind", ["user", "item"])
def test_node_loader(kind, num_neighbors, replace):
    graph = make_graph()
    sampler = BipartiteNeighborSampler(graph, num_neighbors, replace=replace)
    loader = NodeLoader(graph, sampler, (kind, torch.arange(NUM[kind]).flip(0)), batch_size=5, num_workers=0)
    seen = []
    for data in loader:
        check(graph, data, num_neighbors, replace)
        size = data[kind].batch_size
        assert size == data[kind].num_sampled_nodes[0]
        seen += data[kind].n_id[:size].tolist()
    assert seen == list(range(NUM[kind]))[::-1]


@pytest.mark.parametrize("num_hops", [1, 2, 3])
def test_minus_one_finds_what_a_search_finds(num_hops):
    graph = make_graph(20)
    sampler = BipartiteNeighborSampler(graph, [-1] * num_hops)
    for user in range(NUM["user"]):
        data = next(iter(NodeLoader(graph, sampler, ("user", torch.tensor([user])))))
        assert {(kind, n) for kind in NUM for n in data[kind].n_id.tolist()} == nodes(graph, [("user", user)], num_hops)
        inside = nodes(graph, [("user", user)], num_hops - 1)  # those that draw
        for kind in (TO_ITEM, TO_USER):
            expected = {edge for edge in edges_of(graph, kind) if (kind[2], edge[1]) in inside}
            assert set(ends(data, kind)) == expected


@pytest.mark.parametrize("negatives", [None, "binary", "triplet"])
def test_link_loader(negatives):
    graph = make_graph()
    sampler = BipartiteNeighborSampler(graph, [3, 2])
    pairs = graph[TO_ITEM].edge_index
    chosen = None if negatives is None else NegativeSampling(negatives, amount=2)
    loader = LinkLoader(graph, sampler, (TO_ITEM, pairs), neg_sampling=chosen, batch_size=8, num_workers=0)
    found = []
    for data in loader:
        check(graph, data, [3, 2])
        positive = pairs[:, data[TO_ITEM].input_id]
        found.append(positive)
        num = positive.size(1)
        users, items = data["user"].n_id, data["item"].n_id
        if negatives == "triplet":
            assert torch.equal(users[data["user"].src_index], positive[0])
            assert torch.equal(items[data["item"].dst_pos_index], positive[1])
            assert data["item"].dst_neg_index.shape == (num, 2)
            seeds = data["user"].src_index, data["item"].dst_neg_index
        else:
            index = data[TO_ITEM].edge_label_index
            assert torch.equal(torch.stack([users[index[0, :num]], items[index[1, :num]]]), positive)
            if negatives == "binary":
                assert data[TO_ITEM].edge_label.tolist() == [1.0] * num + [0.0] * 2 * num
            seeds = index
        for kind, index in zip(NUM, seeds, strict=True):
            assert int(index.max()) < data[kind].num_sampled_nodes[0]
    assert torch.equal(torch.cat(found, 1), pairs)


def test_same_generator_same_sample():
    graph = make_graph()

    def sample(seed):
        sampler = BipartiteNeighborSampler(graph, [2, 2, 2], generator=torch.Generator().manual_seed(seed))
        loader = NodeLoader(graph, sampler, "user", batch_size=6)
        return [[*ends(data, TO_ITEM), *ends(data, TO_USER)] for data in loader]

    assert sample(0) == sample(0)
    assert sample(0) != sample(1)


def test_a_graph_without_edges_and_no_seed():
    graph = make_graph(0)
    sampler = BipartiteNeighborSampler(graph, [2, -1])
    for seeds in (torch.arange(4), torch.arange(0)):
        out = sampler.sample_from_nodes(NodeSamplerInput(input_id=None, node=seeds, input_type="user"))
        assert torch.equal(out.node["user"], seeds)
        assert out.num_sampled_nodes == {"user": [len(seeds), 0, 0], "item": [0, 0, 0]}
        assert out.num_sampled_edges == {TO_ITEM: [0, 0], TO_USER: [0, 0]}
        assert all(part[kind].numel() == 0 for part in (out.row, out.col, out.edge) for kind in (TO_ITEM, TO_USER))


def test_seeds_that_repeat_stay_where_they_are():
    graph = make_graph()
    sampler = BipartiteNeighborSampler(graph, [-1])
    out = sampler.sample_from_nodes(NodeSamplerInput(None, torch.tensor([4, 2, 4]), input_type="user"))
    assert out.node["user"].tolist() == [4, 2, 4]
    counts = out.col[TO_USER].bincount(minlength=3)
    assert counts[0] == counts[2] == (graph[TO_ITEM].edge_index[0] == 4).sum()


def test_other_names_of_the_two_sides():
    graph = HeteroData({"customer": {"num_nodes": 2}, "product": {"num_nodes": 3}})
    graph["customer", "buys", "product"].edge_index = torch.tensor([[0, 0, 1], [0, 1, 2]])
    graph["product", "bought_by", "customer"].edge_index = torch.tensor([[0, 1, 2], [0, 0, 1]])
    kinds = {"edge_type": ("customer", "buys", "product"), "rev_edge_type": ("product", "bought_by", "customer")}
    data = next(iter(NodeLoader(graph, BipartiteNeighborSampler(graph, [-1], **kinds), "customer", batch_size=1)))
    assert data["product"].n_id.tolist() == [0, 1]


def test_what_cannot_be_sampled_is_refused():
    with pytest.raises(ValueError, match=r"HeteroData of two kinds of nodes \(got a Data\)"):
        BipartiteNeighborSampler(make_graph().to_homogeneous(), [2])
    with pytest.raises(ValueError, match=r"rev_interacts.*ToUndirected"):
        BipartiteNeighborSampler(make_graph(reverse=False), [2])
    with pytest.raises(ValueError, match=r"'num_neighbors' .*got 0"):
        BipartiteNeighborSampler(make_graph(), [2, 0])
    timed = NodeSamplerInput(None, torch.tensor([0]), time=torch.tensor([1]), input_type="user")
    with pytest.raises(ValueError, match="time"):
        BipartiteNeighborSampler(make_graph(), [2]).sample_from_nodes(timed)


def test_an_edge_of_the_other_direction_is_a_seed_too():
    graph = make_graph()
    row, col = graph[TO_USER].edge_index[:, :4]
    out = BipartiteNeighborSampler(graph, [2]).sample_from_edges(EdgeSamplerInput(None, row, col, input_type=TO_USER))
    assert torch.equal(out.node["item"][out.metadata[1][0]], row)
    assert torch.equal(out.node["user"][out.metadata[1][1]], col)


def test_drawing_anew_all_nodes_draw_in_every_hop():
    rowptr, col = torch.tensor([0, 3, 5, 6, 8]), torch.tensor([1, 2, 3, 0, 3, 0, 0, 1])
    drawn = sample_hops(rowptr, col, torch.tensor([2]), [-1, -1, -1], anew=True)
    assert drawn.node.tolist() == [2, 0, 1, 3]
    assert drawn.num_nodes == [1, 2, 4, 4]
    for num_dst, (entry, src, dst) in zip(drawn.num_nodes, drawn.hops, strict=False):
        expected = [(int(n), int(c)) for n in drawn.node[:num_dst] for c in col[rowptr[n] : rowptr[n + 1]]]
        assert list(zip(drawn.node[dst].tolist(), drawn.node[src].tolist(), strict=True)) == expected
        assert torch.equal(col[entry], drawn.node[src])
