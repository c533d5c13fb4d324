"""The parts of a batch against the whole: loss terms, gradients, and who gets what; it takes no processes."""

from dataclasses import replace

import pytest
import torch

from graphmi.data import InteractionLoader, LeaveOneOut, PrefixLoader, TargetLoader, UserLoader, planted
from graphmi.losses import (
    AlignmentUniformity,
    EmbeddingNorm,
    InterestRepulsion,
    MultiInterestLoss,
    RoutingVariance,
    SampledSoftmaxLoss,
)
from graphmi.losses.base import Loss, SumLoss
from graphmi.models import InterestGCN, SequenceModel
from graphmi.nn import ArgmaxSelector, LogSumExpReadout, SelectReadout
from graphmi.samplers import AllItemsSampler, InBatchSampler, LogUniformSampler, MixedSampler, UniformSampler
from graphmi.sharding import owners, shard, shares
from graphmi.typing import Batch

DATA = LeaveOneOut()(planted(num_users=40, num_items=60, interactions_per_user=12))
GRAPH = DATA.graph()
LOADERS = {
    "pairs": lambda: InteractionLoader(DATA.train, batch_size=17),
    "users": lambda: UserLoader(DATA.train, users_per_batch=7),
    "targets": lambda: TargetLoader(DATA.train, batch_size=11, max_length=6),
    "prefixes": lambda: PrefixLoader(DATA.train, batch_size=60, max_length=6, stride=3),
}
SAMPLERS = {
    "own": lambda: UniformSampler(GRAPH, 5),
    "shared": lambda: UniformSampler(GRAPH, 9, shared=True),
    "with log_q": lambda: LogUniformSampler(GRAPH, 5),
    "in batch": lambda: InBatchSampler(GRAPH),
    "mixed": lambda: MixedSampler(GRAPH, [InBatchSampler, lambda graph: UniformSampler(graph, 5)]),
    "all": lambda: AllItemsSampler(GRAPH),
    "all in blocks": lambda: AllItemsSampler(GRAPH, block_size=16),
}
ONE_POSITIVE_EACH = {"with log_q", "in batch", "mixed"}
CASES = [(kind, name) for kind in LOADERS for name in SAMPLERS if kind != "users" or name not in ONE_POSITIVE_EACH]


def batch_of(kind):
    """The last batch of an epoch, which is a small one."""
    loader = LOADERS[kind]()
    loader.generator = torch.Generator().manual_seed(3)
    return list(loader)[-1]


def model_and_loss(kind):
    torch.manual_seed(0)
    balance = 0.7 if kind in ("users", "prefixes") else 0.0
    regularizers = [(0.1, EmbeddingNorm()), (0.2, InterestRepulsion())]
    if kind in ("pairs", "users"):
        model = InterestGCN(GRAPH, num_interests=3, embedding_dim=8, num_layers=1)
    else:
        model = SequenceModel(GRAPH, embedding_dim=8, max_length=6)
        regularizers += [(0.3, RoutingVariance()), (0.4, RoutingVariance(reduction="sum"))]
    first = MultiInterestLoss(
        SelectReadout(ArgmaxSelector(), anchor="positive"), SampledSoftmaxLoss(), None, regularizers, balance
    )
    second = MultiInterestLoss(LogSumExpReadout(), SampledSoftmaxLoss(), regularizers=[(0.5, EmbeddingNorm())])
    return model.double(), SumLoss([first, second])


def terms_and_gradients(model, loss, batch, negatives, share=None):
    model.zero_grad()
    terms = loss.terms(model(batch), batch.positive, negatives, batch.row, owners(batch))
    terms = {name: term * (1.0 if share is None else share[name]) for name, term in terms.items()}
    sum(terms.values()).backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    return {name: term.detach() for name, term in terms.items()}, gradients


@pytest.mark.parametrize("world", [1, 2, 3, 64])
@pytest.mark.parametrize(("kind", "sampler"), CASES)
def test_parts_add_up_to_the_whole(kind, sampler, world):
    batch, (model, loss) = batch_of(kind), model_and_loss(kind)
    negatives = SAMPLERS[sampler]()(batch.user, batch.positive, torch.Generator().manual_seed(1))
    expected = terms_and_gradients(model, loss, batch, negatives)
    terms, gradients = {}, {}
    for rank in range(world):
        part = shard(batch, rank, world)
        found = terms_and_gradients(
            model, loss, part.batch, negatives.take(part.row), shares(loss, batch, part)
        )  # of a part that does not count too: all processes have the same parameters with gradients
        assert found[1].keys() == expected[1].keys()
        for total, values in zip((terms, gradients), found, strict=True):
            for name, value in values.items():
                total[name] = total.get(name, 0) + value
    assert len(expected[0]) > 3
    torch.testing.assert_close((terms, gradients), expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("world", [2, 3, 64])
@pytest.mark.parametrize("kind", LOADERS)
def test_parts_are_a_partition(kind, world):
    batch = batch_of(kind)
    parts = [part for part in (shard(batch, rank, world) for rank in range(world)) if part.counts]
    rows = torch.cat([part.row for part in parts])
    assert rows.sort().values.tolist() == list(range(len(batch.user)))
    assert sorted(triple for part in parts for triple in triples(part.batch)) == sorted(triples(batch))
    if kind == "prefixes":  # whole users, each history once
        assert sum(len(part.batch.history) for part in parts) == len(batch.history)
        users = [set(part.batch.user.tolist()) for part in parts]
        assert sum(map(len, users)) == len(set(batch.user.tolist()))
    else:
        sizes = [len(part.row) for part in parts]
        assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("world", [1, 2, 3, 64])
def test_users_without_a_positive_are_nobodys(world):
    row = torch.tensor([4, 1, 4, 1, 4])
    batch = Batch(user=torch.arange(6), positive=torch.tensor([3, 5, 7, 9, 11]), row=row)
    model, loss = model_and_loss("users")
    negatives = SAMPLERS["own"]()(batch.user, batch.positive, torch.Generator().manual_seed(1))
    total = {}
    for part in (shard(batch, rank, world) for rank in range(world)):
        assert part.counts or part.row.tolist() == [1]
        share = shares(loss, batch, part)
        for name, term in terms_and_gradients(model, loss, part.batch, negatives.take(part.row), share)[0].items():
            total[name] = total.get(name, 0) + term
    torch.testing.assert_close(total, terms_and_gradients(model, loss, batch, negatives)[0], rtol=1e-11, atol=1e-11)


def triples(batch):
    """User, positive and what is read before it, for each positive."""
    row = torch.arange(len(batch.user)) if batch.row is None else batch.row
    found = []
    for index, positive in enumerate(batch.positive.tolist()):
        read = ()
        if batch.history is not None and batch.prefix is None:
            read = tuple(batch.history[index][batch.mask[index]].tolist())
        elif batch.prefix is not None:
            sequence, last = divmod(int(batch.prefix[index]), batch.history.size(1))
            assert batch.mask[sequence, last]
            read = tuple(batch.history[sequence, : last + 1].tolist())
        found.append((int(batch.user[row[index]]), positive, read))
    return found


def test_targets_of_prefixes_are_shared_out_evenly():
    batch = next(iter(PrefixLoader(DATA.train, batch_size=300, max_length=6, stride=3)))
    sizes = [len(shard(batch, rank, 3).row) for rank in range(3)]
    assert sum(sizes) == len(batch.user)
    assert max(sizes) - min(sizes) <= 2 * 9  # a user has nine targets
    for most in (6, 7):  # of twelve
        user, history = torch.tensor([0] * most + [*range(1, 13 - most)]), torch.zeros(7, 6, dtype=torch.int64)
        one_has_half = Batch(user, positive=user, history=history, mask=history == 0, prefix=6 * user)
        assert [len(shard(one_has_half, rank, 2).row) for rank in range(2)] == [most, 12 - most]


def test_who_gets_nothing_has_a_share_of_nothing():
    batch = Batch(user=torch.tensor([4]), positive=torch.tensor([2]))
    first, second = (shard(batch, rank, 2) for rank in range(2))
    _, loss = model_and_loss("pairs")
    assert first.counts
    assert not second.counts
    assert len(second.batch.user) == 1
    assert set(shares(loss, batch, first).values()) == {1.0}
    assert set(shares(loss, batch, second).values()) == {0.0}


def test_terms_that_are_no_sums_are_refused():
    batch = batch_of("pairs")
    unknown = replace(batch, positive=None)
    with pytest.raises(ValueError, match="a training batch needs positives"):
        shares(model_and_loss("pairs")[1], unknown, shard(unknown, 0, 2))
    loss = MultiInterestLoss(SelectReadout(), SampledSoftmaxLoss(), regularizers=[(1.0, AlignmentUniformity())])
    with pytest.raises(ValueError, match=r"AlignmentUniformity compares all examples .* train in one process"):
        shares(loss, batch, shard(batch, 0, 2))
    loss = MultiInterestLoss(SelectReadout(), SampledSoftmaxLoss(), regularizers=[(1.0, AlignmentUniformity(0.0))])
    assert shares(loss, batch, shard(batch, 0, 1))["AlignmentUniformity"] == 1.0


@pytest.mark.parametrize("kind", ["pairs", "targets"])
def test_single_positives_belong_to_no_whole_user(kind):
    batch = batch_of(kind)
    loss = MultiInterestLoss(SelectReadout(), SampledSoftmaxLoss(), user_balance=0.5)
    with pytest.raises(ValueError, match="weighs the positives of whole users"):
        shares(loss, batch, shard(batch, 0, 2))


def test_a_loss_that_does_not_say_how_it_adds_up_is_refused():
    class Silent(Loss):
        def terms(self, out, positive, negatives, row=None, user=None):
            return {"silent": out.interests.sum()}

    batch = batch_of("pairs")
    with pytest.raises(ValueError, match="Silent does not say what its terms are means over"):
        shares(Silent(), batch, shard(batch, 0, 2))


def test_negatives_take_rows():
    batch = batch_of("targets")
    negatives = SAMPLERS["with log_q"]()(batch.user, batch.positive, torch.Generator().manual_seed(1))
    row = torch.tensor([3, 0])
    taken = replace(negatives, valid=torch.ones_like(negatives.item, dtype=torch.bool)).take(row)
    for name in ("item", "log_q", "pos_log_q"):
        assert torch.equal(getattr(taken, name), getattr(negatives, name)[row])
    assert taken.valid.shape == taken.item.shape
