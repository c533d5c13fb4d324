"""The second process of test_two_processes.py: metrics of some users, gathered from both."""

import sys
from datetime import timedelta

import torch
import torch.distributed as dist
from torch_geometric.metrics import LinkPredNDCG, LinkPredPersonalization

from graphmi.metrics import GroupedMetric, InterestDiagnostics
from graphmi.typing import Representations

NUM_USERS, NUM_ITEMS, NUM_INTERESTS, LENGTH, K = 60, 40, 3, 6, 5


def world():
    draws = torch.Generator().manual_seed(0)
    lengths = torch.randint(0, LENGTH + 1, (NUM_USERS, 1), generator=draws)
    mask = torch.arange(LENGTH) < lengths
    routing = (4 * torch.randn(NUM_USERS, NUM_INTERESTS, LENGTH, generator=draws)).softmax(2)
    out = Representations(
        interests=torch.randn(NUM_USERS, NUM_INTERESTS, 4, generator=draws),
        items=torch.randn(NUM_ITEMS, 4, generator=draws),
        routing=routing * mask.unsqueeze(1),
        mask=mask,
        interest_mask=torch.rand(NUM_USERS, NUM_INTERESTS, generator=draws) < 0.8,
    )
    ranking = torch.rand(NUM_USERS, NUM_ITEMS, generator=draws).argsort(dim=1)[:, :K]
    interest = torch.randint(-1, NUM_INTERESTS, (NUM_USERS, K), generator=draws)
    targets = torch.randint(0, NUM_ITEMS, (NUM_USERS,), generator=draws)
    return out, ranking, interest, targets, torch.arange(NUM_USERS) % 3


def rows(out, users):
    parts = {name: getattr(out, name)[users] for name in ("interests", "routing", "mask", "interest_mask")}
    return Representations(items=out.items, **parts)


def compute(batches):
    """Return the results of all metrics over the users of these batches, and of other processes where there are."""
    out, ranking, interest, targets, group = world()
    ndcg = GroupedMetric(LinkPredNDCG(K), replicates=50)
    personal = GroupedMetric(LinkPredPersonalization(K))
    diagnostics = InterestDiagnostics(NUM_INTERESTS, k=K)
    for users in batches:
        relevant = torch.stack([torch.arange(len(users)), targets[users]])
        ndcg.update(ranking[users], relevant, group[users])
        personal.update(ranking[users], relevant, group[users])
        diagnostics.update(rows(out, users), interest[users], relevant)
    return {"ndcg": ndcg.compute(), "personal": personal.compute(), "diagnostics": diagnostics.compute()}


def of_rank(rank, file):
    """Return the results of one of two processes: users split between them, and one without users."""
    dist.init_process_group(
        "gloo", init_method=f"file://{file}", rank=rank, world_size=2, timeout=timedelta(seconds=300)
    )
    try:
        users = torch.arange(NUM_USERS)
        split = compute(users[rank::2].split(7))
        return [split, compute(users.split(11) if rank == 1 else [])]
    finally:
        dist.destroy_process_group()


if __name__ == "__main__":
    of_rank(1, sys.argv[1])
