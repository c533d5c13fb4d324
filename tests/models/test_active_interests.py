"""How many interests a user keeps, and that the others count nowhere."""

import math

import pytest
import torch
from torch_geometric.data import HeteroData

from graphmi.losses import BPRLoss, MultiInterestLoss
from graphmi.models import InterestGCN
from graphmi.models.active import active_interests
from graphmi.nn.readout import SelectReadout
from graphmi.retrieval import rank
from graphmi.typing import Batch, Negatives


def world(num_users=6, num_items=9):
    """A graph whose last user is isolated."""
    keys = torch.randperm((num_users - 1) * num_items, generator=torch.Generator().manual_seed(0))[:24]
    graph = HeteroData({"user": {"num_nodes": num_users}, "item": {"num_nodes": num_items}})
    graph["user", "interacts", "item"].edge_index = torch.stack([keys // num_items, keys % num_items])
    return graph


def build(dynamic_interests=True, **options):
    """A model whose attention is far from uniform, so that users keep different numbers of interests."""
    torch.manual_seed(0)
    options = {"num_interests": 4, "embedding_dim": 6, "num_layers": 2, "temperature": 0.2} | options
    return InterestGCN(world(), dynamic_interests=dynamic_interests, **options).double()


ALL = Batch(user=torch.arange(6))


def layers(*lengths):
    """The virtual interests of one node, axis-parallel with these lengths, above a center that is not looked at."""
    return [torch.full((1, len(lengths), 4), 5.0), torch.diag(torch.tensor(lengths))[:, :4].unsqueeze(0)]


@pytest.mark.parametrize(
    ("lengths", "kept"),
    [
        ((1.0, 1.0, 1.0, 1.0), [True] * 4),
        ((0.0, 0.0, 3.0, 0.0), [False, False, True, False]),
        ((2.0, 0.0, 2.0, 0.0), [True, False, True, False]),
        ((8.0, 1.0, 8.0, 1.0), [True, True, True, False]),  # exp(entropy) = 2.84; of equal ones the first
        ((0.0, 0.0, 0.0, 0.0), [True, False, False, False]),
    ],
)
def test_as_many_as_the_exponential_of_the_entropy(lengths, kept):
    shares = [length / sum(lengths) for length in lengths if length]
    number = math.exp(-sum(share * math.log(share) for share in shares))
    assert sum(kept) == round(number)
    assert active_interests(layers(*lengths), torch.tensor([0])).tolist() == [kept]


def test_lengths_beyond_half_precision_count():
    halves = [layer.half() for layer in layers(4e4, 0.0, 4e4, 4e4)]  # a mass of 120,000, and there is none over 65,504
    assert active_interests(halves, torch.tensor([0])).tolist() == [[True, False, True, True]]


def test_the_longest_of_all_layers_together_stay():
    model = build()
    kept = model(ALL).interest_mask
    virtuals = [layer.detach() for layer in model.propagate()[0]]
    for user in range(6):
        mass = [float((virtuals[1][user, k] + virtuals[2][user, k]).norm()) for k in range(4)]
        longest = sorted(range(4), key=lambda k: -mass[k])[: int(kept[user].sum())]
        assert sorted(longest) == kept[user].nonzero().flatten().tolist()
    assert 1 <= int(kept.sum(1).min()) < int(kept[:-1].sum(1).max()) <= 4
    assert kept[-1].tolist() == [True, False, False, False]  # no neighbours


@pytest.mark.parametrize("score", ["user_virtual", "pair_max", "symmetric"])
def test_what_is_inactive_reaches_neither_ranking_nor_loss(score):
    model = build(score=score)
    out = model(ALL)
    items = out.items.unflatten(1, (-1, out.interests.size(-1)))
    pairs = torch.einsum("ukd,ijd->ukij", out.interests, items).amax(-1)
    best = torch.stack([pairs[user, out.interest_mask[user]].amax(0) for user in range(6)])  # [users, items]
    assert not torch.allclose(best, pairs.amax(1))
    _, ids = rank(out.interests, out.items, 9, interest_mask=out.interest_mask)
    torch.testing.assert_close(best.gather(1, ids), best.sort(descending=True).values)
    positive, negative = torch.tensor([0, 1, 2, 3, 4, 5]), torch.tensor([[6], [7], [8], [0], [1], [2]])
    loss = MultiInterestLoss(SelectReadout(anchor="candidate"), BPRLoss())(out, positive, Negatives(negative))
    expected = torch.nn.functional.softplus(best.gather(1, negative) - best.gather(1, positive.unsqueeze(1))).mean()
    torch.testing.assert_close(loss, expected)
    out.interests.retain_grad()
    loss.backward()
    assert not out.interests.grad[~out.interest_mask].any()
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())
    assert model.embedding.weight.grad.any(1).all()


def test_equals_a_fixed_number_where_all_are_kept():
    dynamic, fixed = (build(value, attention="sigmoid", temperature=1e6) for value in (True, False))  # all alike
    out, expected = dynamic(ALL), fixed(ALL)
    assert out.interest_mask[:-1].all()
    assert expected.interest_mask is None
    torch.testing.assert_close(out.interests, expected.interests)
    torch.testing.assert_close(out.items, expected.items)


def test_without_layers_or_with_one_vector_there_is_nothing_to_choose():
    assert build(num_layers=0)(ALL).interest_mask.tolist() == [[True, False, False, False]] * 6
    assert build(score="center")(ALL).interest_mask is None
    assert build(num_interests=1)(ALL).interest_mask.tolist() == [[True]] * 6


def test_rows_of_a_batch_are_those_of_their_users():
    model, whole = build(), build()(ALL).interest_mask
    user = torch.tensor([3, 5, 0, 3] * 10)  # more than there are nodes
    assert model(Batch(user=user)).interest_mask.equal(whole[user])


def test_all_neighbours_drawn_keep_what_the_graph_keeps():
    drawn = build(num_neighbors=-1)
    user = torch.tensor([4, 0, 5, 4, 2])
    assert drawn.train()(Batch(user=user)).interest_mask.equal(drawn.eval()(Batch(user=user)).interest_mask)
