"""One request of a recommender: from the id of a user, or a history, to a list of ten.

Run ``OMP_NUM_THREADS=1 python benchmarks/run.py serving``. Models are not trained; users have 20 items each, new ones
histories of 20, and popularity falls like the root of the rank. Beside each stands what no exact answer can do without,
the product of the model's interests and items and the ten largest scores, written plainly; ratios are to it. *Kept* is
a recommender with ``index=ExactIndex``, for a model that does not change: graph models have propagated.
"""

from collections.abc import Callable, Iterator

import polars as pl
import torch
from measure import Row, alternate
from torch import nn

from graphmi.data import Interactions, LeaveOneOut
from graphmi.models import InterestGCN, ItemKNN, SequenceModel, SideBySide
from graphmi.nn import LastPosition, SelfAttentiveExtractor, TransformerEncoder
from graphmi.recommender import Recommender
from graphmi.retrieval import ExactIndex
from graphmi.typing import Batch

PER_USER, K, DIM = 20, 10, 64
SIZES = {3_416: 6_040, 100_000: 100_000}
WIDE = 10_000  # items of models that have as many dimensions


def interactions(num_users: int, num_items: int) -> Interactions:
    """Return random interactions in which every item occurs."""
    generator = torch.Generator().manual_seed(0)
    user = torch.arange(num_users).repeat_interleave(PER_USER)
    item = (torch.rand(len(user), generator=generator).square() * num_items).long()
    item[torch.randperm(len(user), generator=generator)[:num_items]] = torch.arange(num_items)
    frame = pl.DataFrame({"user_id": user.numpy(), "item_id": item.numpy()})
    return Interactions.from_frame(frame.unique(maintain_order=True))


def models() -> Iterator[tuple[str, Interactions, nn.Module]]:
    """Yield models with their data."""
    for num_items, num_users in SIZES.items():
        data = interactions(num_users, num_items)
        graph = LeaveOneOut()(data).graph()
        torch.manual_seed(0)
        yield f"transformer, {num_items:,} items", data, transformer(graph)
        yield (
            f"self-attentive, K = 4, {num_items:,} items",
            data,
            SequenceModel(graph, extractor=SelfAttentiveExtractor),
        )
        yield (
            f"interest-gcn-softmax, K = 4, {num_items:,} items",
            data,
            InterestGCN(graph, 4, num_layers=2, center="sum"),
        )
    data = interactions(WIDE, WIDE)
    graph = LeaveOneOut()(data).graph()
    neighbors = ItemKNN(graph, max_length=5)
    yield f"item-knn, {WIDE:,} items", data, neighbors
    yield f"transformer beside item-knn, {WIDE:,} items", data, SideBySide([transformer(graph), neighbors])


def transformer(graph: object) -> SequenceModel:
    return SequenceModel(graph, encoder=TransformerEncoder, extractor=LastPosition)


def requests(data: Interactions, model: nn.Module) -> dict[str, Callable[[], object]]:
    """Return the ways to ask, the plain product first."""
    model.eval()
    user, history = data.users.ids[:1].to_list(), data.items.ids[:PER_USER].to_list()
    mask = torch.ones(1, PER_USER, dtype=torch.bool)
    with torch.no_grad():
        out = model(Batch(torch.tensor([0]), history=torch.arange(PER_USER).unsqueeze(0), mask=mask))
    interests, items = out.interests[0], out.items[:].contiguous()
    anew, kept = Recommender(data, model, k=K), Recommender(data, model, k=K, index=ExactIndex)
    return {
        "the product alone": lambda: (interests @ items.T).amax(0).topk(K),
        "kept, a user": lambda: kept(user),
        "kept, a history": lambda: kept.for_histories([history]),
        "anew, a user": lambda: anew(user),
    }


def run() -> list[Row]:
    """Measure all models."""
    rows = []
    for name, data, model in models():
        times = alternate(requests(data, model), 9)
        limit = times["the product alone"].median
        rows += [Row(f"{name}: {way}", time, time.median / limit) for way, time in times.items()]
    return rows
