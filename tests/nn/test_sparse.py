import pytest
import torch
from torch.autograd import gradcheck
from torch_geometric import EdgeIndex

from graphmi.nn import operators
from graphmi.nn.adjacency import Adjacency, as_adjacency
from graphmi.nn.sparse import edge_dot, propagate

SRC, DST = 5, 4
EDGES = torch.tensor([[0, 1, 4, 2, 2, 0, 3], [0, 0, 1, 1, 3, 3, 3]])  # destination 2 has no neighbours


def dense(edge_index, weight, size=(SRC, DST)):
    matrix = torch.zeros(size[1], size[0], dtype=weight.dtype)
    for (src, dst), w in zip(edge_index.t().tolist(), weight, strict=True):
        matrix[dst, src] += w
    return matrix


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("lead", [(), (3,)])
@pytest.mark.parametrize("columns", [None, 1, 5, 32])
def test_propagate_equals_the_dense_product(monkeypatch, dtype, lead, columns):
    if columns is not None:  # what large graphs are multiplied by at a time
        monkeypatch.setattr(operators, "_width", lambda *_: columns)
    weight = torch.rand(7, dtype=dtype)
    x = torch.randn(*lead, SRC, 6, dtype=dtype, requires_grad=True)
    out = propagate(Adjacency.from_edge_index(EDGES, weight, size=(SRC, DST)), x)
    torch.testing.assert_close(out, dense(EDGES, weight) @ x)
    grad = torch.randn_like(out)
    (actual,) = torch.autograd.grad(out, x, grad)
    torch.testing.assert_close(actual, dense(EDGES, weight).t() @ grad)


@pytest.mark.parametrize("lead", [(), (2,)])
def test_gradients_with_respect_to_vectors_and_weights(lead):
    weight = torch.rand(7, dtype=torch.double, requires_grad=True)
    x = torch.randn(*lead, SRC, 3, dtype=torch.double, requires_grad=True)
    assert gradcheck(lambda w, v: propagate(Adjacency.from_edge_index(EDGES, w, size=(SRC, DST)), v), (weight, x))


def test_indices_of_32_bits_give_the_same_matrix():
    """Numbers made of two nodes, or of a node and an edge, need more bits than they have."""
    num_nodes, num_edges = 70_000, 200_000
    edges = torch.randint(num_nodes, (2, num_edges), generator=torch.Generator().manual_seed(0))
    size, weight = (num_nodes, num_nodes), torch.rand(num_edges)
    expected = Adjacency.from_edge_index(edges, weight, size=size)
    order = torch.argsort(edges[1], stable=True)
    by_dst = EdgeIndex(edges[:, order].int(), sparse_size=size, sort_order="col")
    csr = torch.sparse_csr_tensor(expected.rowptr, expected.col, expected.value, size)
    assert csr.col_indices().dtype == torch.int32
    for form in ((edges.int(), weight), (by_dst, weight[order]), (csr, None)):
        found = as_adjacency(*form, size=size)
        for name in ("rowptr", "col", "value", "rowptr_t", "col_t", "perm", "value_t"):
            assert torch.equal(getattr(found, name), getattr(expected, name)), name


@pytest.mark.parametrize("lead", [(), (2,)])
def test_gradients_of_gradients(lead):
    """Those with respect to the vectors depend on weights, by way of the transpose."""
    weight = torch.rand(7, dtype=torch.double, requires_grad=True)
    x = torch.randn(*lead, SRC, 3, dtype=torch.double, requires_grad=True)

    def gradient(w, v):
        found = propagate(Adjacency.from_edge_index(EDGES, w, size=(SRC, DST)), v).sin().sum()
        return torch.autograd.grad(found, v, create_graph=True)[0]

    def written_out(w, v):
        matrix = torch.zeros(DST, SRC, dtype=torch.double).index_put((EDGES[1], EDGES[0]), w, accumulate=True)
        return torch.autograd.grad((matrix @ v).sin().sum(), v, create_graph=True)[0]

    found, expected = (
        torch.autograd.grad(function(weight, x).square().sum(), weight) for function in (gradient, written_out)
    )
    torch.testing.assert_close(found, expected)


def test_half_precision_is_summed_in_full_on_the_cpu():
    weight, x = torch.rand(7).bfloat16(), torch.randn(SRC, 6).bfloat16()
    expected = dense(EDGES, weight.float()) @ x.float()
    weight.requires_grad_()
    x.requires_grad_()
    out = propagate(Adjacency.from_edge_index(EDGES, weight, size=(SRC, DST)), x)
    assert torch.equal(out, expected.bfloat16())
    grad = torch.autograd.grad(out, (weight, x), torch.ones_like(out))
    torch.testing.assert_close(grad[0], x.detach()[EDGES[0]].float().sum(1).bfloat16())
    torch.testing.assert_close(grad[1], (dense(EDGES, weight.detach().float()).t() @ torch.ones(DST, 6)).bfloat16())


def test_all_forms_of_edges_give_the_same_adjacency():
    weight = torch.rand(7)
    expected = dense(EDGES, weight)
    order = torch.argsort(EDGES[1] * SRC + EDGES[0])
    forms = {
        "edge_index": (EDGES, weight),
        "EdgeIndex": (EdgeIndex(EDGES[:, order], sparse_size=(SRC, DST), sort_order="col"), weight[order]),
        "csr": (expected.to_sparse_csr(), None),
        "adjacency": (Adjacency.from_edge_index(EDGES, weight, size=(SRC, DST)), None),
    }
    for name, (edges, edge_weight) in forms.items():
        adjacency = as_adjacency(edges, edge_weight, size=(SRC, DST))
        torch.testing.assert_close(propagate(adjacency, torch.eye(SRC)), expected, msg=name)
        assert type(adjacency.col) is torch.Tensor, name


def test_the_stored_transpose_is_the_transpose():
    adjacency = Adjacency.from_edge_index(EDGES, torch.rand(7), size=(SRC, DST))
    flipped = Adjacency(
        adjacency.rowptr_t,
        adjacency.col_t,
        adjacency.value_t,
        adjacency.rowptr,
        adjacency.col,
        adjacency.perm,
        adjacency.value,
    )
    torch.testing.assert_close(propagate(flipped, torch.eye(DST)), propagate(adjacency, torch.eye(SRC)).t())


def test_halves_are_the_blocks_of_a_bipartite_graph():
    pairs = torch.tensor([[0, 0, 1, 2, 2], [0, 3, 3, 1, 2]])  # three nodes of the first kind, five of the second
    to_first, to_second = pairs.flip(0) + torch.tensor([[3], [0]]), pairs + torch.tensor([[0], [3]])
    weight = torch.rand(10, dtype=torch.double)
    whole = Adjacency.from_edge_index(torch.cat([to_first, to_second], 1), weight, size=(8, 8))
    first, second = whole.halves(3, 5)
    assert (first.size, second.size) == ((5, 3), (3, 5))
    dense = propagate(whole, torch.eye(8, dtype=torch.double))
    for half, block in ((first, dense[:3, 3:]), (second, dense[3:, :3])):
        again = half.with_value(half.value)  # its transpose by the stored positions
        assert again.value_t.equal(half.value_t)
        x = torch.randn(half.size[0], 4, dtype=torch.double, requires_grad=True)
        out = propagate(half, x)
        torch.testing.assert_close(out, block @ x)
        direction = torch.randn_like(out)
        torch.testing.assert_close(torch.autograd.grad(out, x, direction)[0], block.T @ direction)


def ends(adjacency):
    """Source and destination of each entry."""
    return list(zip(adjacency.col.tolist(), adjacency.dst.tolist(), strict=True))


def test_edges_come_back():
    adjacency = Adjacency.from_edge_index(EDGES, size=(SRC, DST))
    assert set(ends(adjacency)) == set(map(tuple, EDGES.t().tolist()))
    assert adjacency.size == (SRC, DST)
    assert adjacency.num_edges == 7


def test_edge_dot_equals_a_loop():
    adjacency = Adjacency.from_edge_index(EDGES, size=(SRC, DST))
    src, dst = torch.randn(SRC, 6), torch.randn(DST, 6)
    expected = [float(dst[v] @ src[j]) for j, v in ends(adjacency)]
    torch.testing.assert_close(edge_dot(adjacency, dst, src), torch.tensor(expected))


@pytest.mark.parametrize(("num_src", "num_dst"), [(1, 1), (3, 2), (40, 2), (2, 3)])
def test_edges_may_repeat_more_often_than_there_are_places(num_src, num_dst):
    """Memory was overwritten where a graph has more edges than pairs of nodes."""
    edges = torch.stack([torch.arange(200) * 7 % num_src, torch.arange(200) * 3 % num_dst])
    weight = torch.rand(200, dtype=torch.double, requires_grad=True)
    src, dst = (torch.randn(num, 3, dtype=torch.double, requires_grad=True) for num in (num_src, num_dst))
    adjacency = Adjacency.from_edge_index(edges, weight, size=(num_src, num_dst))
    dots = edge_dot(adjacency, dst, src)
    torch.testing.assert_close(dots, (dst[adjacency.dst.long()] * src[adjacency.col.long()]).sum(-1))
    out = propagate(adjacency, src)
    torch.testing.assert_close(out, dense(edges, weight, (num_src, num_dst)) @ src)
    grad = torch.randn_like(out)
    (found,) = torch.autograd.grad(out, weight, grad)
    torch.testing.assert_close(found, (grad[edges[1]] * src[edges[0]]).sum(-1))


def test_each_entry_reads_its_copy_of_the_sources():
    adjacency = Adjacency.from_edge_index(EDGES, torch.rand(7), size=(SRC, DST))
    copy = torch.randint(3, (7,), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    wide = adjacency.reading(copy, 3)
    expected = torch.zeros(DST, 3 * SRC)
    for k, (j, v), weight in zip(copy.tolist(), ends(adjacency), adjacency.value, strict=True):
        expected[v, k * SRC + j] += weight
    eye = torch.eye(3 * SRC, requires_grad=True)
    out = propagate(wide, eye)
    torch.testing.assert_close(out, expected)
    grad = torch.randn(DST, 3 * SRC)
    out.backward(grad)
    torch.testing.assert_close(eye.grad, expected.t() @ grad)
    torch.testing.assert_close(wide.value_t, wide.value[wide.perm])


def test_low_precision_vectors_are_summed_in_the_weights_precision():
    adjacency = Adjacency.from_edge_index(EDGES, torch.rand(7), size=(SRC, DST))
    x = torch.randn(SRC, 6)
    out = propagate(adjacency, x.bfloat16())
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, propagate(adjacency, x.bfloat16().float()))


@pytest.mark.parametrize(
    ("num_edges", "num_src", "width"),
    [
        (10, 100, 64),
        (50 * 4096, 4096, 64),
        (50 * 4097, 4097, 32),
        (50 * 4097 - 1, 4097, 64),
        (0, 131_072, 64),
        (50 * 131_072, 131_072, 32),
        (0, 131_073, 16),
    ],
)
def test_columns_at_a_time(num_edges, num_src, width):
    """All, unless rows leave the cache of a core and many entries come back to each, or leave all caches."""
    for lead in ((), (3,)):
        assert operators._width(num_edges, torch.empty(1).expand(*lead, num_src, 64)) == width
    assert operators._width(num_edges, torch.empty(1, device="meta").expand(num_src, 64)) == 64


@pytest.mark.parametrize("num_dst", [DST, 0])
def test_no_edges(num_dst):
    adjacency = Adjacency.from_edge_index(torch.empty(2, 0, dtype=torch.long), size=(SRC, num_dst))
    x = torch.randn(SRC, 6, requires_grad=True)
    propagate(adjacency, x).sum().backward()
    assert not x.grad.any()
    assert edge_dot(adjacency, torch.randn(num_dst, 6), x).shape == (0,)


def test_edges_outside_the_nodes_are_refused():
    with pytest.raises(ValueError, match="names node 5, but there are 5"):
        Adjacency.from_edge_index(torch.tensor([[5], [0]]), size=(SRC, DST))
    with pytest.raises(ValueError, match="names node 4, but there are 4"):
        Adjacency.from_edge_index(torch.tensor([[0], [4]]), size=(SRC, DST))
    for padded in ([[0, -1], [1, 2]], [[0, 1], [-1, 2]]):
        with pytest.raises(ValueError, match="names node -1: leave out the edges that only pad"):
            Adjacency.from_edge_index(torch.tensor(padded), size=(SRC, DST))


@pytest.mark.parametrize("num", [6, 8])
def test_weights_of_other_edges_are_refused(num):
    for edges in (EDGES, Adjacency.from_edge_index(EDGES, size=(SRC, DST))):
        with pytest.raises(ValueError, match=rf"one weight per edge, 7 \(got shape \[{num}\]\)"):
            as_adjacency(edges, torch.rand(num), size=(SRC, DST))


@pytest.mark.parametrize(
    ("edges", "got"),
    [
        (EDGES.float(), r"float32 \[2, 7\]"),
        (EDGES.T, r"int64 \[7, 2\]"),
        (EDGES.unsqueeze(1), r"int64 \[2, 1, 7\]"),
    ],
)
def test_edges_that_are_no_integers_or_lie_across_are_refused(edges, got):
    with pytest.raises(ValueError, match=rf"numbers of nodes, integers \[2, num_edges\] \(got torch.{got}\)"):
        as_adjacency(edges, size=(SRC, DST))


def test_a_matrix_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r"\(2, 3\).*\(5, 4\)"):
        as_adjacency(torch.ones(3, 2).to_sparse_csr(), size=(SRC, DST))


def test_other_layouts_are_refused():
    with pytest.raises(ValueError, match="sparse_coo"):
        as_adjacency(torch.ones(4, 5).to_sparse(), size=(SRC, DST))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_compiles_without_graph_breaks():
    adjacency = Adjacency.from_edge_index(EDGES, torch.rand(7), size=(SRC, DST))
    x = torch.randn(SRC, 6, requires_grad=True)
    compiled = torch.compile(
        lambda v: propagate(adjacency, v.sin()).square().sum(), fullgraph=True, backend="aot_eager"
    )
    (actual,) = torch.autograd.grad(compiled(x), x)
    (expected,) = torch.autograd.grad(propagate(adjacency, x.sin()).square().sum(), x)
    torch.testing.assert_close(actual, expected)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # which torch 2.14 reads in its own checks
def test_custom_operators_obey_torch():
    adjacency = Adjacency.from_edge_index(EDGES, torch.rand(7), size=(SRC, DST))
    args = [getattr(adjacency, name) for name in ("rowptr", "col", "value", "rowptr_t", "col_t", "value_t")]
    args[2] = args[2].requires_grad_()
    torch.library.opcheck(torch.ops.graphmi.spmm, (*args, torch.randn(SRC, 4, requires_grad=True)))
    torch.library.opcheck(
        torch.ops.graphmi.sddmm, (adjacency.rowptr, adjacency.col, torch.randn(DST, 4), torch.randn(SRC, 4))
    )
