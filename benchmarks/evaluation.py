"""Full ranking: graphmi against the bare products, a plain batched version and a loop over users.

Run ``python benchmarks/run.py evaluation``. The sizes are those of MovieLens-1M (6,040 users, 3,416 items, 1,000,000
known items to leave out), K = 4 interests, d = 64. The limit is the matrix product alone, 10.6 GFLOP, in the fastest
of several blocks, its results thrown away. *Published* is the evaluation of the public code of ComiRec and its
successors, written independently: faiss finds items for each interest, and Python merges the lists of a user and adds
up recall, NDCG and hit rate, for one length at a time. A larger catalogue follows, with a limit of its own. Memory is
counted on one million items, above users and items; ``python benchmarks/evaluation.py`` does so for 100,000 users,
which takes minutes.
"""

import math
import time
from functools import partial
from types import SimpleNamespace

import faiss
import torch
from measure import Row, alternate, peak_memory
from torch import Tensor, nn

from graphmi.evaluator import Evaluator
from graphmi.retrieval import rank, top_k
from graphmi.typing import Batch, Representations

NUM_USERS, NUM_ITEMS, NUM_KNOWN, NUM_INTERESTS, DIM = 6_040, 3_416, 165, 4, 64
CATALOGUE, VISITORS = 1_000_000, 1_024
LARGE, SOME = 65_536, 1_000  # items and users


class Lookup(nn.Module):
    """A model that only looks its vectors up, so that evaluation is all there is to measure."""

    def __init__(self, users: Tensor, items: Tensor) -> None:
        super().__init__()
        self.register_buffer("users", users)
        self.register_buffer("items", items)

    def forward(self, batch: Batch) -> Representations:
        """Return the vectors of the users of the batch."""
        return Representations(self.users[batch.user], self.items)


def products(users: Tensor, items: Tensor, rows: int) -> None:
    """Multiply block by block into one buffer."""
    flat = users.view(-1, DIM)
    buffer = torch.empty(rows, len(items), device=items.device)
    for start in range(0, len(flat), rows):
        block = flat[start : start + rows]
        torch.mm(block, items.t(), out=buffer[: len(block)])


def batched(users: Tensor, items: Tensor, known: Tensor, k: int, size: int = 256) -> Tensor:
    """Rank the plain way: all scores of some users, the best interest, -inf at known items, torch.topk."""
    parts = []
    for start in range(0, len(users), size):
        scores = (users[start : start + size] @ items.t()).amax(dim=1)
        scores.scatter_(1, known[start : start + size], -torch.inf)
        parts.append(scores.topk(k).indices)
    return torch.cat(parts)


def looped(users: Tensor, items: Tensor, known: Tensor, k: int) -> Tensor:
    """Rank user by user."""
    return torch.cat([batched(users[u : u + 1], items, known[u : u + 1], k) for u in range(len(users))])


def published(users: Tensor, items: Tensor, targets: list[set[int]], k: int, size: int = 256) -> tuple[float, ...]:
    """Return recall, NDCG and hit rate of lists of ``k``; known items are ranked too."""
    index = faiss.IndexFlatIP(DIM)
    index.add(items.numpy())
    recall, ndcg, hit = 0.0, 0.0, 0
    for start in range(0, len(users), size):
        score, item = (
            found.reshape(-1, NUM_INTERESTS * k)
            for found in index.search(users[start : start + size].flatten(0, 1).numpy(), k)
        )
        for row, wanted in enumerate(targets[start : start + size]):
            ranked: dict[int, None] = {}
            for one, _ in sorted(zip(item[row], score[row], strict=True), key=lambda pair: pair[1], reverse=True):
                ranked[one] = None
                if len(ranked) == k:
                    break
            gains = [1 / math.log2(place + 2) for place, one in enumerate(ranked) if one in wanted]
            recall += len(gains) / len(wanted)
            ndcg += sum(gains) / sum(1 / math.log2(place + 2) for place in range(min(k, len(wanted))))
            hit += bool(gains)
    return recall / len(users), ndcg / len(users), hit / len(users)


def memory(num_users: int = VISITORS) -> tuple[float, float]:
    """Return the peak above users and items, and what their scores would need, in GiB."""
    users, items = torch.randn(num_users, NUM_INTERESTS, DIM), torch.randn(CATALOGUE, DIM)
    peak = peak_memory(lambda: rank(users, items, 50))
    return peak / 2**30, num_users * CATALOGUE * NUM_INTERESTS * 4 / 2**30


def run(repeats: int = 9) -> list[Row]:
    """Measure every alternative in alternation."""
    peak, scores = memory()
    generator = torch.Generator().manual_seed(0)
    users = torch.randn(NUM_USERS, NUM_INTERESTS, DIM, generator=generator)
    items = torch.randn(NUM_ITEMS, DIM, generator=generator)
    order = torch.rand(NUM_USERS, NUM_ITEMS, generator=generator).argsort(dim=1)
    known, exclude = order[:, :NUM_KNOWN], (torch.arange(NUM_USERS + 1) * NUM_KNOWN, order[:, :NUM_KNOWN].flatten())
    seen = SimpleNamespace(user=torch.arange(NUM_USERS).repeat_interleave(NUM_KNOWN), item=exclude[1])
    evaluator = Evaluator(SimpleNamespace(user=torch.arange(NUM_USERS), item=order[:, -1]), seen)
    model, wanted = Lookup(users, items), [{item} for item in order[:, -1].tolist()]
    limits = {f"products, {rows} rows": partial(products, users, items, rows) for rows in (256, 1024, 4096)}
    alternatives = {
        "graphmi rank, k = 20, nothing known": lambda: rank(users, items, 20),
        "graphmi rank, k = 20": lambda: rank(users, items, 20, exclude=exclude),
        "graphmi rank, k = 50": lambda: rank(users, items, 50, exclude=exclude),
        "graphmi top_k, k = 50 (which interest, too)": lambda: top_k(users, items, 50, exclude=exclude),
        "graphmi Evaluator, 18 metrics at 10, 20, 50": lambda: evaluator(model),
        "batched torch.topk, k = 20": lambda: batched(users, items, known, 20),
        "loop over users, k = 20": lambda: looped(users, items, known, 20),
        "published, 3 metrics at 10, 20, 50": lambda: [published(users, items, wanted, k) for k in (10, 20, 50)],
    }
    times = alternate(limits | alternatives, repeats)
    limit = min((times[name] for name in limits), key=lambda timing: timing.median)
    rows = [Row("bare products (the limit)", limit, 1.0, f"{10.56 / limit.median:.0f} GFLOP/s")]
    for name in alternatives:
        share, rate = limit.median / times[name].median, NUM_USERS / times[name].median
        rows.append(Row(name, times[name], 1 / share, f"{share:.0%} of the limit, {rate / 1000:.1f} k users/s"))
    rows[1].note += f"; {CATALOGUE:,} items, {VISITORS:,} users: peak {peak:.2f} GiB, all scores would be {scores:.1f}"
    return [*rows, *larger(repeats, 1), *larger(repeats, NUM_INTERESTS)]


def larger(repeats: int, num_interests: int) -> list[Row]:
    """Measure a larger catalogue, nothing known."""
    users, items = torch.randn(SOME, num_interests, DIM), torch.randn(LARGE, DIM)
    none = torch.empty(SOME, 0, dtype=torch.int64)
    limits = {str(rows): partial(products, users, items, rows) for rows in (64, 256)}
    alternatives = {
        "graphmi rank": lambda: rank(users, items, 20),
        "batched torch.topk": lambda: batched(users, items, none, 20, size=64),
    }
    times = alternate(limits | alternatives, repeats)
    limit = min((times[name] for name in limits), key=lambda timing: timing.median)
    what = f"{LARGE:,} items, K = {num_interests}"
    shares = {name: limit.median / times[name].median for name in alternatives}
    return [
        Row(f"{what}: bare products (the limit)", limit, 1.0),
        *(Row(f"{what}: {name}", times[name], 1 / share, f"{share:.0%} of it") for name, share in shares.items()),
    ]


if __name__ == "__main__":  # minutes: one million items for 100,000 users
    began = time.perf_counter()
    peak, scores = memory(100_000)
    print(
        f"peak {peak:.2f} GiB above users and items, all scores {scores:,.0f} GiB, {time.perf_counter() - began:.0f} s"
    )
