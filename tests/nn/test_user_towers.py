from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch_geometric.data import HeteroData

from graphmi.config import read_config
from graphmi.nn import (
    DynamicRoutingExtractor,
    GRUEncoder,
    LastPosition,
    MeanPooling,
    SelfAttentiveExtractor,
    TransformerEncoder,
    UserTowers,
)

DIM, LENGTH = 4, 6


def one_attention(embedding_dim, max_length):
    return SelfAttentiveExtractor(embedding_dim, max_length, num_interests=1)


def one_capsule(embedding_dim, max_length):
    return DynamicRoutingExtractor(embedding_dim, max_length, num_interests=1)


BODIES = {
    "mean": {},
    "attention": {"extractor": one_attention},
    "recurrent": {"encoder": GRUEncoder, "extractor": LastPosition},
    "transformer": {"encoder": TransformerEncoder, "extractor": LastPosition},
    "capsule": {"extractor": one_capsule},
    "recurrent attention": {"encoder": GRUEncoder, "extractor": one_attention},
}


def build(body="mean", max_length=LENGTH, **options):
    torch.manual_seed(0)
    return UserTowers(DIM, max_length, **{**BODIES[body], **options}).double().eval()


def histories(*lengths, length=LENGTH):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(len(lengths), length, DIM, dtype=torch.float64, generator=generator)
    mask = torch.arange(length) < torch.tensor(lengths).unsqueeze(1)
    return x * mask.unsqueeze(-1), mask


def body_of(name, tower, items):
    """What stands under the network of a tower, for the items of one history, by torch's own means."""
    if name == "mean":
        return items.mean(0)
    if name == "attention":
        extractor = tower.extractor
        known = items + extractor.position.weight[: len(items)]
        weights = (extractor.attention.weight @ (extractor.hidden.weight @ known.T).tanh()).softmax(-1)
        return (weights @ items)[0]
    _, last = tower.encoder.gru(items.unsqueeze(0))
    return last[-1, 0]


@pytest.mark.parametrize("body", ["mean", "attention", "recurrent"])
def test_equals_tower_by_tower(body):
    towers = build(body, hidden_dim=7)
    x, mask = histories(6, 1, 3)
    found = towers(x, mask).interests
    assert found.shape == (3, 4, DIM)
    for row, n in enumerate((6, 1, 3)):
        for k, tower in enumerate(towers.towers):
            first, _, second = tower.network
            assert first.weight.shape == (7, DIM)
            hidden = F.linear(body_of(body, tower, x[row, :n]), first.weight, first.bias).relu()
            torch.testing.assert_close(found[row, k], F.linear(hidden, second.weight, second.bias))


@pytest.mark.parametrize("body", BODIES)
class TestContract:
    def test_padding_changes_nothing(self, body):
        towers = build(body, max_length=9)
        x, mask = histories(0, 1, 4, 6)
        found = towers(x, mask)
        longer = torch.cat([x.where(mask.unsqueeze(-1), 9.0), torch.full((4, 3, DIM), -9.0)], dim=1)
        padded = towers(longer.double(), torch.cat([mask, torch.zeros(4, 3, dtype=torch.bool)], dim=1))
        torch.testing.assert_close(padded.interests, found.interests)
        if found.routing is not None:
            torch.testing.assert_close(padded.routing[..., :6], found.routing)
            assert (padded.routing[..., 6:] == 0).all()

    def test_an_empty_history_is_zero(self, body):
        towers = build(body)
        x, mask = histories(0, 2)
        found = towers(x.requires_grad_(), mask)
        assert (found.interests[0] == 0).all()
        assert (found.interests[1] != 0).any(-1).all()
        found.interests.sum().backward()
        assert x.grad.isfinite().all()
        assert (x.grad[0] == 0).all()
        for parameter in towers.parameters():
            assert parameter.grad is None or parameter.grad.isfinite().all()

    def test_rows_do_not_know_one_another(self, body):
        towers = build(body)
        x, mask = histories(4, 1, 6)
        found = towers(x, mask).interests
        for row in range(3):
            alone = towers(x[row : row + 1], mask[row : row + 1]).interests
            torch.testing.assert_close(alone[0], found[row])

    def test_prefixes_are_each_beginning_alone(self, body):
        towers = build(body)
        x, mask = histories(6, 4)
        found = towers.prefixes(x, mask, torch.tensor([3, 0, 5, 6 + 2]))
        for row, part in enumerate((x[0, :4], x[0, :1], x[0], x[1, :3])):
            alone = towers(part.unsqueeze(0), torch.ones(1, len(part), dtype=torch.bool))
            torch.testing.assert_close(found.interests[row], alone.interests[0])
            if found.routing_variance is not None:
                centred = alone.routing[0] - 1 / len(part) * alone.routing[0].sum(-1, keepdim=True)
                torch.testing.assert_close(found.routing_variance[row], centred.square().sum(-1))

    def test_towers_share_nothing(self, body):
        towers = build(body)
        x, mask = histories(6, 3)
        for k, tower in enumerate(towers.towers):
            towers.zero_grad()
            towers(x, mask).interests[:, k].square().sum().backward()
            touched = [any(p.grad is not None and p.grad.any() for p in other.parameters()) for other in towers.towers]
            assert touched == [other is tower for other in towers.towers]

    def test_towers_start_apart(self, body):
        interests = build(body)(*histories(5)).interests[0]
        assert torch.pdist(interests).min() > 1e-3


@pytest.mark.parametrize("body", ["mean", "attention", "recurrent", "transformer"])
def test_prefixes_take_one_pass(body, monkeypatch):
    towers = build(body, num_interests=3)
    seen = []
    for tower in towers.towers:
        monkeypatch.setattr(tower.extractor, "extract", None)  # the fallback of extractors without a way of their own
        tower.encoder.register_forward_hook(lambda module, args, out: seen.append(len(args[0])))
    x, mask = histories(6, 6)
    assert towers.prefixes(x, mask, torch.arange(12)).interests.shape == (12, 3, DIM)
    assert seen == [2] * (1 if body == "mean" else 3)  # the mean is that of all towers


@pytest.mark.parametrize("body", ["recurrent", "transformer", "attention"])
def test_a_single_tower_without_network_is_its_body(body):
    towers = build(body, num_interests=1, hidden_dim=0)
    x, mask = histories(6, 2)
    (tower,) = towers.towers
    wanted = tower.extractor(tower.encoder(x, mask), mask)
    assert torch.equal(towers(x, mask).interests, wanted.interests)


def test_routing_of_all_towers_side_by_side():
    towers = build("attention", num_interests=3)
    x, mask = histories(6, 2, 0)
    routing = towers(x, mask).routing
    assert routing.shape == (3, 3, LENGTH)
    for k, tower in enumerate(towers.towers):
        assert torch.equal(routing[:, k : k + 1], tower.extractor(x, mask).routing)
    assert build("recurrent")(x, mask).routing is None
    assert build("capsule", num_interests=3)(x, mask).interest_mask.tolist() == [[True] * 3] * 3


@pytest.mark.parametrize("extractor", [MeanPooling, LastPosition])
def test_what_all_towers_read_is_read_once(monkeypatch, extractor):
    calls, original = [], extractor.extract
    monkeypatch.setattr(extractor, "extract", lambda self, *args: calls.append(self) or original(self, *args))
    towers = UserTowers(DIM, LENGTH, extractor=extractor).double()
    x, mask = histories(6, 2, 0)
    found = towers(x, mask).interests
    assert len(calls) == 1
    for k, tower in enumerate(towers.towers):
        mean = tower.network(original(tower.extractor, x, mask).interests) * mask.any(1).view(-1, 1, 1)
        torch.testing.assert_close(found[:, k : k + 1], mean)
    UserTowers(DIM, LENGTH, extractor=lambda dim, length: MeanPooling(dim, length, hidden_dim=3)).double()(x, mask)
    assert len(calls) == (5 if extractor is MeanPooling else 1)


@pytest.mark.parametrize(
    "bodies", [(LastPosition, MeanPooling), (MeanPooling, one_attention), (one_attention, MeanPooling)]
)
def test_each_tower_has_its_own_body(bodies):
    towers = UserTowers(DIM, LENGTH, 2, extractor=lambda *sizes, left=list(bodies): left.pop(0)(*sizes)).double()
    x, mask = histories(6, 2)
    found = towers(x, mask)
    for k, tower in enumerate(towers.towers):
        wanted = tower.network(tower.extractor(x, mask).interests)
        torch.testing.assert_close(found.interests[:, k : k + 1], wanted)
    assert (found.routing is None) == (LastPosition in bodies)  # what a tower does not know, nobody does


def test_sets_are_histories_of_any_size():
    towers = build("attention", max_length=None)
    x, mask = histories(3, 0, 6)
    index = torch.arange(3).repeat_interleave(mask.sum(1))
    found = towers(x[mask].flip(0), index.flip(0), dim_size=3)
    torch.testing.assert_close(found.interests, towers(x, mask).interests)


def test_is_made_from_nested_configuration():
    text = """
    data: planted
    model:
      class_path: SequenceModel
      init_args:
        embedding_dim: 4
        extractor:
          class_path: UserTowers
          init_args:
            num_interests: 2
            encoder: {class_path: GRUEncoder, init_args: {num_layers: 2}}
            extractor: LastPosition
    """
    config = read_config(text, arguments=["--model.extractor.hidden_dim=7"])
    graph = HeteroData({"user": {"num_nodes": 1}, "item": {"num_nodes": 3}})
    for again in (config, read_config(config.text())):
        towers = again.experiment().model(graph).extractor.towers
        assert [tower.encoder.gru.num_layers for tower in towers] == [2, 2]
        assert [type(tower.extractor) for tower in towers] == [LastPosition] * 2
        assert [tower.network[0].out_features for tower in towers] == [7, 7]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_interests": 0}, "'num_interests' must be at least 1 .got 0"),
        ({"embedding_dim": 0}, "'embedding_dim' must be at least 1 .got 0"),
        ({"hidden_dim": -1}, "'hidden_dim' must be at least 0 .got -1"),
        ({"hidden_dim": 0}, "towers without parameters are all alike"),
        ({"extractor": partial(SelfAttentiveExtractor, num_interests=2)}, "give SelfAttentiveExtractor one .got 2"),
    ],
)
def test_impossible_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        UserTowers(**{"embedding_dim": DIM, **options})


def test_one_tower_may_be_the_mean_itself():
    x, mask = histories(4, 1)
    assert torch.equal(build(num_interests=1, hidden_dim=0)(x, mask).interests, MeanPooling()(x, mask).interests)
