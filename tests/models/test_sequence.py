"""Models of histories: the same from a prefix as from its items alone, and what they refuse."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from graphmi.config import experiment, read_config
from graphmi.data import Histories, PrefixLoader, TargetLoader, planted, to_graph
from graphmi.losses import RoutingVariance
from graphmi.models import SequenceModel
from graphmi.nn import (
    DynamicRoutingExtractor,
    Encoder,
    Extractor,
    GRUEncoder,
    IdentityEncoder,
    Interests,
    ItemTower,
    LastPosition,
    LastQueryExtractor,
    MeanPooling,
    RecentPositions,
    SelfAttentiveExtractor,
    TransformerEncoder,
    UserTowers,
)
from graphmi.presets import backbone_names, backbone_text, preset_names, preset_text
from graphmi.retrieval import rank
from graphmi.typing import Batch, Negatives
from graphmi.usage import UsageError

DATA = "planted:num_users=40,num_items=60,interactions_per_user=8"
SEQUENCE = [name for name in preset_names() if "class_path: SequenceModel" in preset_text(name)]


@pytest.fixture(scope="module")
def world():
    return planted(num_users=30, num_items=50, interactions_per_user=9)


def small(preset, **options):
    return experiment(preset, DATA, replicates=0, trainer__epochs=1, trainer__accelerator="cpu", **options)


def test_there_is_a_preset_for_each_paper():
    papers = "comirec-sa comirec-dr mind sasrec gsasrec gru4rec youtube-dnn remi bam bam-linear bam-long mtmi"
    assert set(papers.split()) <= set(SEQUENCE)


@pytest.mark.parametrize("preset", SEQUENCE)
def test_a_prefix_gives_what_its_items_alone_give(preset):
    one = small(preset, model__max_length=4)
    dataset = one.dataset()
    model = one.build(dataset).eval()
    loader = PrefixLoader(dataset.train, batch_size=50, max_length=4, generator=torch.Generator().manual_seed(0))
    batch = next(iter(loader))
    out = model(batch)
    row, last = batch.prefix // batch.history.size(1), batch.prefix % batch.history.size(1)
    assert len(out.interests) == len(batch.positive) > 30
    for index in range(len(batch.positive)):
        alone = batch.history[row[index], : last[index] + 1].unsqueeze(0)
        user = batch.user[index].unsqueeze(0)
        expected = model(Batch(user=user, history=alone, mask=torch.ones_like(alone, dtype=torch.bool)))
        torch.testing.assert_close(out.interests[index], expected.interests[0], rtol=1e-4, atol=1e-5)
        if out.interest_mask is not None:
            assert torch.equal(out.interest_mask[index], expected.interest_mask[0])


class Own(Extractor):
    """An extractor of somebody else: it knows of histories alone, and gives its routing weights."""

    num_interests = 2

    def __init__(self, embedding_dim, max_length):
        super().__init__()
        self.key = torch.nn.Linear(embedding_dim, 2)

    def extract(self, x, mask):
        weights = self.key(x).transpose(1, 2).masked_fill(~mask.unsqueeze(1), -1e9).softmax(-1)
        weights = weights * mask.unsqueeze(1)  # nothing of a history that is empty
        return Interests(weights @ x, weights)


class OwnAttention(SelfAttentiveExtractor):
    """An extractor of graphmi, a part of which is replaced, so that its ways of one pass are left."""

    def extract(self, x, mask):
        return super().extract(x, mask)


@pytest.mark.parametrize(
    "extractor", [SelfAttentiveExtractor, OwnAttention, Own, LastQueryExtractor, DynamicRoutingExtractor, MeanPooling]
)
def test_padding_is_no_part_of_the_routing_variance_of_a_prefix(world, extractor):
    model = SequenceModel(to_graph(world), 8, 9, extractor=extractor).double().eval()
    batch = next(iter(PrefixLoader(world, batch_size=50, max_length=9, generator=torch.Generator().manual_seed(0))))
    row, last = batch.prefix // batch.history.size(1), batch.prefix % batch.history.size(1)
    assert last.min() < 2
    assert last.max() > 6

    def penalty(batch):
        with torch.no_grad():
            return RoutingVariance()(model(batch), batch.positive, Negatives(batch.positive))

    alone = [
        penalty(Batch(batch.user[:1], batch.positive[:1], history=history, mask=torch.ones_like(history, dtype=bool)))
        for history in (batch.history[r, : n + 1].unsqueeze(0) for r, n in zip(row, last, strict=True))
    ]
    torch.testing.assert_close(penalty(batch), torch.stack(alone).mean())


ENCODERS = [IdentityEncoder, GRUEncoder, partial(TransformerEncoder, num_heads=2)]
EXTRACTORS = [
    SelfAttentiveExtractor,
    LastQueryExtractor,
    RecentPositions,
    DynamicRoutingExtractor,
    MeanPooling,
    LastPosition,
    UserTowers,
    partial(UserTowers, encoder=GRUEncoder, extractor=LastPosition),
    Own,
]


@settings(max_examples=150, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 9), min_size=1, max_size=6),
    encoder=st.sampled_from(ENCODERS),
    extractor=st.sampled_from(EXTRACTORS),
    normalize=st.booleans(),
    seed=st.integers(0, 10**6),
)
def test_histories_and_their_beginnings_are_read_as_if_they_were_alone(
    world, lengths, encoder, extractor, normalize, seed
):
    torch.manual_seed(seed)
    model = SequenceModel(to_graph(world), 8, 9, encoder=encoder, extractor=extractor, normalize=normalize)
    model = model.double().eval()
    length = max(1, *lengths)
    mask = torch.arange(length) < torch.tensor(lengths).unsqueeze(1)
    history = torch.randint(50, mask.shape).masked_fill(~mask, 0)

    def read(row, size):
        part = history[row : row + 1, : max(size, 1)]
        return model(Batch(torch.zeros(1).long(), history=part, mask=mask[row : row + 1, : max(size, 1)]))

    def assert_same(out, alone):
        torch.testing.assert_close(out.interests, torch.cat([each.interests for each in alone]))
        if out.interest_mask is not None:
            assert out.interest_mask.equal(torch.cat([each.interest_mask for each in alone]))

    users = torch.zeros(len(lengths)).long()
    assert_same(model(Batch(users, history=history, mask=mask)), [read(row, size) for row, size in enumerate(lengths)])
    prefix = mask.flatten().nonzero().squeeze(1)
    prefix = prefix[torch.randperm(len(prefix))[:7]]  # in any order
    if len(prefix):
        beginnings = Batch(torch.zeros(len(prefix)).long(), history=history, mask=mask, prefix=prefix)
        assert_same(model(beginnings), [read(index // length, index % length + 1) for index in prefix.tolist()])


@pytest.mark.parametrize("preset", SEQUENCE)
def test_users_who_have_no_history_yet_are_finite(preset):
    model = small(preset).build(small(preset).dataset()).eval()
    mask = torch.tensor([[False, False], [True, False]])
    out = model(Batch(user=torch.arange(2), history=torch.tensor([[0, 0], [3, 0]]), mask=mask))
    assert out.interests.isfinite().all()


@pytest.mark.parametrize("backbone", backbone_names())
@pytest.mark.parametrize("preset", ["bam", "bam-linear", "bam-long"])
def test_one_option_puts_another_backbone_under_a_preset(preset, backbone):
    one = small(preset, backbone=backbone)
    plain = small(preset)
    values = yaml.safe_load(backbone_text(backbone))["model"]["init_args"]["extractor"]
    model = one.build(one.dataset())
    assert type(model.extractor).__name__ == values["class_path"]
    assert all(getattr(model.extractor, k, v) == v for k, v in values["init_args"].items())
    assert type(one.loss.readout) is type(plain.loss.readout)  # the scheme stays
    assert (type(one.loss.weighting).__name__ == "HardNegativeWeighting") == (backbone == "remi")
    assert one.loss.weights == ([12800.0] if backbone == "remi" else [])
    assert one.train(one.dataset()).history.epochs == 1


def test_the_backbone_of_a_preset_changes_nothing_in_it():
    for preset, backbone in (("comirec-sa", "comirec-sa"), ("comirec-dr", "comirec-dr"), ("mind", "mind")):
        plain = read_config(preset_text(preset), arguments=["--data", DATA])
        same = read_config(preset_text(preset), backbone_text(backbone), arguments=["--data", DATA])
        assert plain.text() == same.text()
    remi = read_config(preset_text("remi"), arguments=["--data", DATA]).to_dict()
    over = read_config(preset_text("comirec-sa"), backbone_text("remi"), arguments=["--data", DATA]).to_dict()
    assert {**remi, "description": "", "paper": ""} == {**over, "description": "", "paper": ""}


def test_an_unknown_backbone_has_a_hint():
    with pytest.raises(UsageError, match=r"no backbone is named 'rem' \(did you mean remi"):
        small("bam", backbone="rem")


class Doubled(IdentityEncoder):
    def forward(self, x, mask):
        return 2 * x


@pytest.mark.parametrize("prefix", [None, torch.tensor([9, 0, 1])], ids=["histories", "beginnings"])
@pytest.mark.parametrize("encoder", [IdentityEncoder, Doubled])
def test_gives_what_the_extractor_finds_in_what_the_encoder_reads(world, encoder, prefix):
    model = SequenceModel(to_graph(world), 8, 5, encoder=encoder, extractor=DynamicRoutingExtractor).eval()
    history, _ = Histories(world).read(torch.arange(3), 5)
    mask = torch.arange(5) < torch.tensor([[5], [5], [2]])
    out = model(Batch(torch.arange(3), history=history, mask=mask, prefix=prefix))
    x = model.encoder(model.embedding(history), mask)
    found = model.extractor(x, mask) if prefix is None else model.extractor.prefixes(x, mask, prefix)
    torch.testing.assert_close((out.interests, out.routing), found[:2])
    assert out.interest_mask.equal(found.interest_mask)
    assert out.interest_mask.sum(1).tolist() == ([2, 2, 1] if prefix is None else [2, 1, 1])
    assert out.mask.sum(1).tolist() == ([5, 5, 2] if prefix is None else [5, 1, 2])


@pytest.mark.parametrize(("options", "std"), [({}, 64**-0.5), ({"init_std": 0.5}, 0.5)])
def test_item_vectors_start_with_length_one_unless_told_otherwise(world, options, std):
    weight = SequenceModel(to_graph(world), 64, **options).embedding.weight
    assert weight.std().item() == pytest.approx(std, rel=0.05)


def test_entries_of_what_is_read_are_dropped_in_training(world):
    model = SequenceModel(to_graph(world), 64, 5, extractor=LastPosition, dropout=0.25)
    history, mask = Histories(world).read(torch.arange(30), 5)
    batch = Batch(user=torch.arange(30), history=history, mask=mask)
    assert (model(batch).interests == 0).float().mean().item() == pytest.approx(0.25, abs=0.05)
    assert model.eval()(batch).interests.all()


def test_normalized_scores_are_cosines(world):
    model = SequenceModel(to_graph(world), 16, 5, normalize=True)
    history, mask = Histories(world).read(torch.arange(30), 5)
    out = model(Batch(user=torch.arange(30), history=history, mask=mask))
    torch.testing.assert_close(out.interests.norm(dim=-1), torch.ones(30, 4))
    torch.testing.assert_close(out.items.norm(dim=-1), torch.ones(50))
    assert out.ego_items is model.embedding.weight


def test_an_item_tower_makes_the_vectors_that_are_ranked(world):
    graph = to_graph(world)
    assert graph["item"].category.size(1) > 1
    model = SequenceModel(graph, 16, 5, item_tower=ItemTower, normalize=True).eval()
    history, mask = Histories(world).read(torch.arange(30), 5)
    out = model(Batch(user=torch.arange(30), history=history, mask=mask))
    joined = torch.cat([model.embedding.weight, graph["item"].category], dim=1)
    table = F.normalize(model.item_tower.output(model.item_tower.hidden(joined).relu()), dim=-1)
    torch.testing.assert_close(out.items[torch.arange(50)], table)
    scores = torch.einsum("bkd,nd->bkn", out.interests, table).amax(1)
    best = rank(out.interests, out.items, 3)[1]
    torch.testing.assert_close(scores.gather(1, best), scores.topk(3).values)
    without = SequenceModel(to_graph(world.compact()), 16, 5)
    assert without.features is None


def test_gradients_reach_every_parameter(world):
    graph = to_graph(world)
    model = SequenceModel(graph, 8, 5, encoder=TransformerEncoder, item_tower=ItemTower)
    batch = next(iter(TargetLoader(world, 30, max_length=5)))
    out = model(batch)
    (out.interests.square().sum() + out.items[batch.positive].square().sum()).backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.parameters())


def test_wrong_arguments_and_batches_are_sentences(world):
    graph = to_graph(world)
    for name, value in (("embedding_dim", 0), ("max_length", 0), ("dropout", 1.0), ("init_std", 0.0)):
        with pytest.raises(ValueError, match=f"'{name}' must be"):
            SequenceModel(graph, **{name: value})
    model = SequenceModel(graph, 8, 2, extractor=LastPosition)
    with pytest.raises(ValueError, match=r"reads histories, .* train on batches of a TargetLoader"):
        model(Batch(user=torch.arange(2)))
    history, mask = Histories(world).read(torch.arange(3), 3)
    with pytest.raises(ValueError, match=r"may have 2 items, 'max_length' \(got 3\)"):
        model(Batch(user=torch.arange(3), history=history, mask=mask))
    front = torch.tensor([[False, True]] * 3)
    with pytest.raises(ValueError, match="padding must follow the real positions"):
        model(Batch(user=torch.arange(3), history=history[:, :2], mask=front))
    with pytest.raises(ValueError, match=r"'mask' must be \[3, 2\], as 'history' \(got \[1, 2\]\)"):
        model(Batch(user=torch.arange(3), history=history[:, :2], mask=torch.ones(1, 2).bool()))


class ShortEncoder(Encoder):
    def __init__(self, embedding_dim: int, max_length: int | None) -> None:
        super().__init__()

    def forward(self, x, mask):
        return x[:, 1:]


def test_an_encoder_gives_as_many_vectors_as_it_reads(world):
    model = SequenceModel(to_graph(world), 8, 5, encoder=ShortEncoder)
    history, mask = Histories(world).read(torch.arange(3), 5)
    with pytest.raises(ValueError, match=r"ShortEncoder must give .*, \[3, 5, 8\] \(got \[3, 4, 8\]\)"):
        model(Batch(user=torch.arange(3), history=history, mask=mask))


class OwnExtractor(Extractor):
    def __init__(self, num_interests, wrong) -> None:
        super().__init__()
        self.num_interests, self.wrong = num_interests, wrong

    def extract(self, x, mask):
        routing = mask.unsqueeze(1).to(x).expand(-1, self.num_interests, -1)
        active = routing.sum(2) > 0
        return self.wrong(Interests(routing @ x, routing, active, routing.sum(2)))


@pytest.mark.parametrize("towers", [False, True])
@pytest.mark.parametrize(
    ("wrong", "got"),
    [
        (lambda found: found._replace(routing=found.routing.transpose(1, 2)), r"'routing' \[3, 5, \d\]"),
        (lambda found: found._replace(routing=found.routing[:, 0]), r"'routing' \[3, 5\]"),
        (lambda found: found._replace(routing=found.routing[:1]), r"'routing' \[1, \d, 5\]"),
        (lambda found: found._replace(routing=found.routing[..., :4]), r"'routing' \[3, \d, 4\]"),
        (lambda found: found._replace(interests=found.interests.transpose(1, 2)), r"'interests' \[3, 8, \d\]"),
        (lambda found: found._replace(interests=found.interests[:, 0]), r"'interests' \[3, 8\]"),
        (lambda found: found._replace(interest_mask=found.interest_mask.T), r"'interest_mask' \[\d, 3\]"),
        (lambda found: found._replace(routing_variance=torch.ones(3)), r"'routing_variance' \[3\]"),
        (lambda found: found.interests, "a Tensor"),
    ],
)
def test_an_extractor_of_ones_own_is_named_where_its_shapes_are_wrong(world, towers, wrong, got):
    def model(change):
        def own(*_):
            return OwnExtractor(1 if towers else 2, change)

        return SequenceModel(to_graph(world), 8, 5, extractor=partial(UserTowers, extractor=own) if towers else own)

    history, mask = Histories(world).read(torch.arange(3), 5)
    for prefix in (None, torch.tensor([2, 5, 9])):  # of histories, and of their beginnings
        batch = Batch(user=torch.arange(3), history=history, mask=mask, prefix=prefix)
        assert model(lambda found: found)(batch).routing.size(2) == 5
        with pytest.raises(ValueError, match=rf"OwnExtractor must (give|return) .*\(got .*{got}"):
            model(wrong)(batch)


def test_users_who_are_not_in_training_are_served_by_their_history():
    one = small("comirec-sa", split="HeldOutUsers")
    trained = one.train(one.dataset())
    seen = one.dataset().train.user.unique()
    assert not torch.isin(trained.test.users, seen).any()
    assert 0 <= trained.test.metrics["recall@50"] <= 1


def test_the_model_says_how_long_histories_are():
    one = small("sasrec", model__max_length=3)
    loader = one.loader(one.dataset().train)
    assert loader.max_length is None  # that of the model, set by the experiment
    assert one.train(one.dataset()).history.pairs > 0
