import math

import pytest
import torch

from graphmi.metrics import InterestDiagnostics, as_shares, interest_share, interest_values, share_counts, uniformity
from graphmi.typing import Representations

USERS, ITEMS, SIZE, LENGTH, DIM = 40, 25, 3, 5, 4


def world(seed=0, masked=True, routed=True):
    draws = torch.Generator().manual_seed(seed)
    mask = torch.arange(LENGTH) < torch.randint(0, LENGTH + 1, (USERS, 1), generator=draws)
    active = torch.rand(USERS, SIZE, generator=draws) < 0.7
    active[:, 2] = False  # nobody has the third
    interest = torch.multinomial(active.float() + 1e-6, 6, replacement=True, generator=draws)
    interest[~active.any(dim=1)] = -1
    out = Representations(
        torch.randn(USERS, SIZE, DIM, generator=draws),
        torch.randn(ITEMS, DIM, generator=draws),
        routing=(5 * torch.randn(USERS, SIZE, LENGTH, generator=draws)).softmax(2) if routed else None,
        mask=mask if routed else None,
        interest_mask=active if masked else None,
    )
    label = torch.stack([torch.arange(USERS), torch.randint(0, ITEMS, (USERS,), generator=draws)])
    return out, interest, label


def part(out, rows):
    fields = {"interests": out.interests, "routing": out.routing, "mask": out.mask, "interest_mask": out.interest_mask}
    return Representations(items=out.items, **{k: None if v is None else v[rows] for k, v in fields.items()})


def fill(metric, out, interest, label, batch_size):
    for rows in torch.arange(USERS).split(batch_size):
        mine = label[:, rows] - torch.tensor([[int(rows[0])], [0]])
        metric.update(part(out, rows), interest[rows], mine)
    return metric


def test_values_are_means_over_users_with_one_in_any_batches():
    out, interest, label = world()
    values = interest_values(out, interest[:, :5], label)
    whole, parts = (fill(InterestDiagnostics(SIZE, k=5), out, interest, label, size).compute() for size in (USERS, 7))
    assert parts == pytest.approx(whole, rel=1e-5)
    for name, one in values.items():
        key = name if name in whole else f"{name}@5"
        known = [value for value in one.tolist() if not math.isnan(value)]
        assert 0 < len(known) < USERS or name == "effective"
        assert whole[key] == pytest.approx(sum(known) / len(known), rel=1e-5)
    assert list(whole) == [
        *("collapse", "routing entropy", "cosine", "balance@5", "effective@5", "idle@5"),
        *("dead@5", "alignment", "uniformity"),
    ]
    assert whole["uniformity"] == pytest.approx(uniformity(out.interests[out.interest_mask]).item(), abs=1e-5)


def test_balance_is_among_the_interests_that_a_user_has():
    interests, mask = torch.ones(2, 3, DIM), torch.tensor([[True, True, False], [True, True, True]])
    out = Representations(interests, torch.ones(ITEMS, DIM), interest_mask=mask)
    values = interest_values(out, torch.tensor([[0, 1, 1, 0]] * 2))
    assert values["balance"].tolist() == pytest.approx([1.0, math.log(2) / math.log(3)])


def test_dead_interests_are_those_without_an_item_in_any_list():
    out, interest, _ = world(masked=False)
    metric = InterestDiagnostics(SIZE, k=5)
    metric.update(out, torch.where(interest == 1, 0, interest))  # nothing comes from the second
    used = set(torch.where(interest == 1, 0, interest)[:, :5].flatten().tolist()) - {-1}
    assert metric.compute()["dead@5"] == pytest.approx(1 - len(used) / SIZE)
    masked = InterestDiagnostics(SIZE, k=5)
    masked.update(world()[0], torch.zeros_like(interest))
    assert masked.compute()["dead@5"] == 0.5  # of the two that anybody has


def test_only_what_the_output_allows():
    out, interest, label = world(routed=False, masked=False)
    metric = InterestDiagnostics(SIZE, num_sample=0)
    metric.update(out)
    assert set(metric.compute()) == {"cosine"}
    metric.update(out, interest, label)
    assert set(metric.compute()) == {"cosine", "balance@10", "effective@10", "idle@10", "dead@10", "alignment"}
    single = InterestDiagnostics(1)
    single.update(Representations(out.interests[:, :1], out.items), interest.clamp(max=0))
    assert set(single.compute()) == {"effective@10", "idle@10", "dead@10", "uniformity"}


def test_nobody_has_an_interest():
    out, interest, label = world()
    nobody = torch.zeros_like(out.interest_mask)
    metric = InterestDiagnostics(SIZE)
    metric.update(
        Representations(out.interests, out.items, out.routing, out.mask, nobody), torch.full_like(interest, -1), label
    )
    assert metric.compute() == {}


def test_sample_is_bounded_and_fair():
    draws = torch.Generator().manual_seed(0)
    metric = InterestDiagnostics(2, num_sample=300, seed=3)
    # Later users lie on the other side: a sample of the first ones would see one point only.
    for side in (1.0, -1.0):
        for _ in range(5):
            vectors = torch.tensor([side, 0.0, 0.0]) + 0.01 * torch.randn(100, 2, 3, generator=draws)
            metric.update(Representations(vectors, torch.eye(3)))
        assert sum(len(one) for one in metric.priority) == 300
        assert sum(one.numel() for one in metric.sample) == 900
    expected = math.log(0.5 + 0.5 * math.exp(-8))
    assert metric.compute()["uniformity"] == pytest.approx(expected, abs=0.05)
    metric.reset()
    metric.update(Representations(vectors, torch.eye(3)))
    assert metric.compute()["uniformity"] == pytest.approx(0.0, abs=0.01)


def test_other_dimensions_than_before_are_refused():
    metric = InterestDiagnostics(num_interests=2)
    metric.update(Representations(torch.randn(3, 2, 4), torch.randn(5, 4)))
    with pytest.raises(ValueError, match=r"as many dimensions in every batch \(got 6 after 4\)"):
        metric.update(Representations(torch.randn(2, 2, 6), torch.randn(5, 6)))


def test_share_over_batches():
    _, interest, _ = world()
    counts = sum(share_counts(interest[rows], SIZE) for rows in torch.arange(USERS).split(9))
    assert torch.equal(as_shares(counts), interest_share(interest, SIZE))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: InterestDiagnostics(0), r"'num_interests' must be at least 1 \(got 0\)"),
        (lambda: InterestDiagnostics(2, k=0), r"'k' must be at least 1 \(got 0\)"),
        (lambda: InterestDiagnostics(2, num_sample=-1), r"'num_sample' must be at least 0 \(got -1\)"),
    ],
)
def test_impossible_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_gpu_gives_the_same_numbers():
    out, interest, label = world()
    expected = fill(InterestDiagnostics(SIZE), out, interest, label, 9).compute()
    there = Representations(*(getattr(out, name).cuda() for name in ("interests", "items", "routing", "mask")))
    there = Representations(there.interests, there.items, there.routing, there.mask, out.interest_mask.cuda())
    metric = InterestDiagnostics(SIZE).cuda()
    metric.update(there, interest.cuda(), label.cuda())
    assert metric.compute() == pytest.approx(expected, rel=1e-4)
