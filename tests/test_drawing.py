"""Negatives of several batches at once: every batch has its own, and all are drawn as they would be alone."""

import pytest
import torch
from torch import nn

from graphmi.data import LeaveOneOut, planted
from graphmi.drawing import with_negatives
from graphmi.samplers import InBatchSampler, LogUniformSampler, MixedSampler, PopularitySampler, UniformSampler
from graphmi.typing import Batch, Negatives

GRAPH = LeaveOneOut()(planted(num_users=30, num_items=40, num_clusters=4)).graph()
USER, POSITIVE = GRAPH["user", "interacts", "item"].edge_index[:, torch.randperm(200)]


def batches(size):
    return [Batch(*part) for part in zip(USER.split(size), POSITIVE.split(size), strict=True)]


def drawing(given, sampler):
    return with_negatives(given, sampler, torch.Generator().manual_seed(0), torch.device("cpu"))


class Recorded(nn.Module):
    """Gives each user and positive a negative that tells them, and remembers how many it was asked for."""

    def __init__(self, rows_together):
        super().__init__()
        self.rows_together, self.asked = rows_together, []

    def forward(self, user, positive, generator=None):
        self.asked.append(len(user))
        item = (1000 * user + positive[: len(user)]).unsqueeze(-1)
        return Negatives(item, -item.float(), positive, item % 2 == 0)


@pytest.mark.parametrize(
    ("together", "asked"),
    [(0, [60, 60, 60, 20]), (119, [60, 60, 60, 20]), (120, [120, 80]), (199, [180, 20]), (1000, [200])],
)
def test_every_batch_has_its_own(together, asked):
    sampler = Recorded(together)
    for place, (batch, draw) in enumerate(drawing(batches(60), sampler)):
        own = batches(60)[place]
        assert torch.equal(batch.user, own.user)
        expected = Recorded(0)(own.user, own.positive)
        for found in (draw(), draw()):
            for name in ("item", "log_q", "pos_log_q", "valid"):
                assert torch.equal(getattr(found, name), getattr(expected, name))
    assert sampler.asked == asked


def test_nothing_is_drawn_before_it_is_asked_for():
    drawn = [*drawing(batches(60), sampler := Recorded(120))]
    assert sampler.asked == []
    for batch, draw in reversed(drawn):
        assert torch.equal(draw().item, Recorded(0)(batch.user, batch.positive).item)
    assert sampler.asked == [80, 120]


@pytest.mark.parametrize("positive", [POSITIVE[:30], None], ids=["several positives", "none"])
def test_users_with_another_number_of_positives_come_alone(positive):
    row = torch.arange(10).repeat_interleave(3)
    given, sampler = [Batch(USER[:10], positive, row=row)] * 3, Recorded(1000)
    assert len([*drawing(given, sampler)]) == 3
    if positive is not None:
        drawn = [draw() for _, draw in drawing(given, sampler)]
        assert [(len(one.item), one.pos_log_q.numel()) for one in drawn] == [(10, 30)] * 3  # all that was given
        assert sampler.asked == [10] * 3


def test_a_batch_of_nobody_has_no_negatives():
    nobody = Batch(USER[:0], POSITIVE[:0])
    assert [len(draw().item) for _, draw in drawing([nobody, *batches(100)], Recorded(100))] == [0, 100, 100]


def test_negatives_are_drawn_where_the_sampler_is():
    given = with_negatives(batches(60), Recorded(120), torch.Generator(), torch.device("meta"))
    assert [(draw().item.device.type, len(draw().item)) for _, draw in given] == [
        ("meta", 60),
        ("meta", 60),
        ("meta", 60),
        ("meta", 20),
    ]


@pytest.mark.parametrize("make", [UniformSampler, PopularitySampler, LogUniformSampler])
def test_samplers_leave_out_what_each_user_knows(make):
    sampler, known = make(GRAPH, 4), set(zip(*GRAPH["user", "interacts", "item"].edge_index.tolist(), strict=True))
    drawn = [(batch, draw()) for batch, draw in drawing(batches(60), sampler)]
    at_once = sampler(USER, POSITIVE, torch.Generator().manual_seed(0))
    assert torch.equal(torch.cat([negatives.item for _, negatives in drawn]), at_once.item)
    for batch, negatives in drawn:
        pairs = zip(batch.user.repeat_interleave(4).tolist(), negatives.item.flatten().tolist(), strict=True)
        assert known.isdisjoint(pairs)
        if make is not UniformSampler:
            torch.testing.assert_close(negatives.log_q, sampler.log_prob(batch.user, negatives.item))
            expected = sampler.log_prob(batch.user, batch.positive.unsqueeze(-1)).squeeze(-1)
            torch.testing.assert_close(negatives.pos_log_q, expected)


def test_what_depends_on_the_batch_and_what_is_many_is_drawn_for_each():
    alone = [
        UniformSampler(GRAPH, 4, shared=True),
        PopularitySampler(GRAPH, 100_000),
        InBatchSampler(GRAPH),
        MixedSampler(GRAPH, [UniformSampler, InBatchSampler]),
    ]
    assert [sampler.rows_together for sampler in alone] == [0] * 4
    mixed = MixedSampler(GRAPH, [UniformSampler, lambda graph: LogUniformSampler(graph, 8)])
    assert [mixed.rows_together, UniformSampler(GRAPH).rows_together] == [16_384 // 8, 16_384]
