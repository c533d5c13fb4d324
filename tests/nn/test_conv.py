"""Layers of METHODS S0 against loops over edges, PyG, and the identities."""

import pytest
import torch
from torch_geometric import EdgeIndex
from torch_geometric.nn import HeteroConv, LGConv

from graphmi.nn import Adjacency, CenterAggregator, MultiInterestConv, VirtualInterestGenerator

DTYPES = [torch.float32, torch.float64]
# The graph of the vectors: u0-{i0, i1}, u1-{i1, i2}; nodes u0 u1 i0 i1 i2, both directions.
PAIRS = torch.tensor([[0, 0, 1, 1], [2, 3, 3, 4]])
EDGES = torch.cat([PAIRS, PAIRS.flip(0)], dim=1)
CENTERS = torch.tensor([[1, 0], [0, 1], [1, 0], [1, 0.5], [0, 2]])


def loop_generator(x, edges, weight, interest, attention, num_dst, temperature=None):
    """The formula, edge by edge."""
    a, b = x, interest
    if temperature is not None:
        a = a / a.norm(dim=-1, keepdim=True)
        b = b / b.norm(dim=-1, keepdim=True) * (1 / temperature)
    logits = torch.stack([torch.stack([(v * w).sum() for w in b]) for v in a])  # [num_src, num_interests]
    out = torch.zeros(num_dst, len(interest), x.size(1), dtype=x.dtype)
    for e, (j, v) in enumerate(edges.t().tolist()):
        if attention == "interest":
            share = logits[j].exp() / logits[j].exp().sum()
        elif attention == "sigmoid":
            share = 1 / (1 + (-logits[j]).exp())
        else:
            neighbors = [s for s, d in edges.t().tolist() if d == v]
            share = logits[j].exp() / torch.stack([logits[s].exp() for s in neighbors]).sum(0)
        out[v] += weight[e] * share.unsqueeze(-1) * x[j]
    return out


def random_graph(num_src=6, num_dst=4, num_edges=14, dtype=torch.float64):
    keys = torch.randperm(num_src * (num_dst - 1))[:num_edges]  # the last destination has no neighbours
    return torch.stack([keys % num_src, keys // num_src]), torch.rand(num_edges, dtype=dtype) + 0.1


@pytest.mark.parametrize("attention", ["interest", "neighbor", "sigmoid"])
@pytest.mark.parametrize("temperature", [None, 0.3])
def test_generator_equals_a_loop_over_edges(attention, temperature):
    edges, weight = random_graph()
    x = torch.randn(6, 5, dtype=torch.float64)
    layer = VirtualInterestGenerator(5, 3, attention=attention, temperature=temperature, normalize=False).double()
    out = layer((x, None), edges, weight, size=(6, 4))
    expected = loop_generator(x, edges, weight, layer.interest, attention, 4, temperature)
    torch.testing.assert_close(out, expected)
    assert not out[3].any()


@pytest.mark.parametrize("attention", ["interest", "neighbor", "sigmoid"])
def test_gradients_of_the_generator(attention):
    edges, weight = random_graph()
    layer = VirtualInterestGenerator(5, 3, attention=attention, normalize=False).double()
    x = torch.randn(6, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v, w: layer((v, None), edges, w, size=(6, 4)), (x, weight.requires_grad_()))
    expected = loop_generator(x, edges, weight, layer.interest, attention, 4)
    grads = [
        torch.autograd.grad(out.square().sum(), layer.interest)[0]
        for out in (layer((x, None), edges, weight, size=(6, 4)), expected)
    ]
    torch.testing.assert_close(*grads)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("center", ["node_dot", "node_norm", "edge_dot", "sum"])
def test_one_interest_is_lgconv(dtype, center):
    x = torch.randn(5, 8, dtype=dtype)
    layer = MultiInterestConv(8, 1, center=center).to(dtype)
    virtual, out = layer(x, EDGES)
    torch.testing.assert_close(virtual[:, 0], LGConv()(x, EDGES))
    assert layer.sums == (center != "edge_dot")
    if center == "edge_dot":  # carries the neighbours' virtual interests, one hop on
        torch.testing.assert_close(out, LGConv()(virtual[:, 0], EDGES))
    else:
        torch.testing.assert_close(out, LGConv()(x, EDGES))


def test_one_interest_is_lgconv_on_directed_weighted_graphs_with_isolated_nodes():
    edges, weight = torch.tensor([[0, 1, 3, 3], [1, 2, 1, 0]]), torch.tensor([1.0, 2.0, 0.5, 3.0])
    x = torch.randn(6, 8)
    virtual, _ = MultiInterestConv(8, 1)(x, edges, weight)
    torch.testing.assert_close(virtual[:, 0], LGConv()(x, edges, weight))
    assert torch.isfinite(virtual).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_interests_add_up_to_the_backbone(dtype):
    x = torch.randn(5, 8, dtype=dtype)
    layer = MultiInterestConv(8, 4, center="sum").to(dtype)
    virtual, center = layer(x, EDGES)
    torch.testing.assert_close(virtual.sum(1), LGConv()(x, EDGES))
    torch.testing.assert_close(center, LGConv()(x, EDGES))


def test_rescaled_interests_average_to_the_backbone():
    x = torch.randn(5, 8)
    virtual = VirtualInterestGenerator(8, 4, rescale=True)(x, EDGES)
    torch.testing.assert_close(virtual.mean(1), LGConv()(x, EDGES))


@pytest.mark.parametrize("attention", ["interest", "neighbor", "sigmoid"])
def test_rescaled_interests_are_so_many_times_as_long(attention):
    x = torch.randn(5, 8)
    plain, rescaled = (VirtualInterestGenerator(8, 4, attention=attention, rescale=many) for many in (False, True))
    rescaled.load_state_dict(plain.state_dict())
    torch.testing.assert_close(rescaled(x, EDGES), 4 * plain(x, EDGES))


@pytest.mark.parametrize("attention", ["interest", "neighbor", "sigmoid"])
@pytest.mark.parametrize("rescale", [False, True])
def test_the_sum_of_virtual_interests_takes_one_product(attention, rescale):
    edges, weight = random_graph()
    adjacency = Adjacency.from_edge_index(edges, weight, size=(6, 4))
    x = torch.randn(6, 5, dtype=torch.float64, requires_grad=True)
    layer = VirtualInterestGenerator(5, 3, attention=attention, rescale=rescale).double()
    found, expected = layer.summed(x, adjacency), layer((x, None), adjacency, size=(6, 4)).sum(1)
    torch.testing.assert_close(found, expected)
    direction, variables = torch.randn_like(expected), (x, layer.interest)
    gradients = (torch.autograd.grad(out, variables, direction, allow_unused=True) for out in (found, expected))
    for part, other in zip(*gradients, strict=True):  # shares that sum to one have no gradient
        torch.testing.assert_close(torch.zeros_like(other) if part is None else part, other)


def test_permuting_interests_permutes_virtual_interests_only():
    x, order = torch.randn(5, 8), torch.tensor([2, 0, 3, 1])
    layer = MultiInterestConv(8, 4)
    virtual, center = layer(x, EDGES)
    layer.generator.interest.data = layer.generator.interest.data[order]
    permuted, same_center = layer(x, EDGES)
    torch.testing.assert_close(permuted, virtual[:, order])
    torch.testing.assert_close(same_center, center)


def test_zero_interests_share_evenly_and_ties_go_to_the_first():
    x = torch.randn(5, 8)
    layer = MultiInterestConv(8, 4)
    torch.nn.init.zeros_(layer.generator.interest)
    virtual, center = layer(x, EDGES)
    torch.testing.assert_close(virtual, (LGConv()(x, EDGES) / 4).unsqueeze(1).expand(-1, 4, -1))
    assert torch.equal(center, virtual[:, 0])


@pytest.mark.parametrize("dtype", DTYPES)
def test_vector_of_the_design(dtype):
    layer = MultiInterestConv(2, 2).to(dtype)
    layer.generator.interest.data = torch.eye(2, dtype=dtype)
    virtual, center = layer(CENTERS.to(dtype), EDGES)
    expected = {
        0: [[0.828166, 0.155615], [0.378941, 0.094385]],
        1: [[0.311230, 0.324193], [0.188770, 1.340020]],
        3: [[0.365529, 0.134471], [0.134471, 0.365529]],
    }
    for node, value in expected.items():
        torch.testing.assert_close(virtual[node], torch.tensor(value, dtype=dtype), atol=1e-6, rtol=0)
    chosen = [int(torch.equal(center[v], virtual[v, 1])) for v in range(5)]
    assert chosen == [0, 1, 0, 0, 1]


@pytest.mark.parametrize("mode", ["node_dot", "node_norm", "edge_dot"])
def test_aggregator_equals_loops(mode):
    edges, weight = random_graph(num_src=5, num_dst=5, num_edges=16)
    adjacency = Adjacency.from_edge_index(edges, weight, size=(5, 5))
    virtual, center = torch.randn(5, 3, 4).double(), torch.randn(5, 4).double()
    expected = torch.zeros(5, 4).double()
    if mode == "edge_dot":
        for (j, v), w in zip(edges.t().tolist(), weight, strict=True):
            k = max(range(3), key=lambda k: float(virtual[j, k] @ center[v]))
            expected[v] += w * virtual[j, k]
    else:
        for v in range(5):
            score = virtual[v] @ center[v] if mode == "node_dot" else virtual[v].norm(dim=-1)
            expected[v] = virtual[v, max(range(3), key=score.tolist().__getitem__)]
    torch.testing.assert_close(CenterAggregator(mode)(virtual, center, adjacency), expected)


def test_of_equally_close_interests_an_edge_brings_the_first():
    adjacency = Adjacency.from_edge_index(torch.tensor([[0], [1]]), size=(2, 2))
    virtual = torch.tensor([[[0.0, 1.0], [2.0, 5.0], [2.0, -5.0]]] * 2)
    found = CenterAggregator("edge_dot")(virtual, torch.tensor([[1.0, 0.0]] * 2), adjacency)
    assert found[1].tolist() == [2.0, 5.0]


def test_an_edge_may_choose_from_hundreds_of_interests():
    adjacency = Adjacency.from_edge_index(torch.tensor([[0], [1]]), size=(2, 2))
    virtual = torch.arange(300.0).view(1, 300, 1).expand(2, -1, -1)
    assert CenterAggregator("edge_dot")(virtual, torch.ones(2, 1), adjacency)[1].item() == 299


def test_every_form_of_edges_gives_the_same_output():
    x, layer = torch.randn(5, 8), MultiInterestConv(8, 4)
    expected = layer(x, EDGES)
    edge_index = EdgeIndex(EDGES, sparse_size=(5, 5)).sort_by("row")[0]
    matrix = torch.zeros(5, 5).index_put((EDGES[1], EDGES[0]), torch.ones(8)).to_sparse_csr()
    normalized = LGConv()(torch.eye(5), EDGES).to_sparse_csr()
    for edges in (edge_index, matrix, Adjacency.from_sparse_csr(normalized)):
        for actual, wanted in zip(layer(x, edges), expected, strict=True):
            torch.testing.assert_close(actual, wanted)


def test_bipartite_equals_the_block_of_the_whole_graph():
    x = torch.randn(5, 8)
    users, items = x[:2], x[2:]
    layer = MultiInterestConv(8, 4)
    virtual, center = layer(x, EDGES)
    to_users = PAIRS.flip(0) - torch.tensor([[2], [0]])
    for part, edges, rows in (((items, users), to_users, slice(0, 2)), ((users, items), to_users.flip(0), slice(2, 5))):
        v, c = layer(part, edges)
        torch.testing.assert_close(v, virtual[rows])
        torch.testing.assert_close(c, center[rows])


def test_sub_graph_with_all_neighbours_gives_the_same_destinations():
    x, layer = torch.randn(5, 8), MultiInterestConv(8, 4, normalize=False)
    virtual, center = layer(x, EDGES)
    nodes = torch.tensor([1, 3, 4])  # u1 first, then its neighbours: what a neighbour loader returns
    v, c = layer((x[nodes], x[nodes[:1]]), torch.tensor([[1, 2], [0, 0]]))
    torch.testing.assert_close(v, virtual[1:2])
    torch.testing.assert_close(c, center[1:2])


def test_inside_hetero_conv():
    x = {"user": torch.randn(2, 8), "item": torch.randn(3, 8)}
    edges = {
        ("user", "interacts", "item"): PAIRS - torch.tensor([[0], [2]]),
        ("item", "rev_interacts", "user"): PAIRS.flip(0) - torch.tensor([[2], [0]]),
    }
    conv = HeteroConv({edge: MultiInterestConv(8, 4) for edge in edges})
    out = conv(x, edges)
    assert out["user"][0].shape == (2, 4, 8)
    assert out["item"][1].shape == (3, 8)
    direct = conv.convs["user", "interacts", "item"]((x["user"], x["item"]), edges["user", "interacts", "item"])
    torch.testing.assert_close(out["item"], direct)


@pytest.mark.filterwarnings("ignore:There exist node types:UserWarning")
def test_relations_of_hetero_conv_add_up():
    x = {"user": torch.randn(2, 8), "item": torch.randn(3, 8)}
    edges = PAIRS - torch.tensor([[0], [2]])
    two = HeteroConv({("user", name, "item"): VirtualInterestGenerator(8, 4) for name in ("likes", "buys")})
    both = two(x, {("user", name, "item"): edges for name in ("likes", "buys")})
    parts = [conv((x["user"], x["item"]), edges) for conv in two.convs.values()]
    torch.testing.assert_close(both["item"], parts[0] + parts[1])


@pytest.mark.parametrize("center", ["node_dot", "edge_dot"])
def test_compiled_layer_gives_the_same(center):
    x, layer = torch.randn(5, 8), MultiInterestConv(8, 4, center=center)
    adjacency = Adjacency.from_edge_index(EDGES, size=(5, 5))
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    for actual, expected in zip(compiled(x, adjacency), layer(x, adjacency), strict=True):
        torch.testing.assert_close(actual, expected)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_plain_edges_compile_and_export_as_one_graph():
    x, layer = torch.randn(5, 8), MultiInterestConv(8, 4)
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    exported = torch.export.export(layer, (x, EDGES)).module()
    for form in (compiled, exported):
        for actual, expected in zip(form(x, EDGES), layer(x, EDGES), strict=True):
            assert torch.equal(actual, expected)


def test_autocast_keeps_the_sums_in_full_precision():
    x, layer = torch.randn(5, 8), MultiInterestConv(8, 4)
    expected, _ = layer(x, EDGES)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        virtual, _ = layer(x, EDGES)
    assert virtual.dtype == torch.float32
    torch.testing.assert_close(virtual, expected, atol=0.02, rtol=0.02)


def test_double_precision_is_double_throughout():
    edges, _ = random_graph(40, 40, 300)
    x = torch.randn(40, 8, dtype=torch.float64)
    out = MultiInterestConv(8, 1).double()(x, edges)[1]
    torch.testing.assert_close(out, LGConv()(x, edges, torch.ones(300).double()), atol=1e-14, rtol=1e-14)
    generator = VirtualInterestGenerator(8, 3, temperature=0.5)  # its parameters may be narrower than the vectors
    assert generator(x, edges).dtype == torch.float64


def test_shares_of_many_neighbours_add_up_to_one_under_autocast():
    edges = torch.stack([torch.arange(1, 2000), torch.zeros(1999, dtype=torch.long)])
    generator = VirtualInterestGenerator(4, 2, attention="neighbor", normalize=False)
    with torch.autocast("cpu", torch.bfloat16):
        found = generator(torch.ones(2000, 4), edges)[0]
    torch.testing.assert_close(found, torch.ones(2, 4), atol=1e-3, rtol=0)


@pytest.mark.parametrize("attention", ["interest", "neighbor", "sigmoid"])
def test_layers_in_half_precision(attention):
    layer = VirtualInterestGenerator(8, 4, attention=attention, temperature=0.5)
    x = torch.randn(5, 8)
    expected = layer(x, EDGES)
    found = layer.bfloat16()(x.bfloat16(), EDGES)
    assert found.dtype == torch.bfloat16  # as the next layer expects it
    torch.testing.assert_close(found.float(), expected, atol=0.03, rtol=0.03)
    assert layer(x.bfloat16(), EDGES, torch.rand(8)).dtype == torch.float32


def test_large_logits_stay_finite():
    x = 1e4 * torch.randn(5, 8)
    for attention in ("interest", "neighbor", "sigmoid"):
        layer = VirtualInterestGenerator(8, 4, attention=attention)
        out = layer(x.requires_grad_(), EDGES)
        out.sum().backward()
        assert torch.isfinite(out).all()
        assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: VirtualInterestGenerator(8, 0), "'num_interests' must be at least 1 .got 0"),
        (lambda: MultiInterestConv(-1), "'dim' must be at least 1 .got -1"),
        (lambda: VirtualInterestGenerator(8)(torch.randn(5, 7), EDGES), r"\[num_nodes, 8\].*got \[5, 7\]"),
        (lambda: MultiInterestConv(8, 1)(torch.randn(5, 7), EDGES), r"\[num_nodes, 8\].*got \[5, 7\]"),
        (lambda: MultiInterestConv(8)(torch.randn(1, 5, 8), EDGES), r"\[num_nodes, 8\].*got \[1, 5, 8\]"),
        (lambda: VirtualInterestGenerator(8, attention="x"), "'attention'.*'x'"),
        (lambda: VirtualInterestGenerator(8, temperature=0.0), "'temperature' must be positive"),
        (lambda: CenterAggregator("max"), "'mode'.*'max'"),
        (lambda: CenterAggregator("node_dot")(torch.randn(2, 2, 2)), "needs the centers"),
        (lambda: CenterAggregator("edge_dot")(torch.randn(2, 2, 2), torch.randn(2, 2)), "needs the adjacency"),
        (lambda: VirtualInterestGenerator(8)((torch.randn(3, 8), None), EDGES), "'size'"),
        (
            lambda: MultiInterestConv(8, center="edge_dot")((torch.randn(3, 8), torch.randn(2, 8)), EDGES[:, 4:5]),
            "one node matrix",
        ),
    ],
)
def test_wrong_input_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("center", ["node_dot", "node_norm", "edge_dot", "sum"])
def test_shapes_on_the_meta_device(center):
    layer = MultiInterestConv(8, 3, center=center).to("meta")
    virtual, found = layer(torch.randn(5, 8, device="meta"), EDGES.to("meta"), torch.rand(8, device="meta"))
    assert (virtual.shape, found.shape) == ((5, 3, 8), (5, 8))
