import math
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from torch_geometric.data import HeteroData

from graphmi.samplers import (
    AllItemsSampler,
    InBatchSampler,
    LogUniformSampler,
    MixedSampler,
    PopularitySampler,
    UniformSampler,
    known_items,
)

TABLE = known_items._MAX_TABLE
KNOWN = [[0, 1], [1, 4], [0, 1, 2, 3, 4, 5], [], [5]]  # the third user knows every item
DEGREE = [sum(item in items for items in KNOWN) for item in range(6)]
USERS = torch.arange(5)
POSITIVES = torch.tensor([0, 4, 2, 1, 5])
RANK = {item: rank for rank, item in enumerate(sorted(range(6), key=lambda i: (-DEGREE[i], i)))}
LAWS = {
    "uniform": (UniformSampler, {}, [1.0] * 6),
    "popularity": (PopularitySampler, {}, [d**0.75 for d in DEGREE]),
    "popularity-1": (PopularitySampler, {"power": 1.0}, [float(d) for d in DEGREE]),
    "popularity-0": (PopularitySampler, {"power": 0.0}, [1.0] * 6),
    "log-uniform": (LogUniformSampler, {}, [math.log((RANK[i] + 2) / (RANK[i] + 1)) for i in range(6)]),
}


@pytest.fixture(scope="module")
def graph(make_graph):
    return make_graph(KNOWN, 6)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def law(weights, known):
    left = [0.0 if item in known else weight for item, weight in enumerate(weights)]
    return [weight / sum(left) for weight in left]


@pytest.mark.parametrize("name", LAWS)
class TestLaws:
    @pytest.mark.parametrize("largest", [0, TABLE])
    @pytest.mark.parametrize("times", [1, 20_000])
    def test_each_user_draws_by_the_law_on_what_it_does_not_know(self, monkeypatch, graph, name, times, largest):
        monkeypatch.setattr(known_items, "_MAX_TABLE", largest)
        make, options, weights = LAWS[name]
        users, positives = USERS.repeat(times), POSITIVES.repeat(times)
        drawn = make(graph, 20_000 // times, **options)(users, positives, generator())
        assert drawn.item.shape == (5 * times, 20_000 // times)
        for user in (0, 1, 3, 4):
            expected = law(weights, KNOWN[user])
            counts = torch.bincount(drawn.item[user::5].flatten(), minlength=6).tolist()
            assert all(counts[item] == 0 for item in KNOWN[user])
            kept = [item for item in range(6) if expected[item] > 0]
            assert chisquare([counts[i] for i in kept], [20_000 * expected[i] for i in kept]).pvalue > 0.001
            assert drawn.valid[user::5].all()

    @pytest.mark.parametrize("num_negatives", range(1, 20))
    def test_drawing_ends_where_nothing_is_left(self, monkeypatch, graph, name, num_negatives):
        make, options, _ = LAWS[name]
        sampler, draws = make(graph, num_negatives, **options), iter(range(20))
        drawing = sampler.proposal._any
        monkeypatch.setattr(sampler.proposal, "_any", lambda *given: drawing(*given) if next(draws) >= 0 else None)
        drawn = sampler(USERS[[2, 0]], POSITIVES[[2, 0]], generator())
        assert drawn.valid.all(1).tolist() == [False, True]
        assert not torch.isin(drawn.item[1], torch.tensor(KNOWN[0])).any()

    def test_a_user_who_knows_all_items_is_invalid(self, graph, name):
        make, options, _ = LAWS[name]
        drawn = make(graph, 7, **options)(USERS, POSITIVES, generator())
        assert not drawn.valid[2].any()
        assert ((drawn.item >= 0) & (drawn.item < 6)).all()
        assert drawn.log_q is None or drawn.log_q.isfinite().all()

    def test_shared_negatives_mark_the_known(self, graph, name):
        make, options, weights = LAWS[name]
        drawn = make(graph, 20_000, shared=True, **options)(USERS, POSITIVES, generator())
        assert drawn.item.shape == (20_000,)
        counts = torch.bincount(drawn.item, minlength=6).tolist()
        kept = [item for item in range(6) if weights[item] > 0]
        expected = [20_000 * weights[i] / sum(weights) for i in kept]
        assert chisquare([counts[i] for i in kept], expected).pvalue > 0.001
        for user, known in enumerate(KNOWN):
            assert drawn.valid[user].tolist() == [item not in known for item in drawn.item.tolist()]

    @pytest.mark.parametrize("shared", [True, False])
    def test_log_prob_is_the_law(self, graph, name, shared):
        make, options, weights = LAWS[name]
        sampler = make(graph, 3, shared=shared, **options)
        log_prob = sampler.log_prob(USERS, torch.arange(6) if shared else torch.arange(6).expand(5, 6)).exp()
        for user in (0, 1, 3, 4):
            expected = law(weights, [] if shared else KNOWN[user])
            row = (log_prob if shared else log_prob[user]).tolist()
            assert [p for p, q in zip(row, expected, strict=True) if q] == pytest.approx(
                [q for q in expected if q], rel=1e-5
            )

    def test_log_q_belongs_to_the_items(self, graph, name):
        make, options, weights = LAWS[name]
        for shared in (True, False):
            sampler = make(graph, 9, shared=shared, **options)
            drawn = sampler(USERS, POSITIVES, generator())
            if make is UniformSampler:
                assert drawn.log_q is None
                assert drawn.pos_log_q is None
                continue
            torch.testing.assert_close(drawn.log_q, sampler.log_prob(USERS, drawn.item))
            total = sum(weights) if shared else sum(w for i, w in enumerate(weights) if i not in KNOWN[0])
            assert drawn.pos_log_q[0].exp().item() == pytest.approx(weights[0] / total, rel=1e-5)

    @pytest.mark.parametrize("shared", [True, False])
    @pytest.mark.parametrize("reject", [True, False])
    def test_says_whether_known_items_are_left_out(self, graph, name, shared, reject):
        make, options, _ = LAWS[name]
        sampler = make(graph, 3, shared=shared, reject_known=reject, **options)
        assert sampler(USERS, POSITIVES, generator()).excludes_known == reject

    def test_without_rejection_everything_can_be_drawn(self, graph, name):
        make, options, weights = LAWS[name]
        drawn = make(graph, 2_000, reject_known=False, **options)(USERS, POSITIVES, generator())
        assert drawn.valid is None
        for user in range(5):
            assert set(drawn.item[user].tolist()) == {i for i in range(6) if weights[i] > 0}

    def test_the_generator_decides(self, graph, name):
        make, options, _ = LAWS[name]
        sampler = make(graph, 50, **options)
        one, same, other = (sampler(USERS, POSITIVES, generator(seed)).item for seed in (1, 1, 2))
        assert one.equal(same)
        assert not one.equal(other)

    def test_num_negatives_must_be_positive(self, graph, name):
        make, options, _ = LAWS[name]
        with pytest.raises(ValueError, match="'num_negatives' must be at least 1"):
            make(graph, 0, **options)


@settings(max_examples=40, deadline=None)
@given(
    data=st.data(),
    num_items=st.integers(1, 12),
    num_users=st.integers(1, 6),
    power=st.sampled_from([0.0, 0.75, 2.0]),
)
def test_no_graph_ever_yields_a_known_item(make_graph, data, num_items, num_users, power):
    known = [sorted(data.draw(st.sets(st.integers(0, num_items - 1)))) for _ in range(num_users)]
    known[0] = known[0] or [0]
    graph, users = make_graph(known, num_items), torch.arange(num_users)
    for sampler in (UniformSampler(graph, 30), PopularitySampler(graph, 30, power), LogUniformSampler(graph, 30)):
        drawn = sampler(users, torch.zeros_like(users), generator())
        valid = torch.ones_like(drawn.item, dtype=torch.bool) if drawn.valid is None else drawn.valid
        for user in range(num_users):
            items = set(drawn.item[user][valid[user]].tolist())
            assert not items & set(known[user])
        assert (valid[[len(k) < num_items for k in known]].all()) or isinstance(sampler, PopularitySampler)


@pytest.mark.parametrize("num_negatives", [1, 3, 40])  # single pairs are looked up, and whole rows
def test_users_in_any_order_draw_evenly_from_what_they_do_not_know(make_graph, num_negatives):
    known = torch.rand(30, 90, generator=generator()) < torch.linspace(0.02, 0.98, 30)[:, None]
    graph = make_graph([row.nonzero().squeeze(1).tolist() for row in known], 90)
    users = torch.randint(30, (30_000 // num_negatives,), generator=generator(1))
    item = UniformSampler(graph, num_negatives)(users, users, generator()).item
    assert not known[users].gather(1, item).any()
    expected = num_negatives * (~known / (~known).sum(1, keepdim=True))[users].sum(0).double()
    assert chisquare(item.flatten().bincount(minlength=90), expected * (item.numel() / expected.sum())).pvalue > 0.001


def test_users_who_know_almost_everything_draw_evenly_from_the_rest(make_graph):
    left, users = torch.tensor([[7, 41], [0, 89]]), torch.tensor([1, 0, 1])
    graph = make_graph([[item for item in range(90) if item not in two] for two in left.tolist()], 90)
    sampler = UniformSampler(graph, 1280)
    drawn = sampler(users, users, generator())
    for found, two in zip(drawn.item, left[users], strict=True):
        assert abs((found == two[0]).sum() - 640) < 60
        assert (found == two[0]).logical_xor(found == two[1]).all()
    assert drawn.valid is None
    assert sampler(users, users, generator()).item.equal(drawn.item)


@pytest.mark.parametrize("num_users", [10, 100, 500])
def test_every_negative_is_drawn_anew(make_graph, num_users):
    graph, users = make_graph([[]], 70_000), torch.zeros(num_users, dtype=torch.int64)
    graph["user", "interacts", "item"].edge_index = torch.arange(45_000) * torch.tensor([[0], [1]])
    count = UniformSampler(graph, 40)(users, users, generator()).item.flatten().bincount()
    expected = 40 * num_users * (40 * num_users - 1) / 2 / 25_000  # pairs of the same item
    assert abs((count * (count - 1) / 2).sum() - expected) < 5 * expected**0.5


@pytest.fixture(params=[TABLE, 0], ids=["table", "search"])
def made(request, monkeypatch):
    """Make the known items of a graph, with and without a table."""
    monkeypatch.setattr(known_items, "_MAX_TABLE", request.param)

    def make(graph):
        known = known_items.KnownItems(graph)
        assert (known.table is None) == (known.bits is None) == (request.param == 0)
        return known

    return make


def test_known_items_are_found_in_every_way(made, make_graph):
    expected = torch.rand(5, 70, generator=generator()) < 0.3
    known = made(make_graph([row.nonzero().squeeze(1).tolist() for row in expected], 70))
    users = torch.tensor([4, 0, 0, 2, 3])
    assert known.rows(users).equal(expected[users])
    for num in (1, 2, 70):  # by pairs, and by whole rows
        shared, items = torch.arange(num).flip(0), torch.randint(70, (5, num), generator=generator())
        assert known.contains(users, shared).equal(expected[users][:, shared])
        assert known.contains(users, items).equal(expected[users].gather(1, items))


def test_pairs_are_looked_up_by_their_bit(make_graph):
    expected = torch.rand(5, 70, generator=generator()) < 0.3
    known = known_items.KnownItems(make_graph([row.nonzero().squeeze(1).tolist() for row in expected], 70))
    user, item = expected.ne(2).nonzero().T.numpy()
    assert known.pairs(user, item).tolist() == expected.flatten().tolist()


def test_nothing_is_known_behind_the_last_known_item(made, make_graph):
    known = made(make_graph([[1], []], 3))
    assert known.contains(torch.tensor([0, 1]), torch.arange(3)).tolist() == [[False, True, False], [False] * 3]
    assert known.rows(torch.tensor([1, 0])).tolist() == [[False] * 3, [False, True, False]]
    assert known_items.KnownItems(make_graph([], 3)).rows(USERS[:0]).shape == (0, 3)


def test_no_draw_gives_an_item_without_weight(monkeypatch, make_graph):
    sampler = PopularitySampler(make_graph([[1, 3], [3]], 4), 4, shared=True, reject_known=False)
    feet = torch.arange(4).double() / 4  # of the columns
    monkeypatch.setattr("graphmi.samplers.proposal.fractions", lambda shape, device, generator: feet)
    assert set(sampler(USERS[:2], torch.tensor([1, 3])).item.tolist()) == {1, 3}


@pytest.mark.parametrize("largest", [0, TABLE])
def test_repeated_and_unsorted_edges_do_not_matter(monkeypatch, make_graph, graph, largest):
    monkeypatch.setattr(known_items, "_MAX_TABLE", largest)
    messy = make_graph(KNOWN, 6)
    edge_index = messy["user", "interacts", "item"].edge_index
    messy["user", "interacts", "item"].edge_index = torch.cat([edge_index.flip(1), edge_index[:, :3]], 1)
    drawn = [UniformSampler(g, 100)(USERS, POSITIVES, generator()).item for g in (graph, messy)]
    assert drawn[0].equal(drawn[1])


def test_edges_of_32_bits_are_read_alike(make_graph):
    known = torch.randint(60_000, (900, 3), generator=torch.Generator().manual_seed(0)).tolist()
    graph = make_graph(known, 60_000)
    graph["user"].num_nodes, edges = 80_000, graph["user", "interacts", "item"]  # with more pairs than 32 bits number
    edges.edge_index = (edges.edge_index + torch.tensor([[79_000], [0]])).int()
    found = known_items.KnownItems(graph).rows(torch.arange(79_000, 79_900)).nonzero().tolist()
    assert [tuple(pair) for pair in found] == sorted({(user, item) for user, row in enumerate(known) for item in row})


def test_an_item_drawn_by_popularity_keeps_its_share_among_millions(make_graph):
    graph = make_graph([[0]], 2_000_000)
    sampler = LogUniformSampler(graph, 10)
    last = sampler.log_prob(torch.tensor([0]), torch.tensor([[1_999_999]])).item()
    total = math.log(2_000_001) - math.log(2)  # the known item 0 is left out
    assert last == pytest.approx(math.log(math.log1p(1 / 2_000_000) / total), abs=1e-4)


def test_what_is_left_is_drawn_however_steep_the_law(make_graph):
    drawn = PopularitySampler(make_graph([[0]] * 100 + [[1]], 2), 5, power=9)(torch.tensor([0]), torch.tensor([0]))
    assert drawn.item.tolist() == [[1] * 5]
    assert drawn.valid is None or drawn.valid.all()


def test_a_power_beyond_all_numbers_draws_the_most_popular_item(make_graph):
    graph = make_graph([[0, 1]] * 50 + [[1]], 3)
    drawn = PopularitySampler(graph, 20, power=500, reject_known=False)(torch.tensor([0]), torch.tensor([0]))
    assert (drawn.item == 1).all()
    assert drawn.log_q.isfinite().all()


def test_no_interactions_means_no_popularity(make_graph):
    with pytest.raises(ValueError, match="no interactions"):
        PopularitySampler(make_graph([[]], 3))
    with pytest.raises(ValueError, match="no interactions"):
        PopularitySampler(make_graph([], 0))
    with pytest.raises(ValueError, match="'power' must be at least 0"):
        PopularitySampler(make_graph([[0]], 3), power=-1)


class TestAllItems:
    def test_known_items_are_invalid(self, graph):
        drawn = AllItemsSampler(graph)(USERS, POSITIVES)
        assert drawn.item.tolist() == list(range(6))
        assert drawn.valid.tolist() == [[item not in items for item in range(6)] for items in KNOWN]
        assert drawn.log_q is None

    def test_or_all_valid(self, graph):
        sampler = AllItemsSampler(graph, reject_known=False)
        assert sampler(USERS, POSITIVES).valid is None
        assert sampler.log_prob(USERS, POSITIVES).exp().tolist() == pytest.approx([1 / 6] * 5)


class TestInBatch:
    def test_log_q_is_the_share_of_the_interactions(self, graph):
        drawn = InBatchSampler(graph)(USERS, POSITIVES)
        share = [DEGREE[item] / sum(DEGREE) for item in POSITIVES.tolist()]
        assert drawn.item.equal(POSITIVES)
        assert drawn.log_q.exp().tolist() == pytest.approx(share)
        assert drawn.pos_log_q.equal(drawn.log_q)

    @pytest.mark.parametrize("largest", [0, TABLE])
    def test_hits_and_known_items_are_invalid(self, monkeypatch, graph, largest):
        monkeypatch.setattr(known_items, "_MAX_TABLE", largest)
        users, positives = torch.tensor([0, 3, 1, 3]), torch.tensor([0, 1, 4, 0])
        for reject in (True, False):
            drawn = InBatchSampler(graph, reject)(users, positives)
            assert drawn.excludes_known == reject
            for row, (user, own) in enumerate(zip(users.tolist(), positives.tolist(), strict=True)):
                bad = {own} | (set(KNOWN[user]) if reject else set())
                assert drawn.valid[row].tolist() == [item not in bad for item in positives.tolist()]

    def test_an_item_that_nobody_had_counts_as_had_once(self, make_graph):
        sampler = InBatchSampler(make_graph([[0, 1], [1]], 3))
        assert sampler.log_prob(USERS, torch.arange(3)).exp().tolist() == pytest.approx([1 / 4, 2 / 4, 1 / 4])


class TestMixed:
    def test_log_q_is_the_mixture(self, graph):
        mixed = MixedSampler(graph, [lambda g: UniformSampler(g, 3, shared=True), InBatchSampler])
        drawn = mixed(USERS, POSITIVES, generator())
        assert drawn.item.shape == (8,)
        assert drawn.item[3:].equal(POSITIVES)
        share = [3 / 8 / 6 + 5 / 8 * DEGREE[item] / sum(DEGREE) for item in range(6)]
        assert drawn.log_q.exp().tolist() == pytest.approx([share[item] for item in drawn.item.tolist()])
        assert drawn.pos_log_q.exp().tolist() == pytest.approx([share[item] for item in POSITIVES.tolist()])
        for user, known in enumerate(KNOWN):
            bad = [{*known}] * 3 + [{*known, POSITIVES[user].item()}] * 5
            assert drawn.valid[user].tolist() == [i not in b for i, b in zip(drawn.item.tolist(), bad, strict=True)]

    def test_shared_and_per_user_negatives_side_by_side(self, graph):
        makes = [lambda g: PopularitySampler(g, 2), lambda g: UniformSampler(g, 3, shared=True)]
        drawn = MixedSampler(graph, makes)(USERS, POSITIVES, generator())
        assert drawn.item.shape == drawn.log_q.shape == drawn.valid.shape == (5, 5)
        popularity = law([d**0.75 for d in DEGREE], KNOWN[1])
        for item, log_q in zip(drawn.item[1].tolist(), drawn.log_q[1].tolist(), strict=True):
            if item not in KNOWN[1]:
                assert math.exp(log_q) == pytest.approx(2 / 5 * popularity[item] + 3 / 5 / 6, rel=1e-5)
        assert drawn.valid[1].tolist() == [True] * 2 + [item not in KNOWN[1] for item in drawn.item[1, 2:].tolist()]

    def test_known_items_are_left_out_by_all_or_none(self, graph):
        keeps = partial(UniformSampler, reject_known=False)
        assert MixedSampler(graph, [keeps, partial(InBatchSampler, reject_known=False)])(USERS, POSITIVES)
        with pytest.raises(ValueError, match="give all the same 'reject_known'"):
            MixedSampler(graph, [PopularitySampler, keeps])(USERS, POSITIVES)

    def test_no_rows(self, graph):
        mixed = MixedSampler(graph, [lambda g: UniformSampler(g, 3, shared=True), InBatchSampler])
        drawn = mixed(USERS[:0], POSITIVES[:0], generator())
        assert drawn.log_q.exp().tolist() == pytest.approx([1 / 6] * 3)
        assert drawn.valid.shape == (0, 3)
        assert MixedSampler(graph, [InBatchSampler])(USERS[:0], POSITIVES[:0]).log_q.shape == (0,)

    def test_log_prob_is_even(self, graph):
        mixed = MixedSampler(graph, [lambda g: UniformSampler(g, shared=True), InBatchSampler])
        even = [0.5 / 6 + 0.5 * degree / sum(DEGREE) for degree in DEGREE]
        assert mixed.log_prob(USERS, torch.arange(6)).exp().tolist() == pytest.approx(even)

    def test_blocks_are_not_mixed(self, graph):
        mixed = MixedSampler(graph, [InBatchSampler, lambda g: AllItemsSampler(g, block_size=2)])
        with pytest.raises(ValueError, match="cannot mix negatives in blocks: use AllItemsSampler without"):
            mixed(USERS, POSITIVES)

    def test_needs_a_sampler(self, graph):
        with pytest.raises(ValueError, match="at least one sampler"):
            MixedSampler(graph, [])


def test_a_positive_that_nobody_had_in_training_has_a_finite_proposal(make_graph):
    for shared in (True, False):
        drawn = PopularitySampler(make_graph([[0, 1], [1]], 4), shared=shared)(USERS[:2], torch.tensor([3, 3]))
        assert drawn.pos_log_q.isfinite().all()


@pytest.mark.parametrize(
    "make",
    [
        PopularitySampler,
        LogUniformSampler,
        InBatchSampler,
        lambda graph: MixedSampler(graph, [lambda g: UniformSampler(g, shared=True)]),
    ],
    ids=["popularity", "log-uniform", "in batch", "mixed"],
)
def test_positives_that_have_a_proposal_are_one_per_user(graph, make):
    with pytest.raises(ValueError, match=r"needs one positive per user \(got 5 for 1 users\)"):
        make(graph)(USERS[:1], POSITIVES, generator())


@pytest.mark.parametrize(
    "make",
    [UniformSampler, PopularitySampler, LogUniformSampler, AllItemsSampler, InBatchSampler],
)
def test_buffers_stay_out_of_checkpoints_and_follow_the_device(graph, make):
    sampler = make(graph)
    assert not sampler.state_dict()
    assert all(buffer.device.type == "meta" for buffer in sampler.to("meta").buffers())


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize(
    "make",
    [
        partial(UniformSampler, num_negatives=50),
        partial(PopularitySampler, num_negatives=50),
        InBatchSampler,
        partial(MixedSampler, samplers=[partial(LogUniformSampler, num_negatives=50), UniformSampler]),
    ],
    ids=["uniform", "popularity", "in batch", "mixed"],
)
def test_draws_and_their_probabilities_keep_their_precision_within_a_module_of_less(graph, make, kind):
    sampler = make(graph)
    exact = sampler(USERS, POSITIVES, generator())
    torch.nn.ModuleList([sampler]).to(kind)
    found = sampler(USERS, POSITIVES, generator())
    assert torch.equal(found.item, exact.item)
    for one, other in (
        (found.log_q, exact.log_q),
        (sampler.log_prob(USERS, USERS[None]), make(graph).log_prob(USERS, USERS[None])),
    ):
        assert one is other is None or torch.equal(one, other)


ALL = [AllItemsSampler, InBatchSampler, LogUniformSampler, PopularitySampler, UniformSampler]


@pytest.mark.parametrize("make", ALL)
@pytest.mark.parametrize(("kind", "pairs"), [("user", [[0, 3], [0, 1]]), ("item", [[0], [9]]), ("item", [[0], [-1]])])
def test_edges_that_cannot_be_are_a_sentence(make, kind, pairs):
    graph = HeteroData({"user": {"num_nodes": 3}, "item": {"num_nodes": 9}})
    graph["user", "interacts", "item"].edge_index = torch.tensor(pairs)
    with pytest.raises(
        ValueError, match=rf"must name each {kind} by a number in \[0, {graph[kind].num_nodes}\) \(got "
    ):
        make(graph)


@pytest.mark.parametrize("make", ALL)
def test_turned_edges_are_a_sentence(make):
    graph = HeteroData({"user": {"num_nodes": 3}, "item": {"num_nodes": 9}})
    graph["user", "interacts", "item"].edge_index = torch.tensor([[0, 3], [1, 4], [2, 5]])
    with pytest.raises(ValueError, match=r"must be \[2, num_edges\], users above items \(got \[3, 2\]\)"):
        make(graph)


@pytest.mark.parametrize("make", ALL)
def test_a_graph_with_other_names_is_a_sentence(make):
    other = HeteroData({"customer": {"num_nodes": 2}, "film": {"num_nodes": 2}})
    other["customer", "rates", "film"].edge_index = torch.tensor([[0, 1], [0, 1]])
    with pytest.raises(ValueError, match=r"must have edges \('user', 'interacts', 'item'\).*'rates', 'film'"):
        make(other)
