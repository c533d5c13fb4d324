"""Approximate search over item vectors with faiss."""

import torch
from torch import Tensor

from graphmi.nn.inactive import without_inactive
from graphmi.ranges import at_least
from graphmi.retrieval import keys
from graphmi.retrieval.blocks import Excluded, require_excluded
from graphmi.retrieval.interest import best_interest
from graphmi.retrieval.topk import TopK

__all__ = ["FaissIndex"]

_NUMBERS = 2**22  # numbers of item vectors held at once


class FaissIndex:
    """Finds candidates with an index of `faiss <https://github.com/facebookresearch/faiss>`_, and ranks them exactly.

    Every interest looks up its own candidates; the best score over all interests ranks them, as in
    :class:`~graphmi.retrieval.ExactIndex`. So an item in the list has its exact score and place among those found, and
    what approximation costs are items that are missing. Needs ``pip install "graphmi[faiss]"``.

    Args:
        items: Item vectors, ``[num_items, dim]``, one for each item.
        factory: What ``faiss.index_factory`` understands: ``"HNSW32"`` (a graph, fast and with few misses),
            ``"IVF1024,Flat"`` (cells, for large catalogues), ``"Flat"`` (exact).
        depth: Least number of candidates of an interest, at least 1; never fewer than the length of the list and what
            is excluded from it.

    Raises:
        ModuleNotFoundError: If faiss is not installed.
        ValueError: If ``items`` is no matrix, or ``depth`` is below 1.

    Example:
        >>> index = FaissIndex(torch.eye(3), factory="Flat")  # doctest: +SKIP
        >>> index.search(torch.tensor([[[0.0, 1.0, 0.5]]]), k=2).ids  # doctest: +SKIP
        tensor([[1, 2]])
    """

    def __init__(self, items: Tensor, factory: str = "HNSW32", depth: int = 50) -> None:
        import faiss

        if items.dim() != 2:
            raise ValueError(f"'items' must be [num_items, dim] (got {list(items.shape)})")
        at_least(1, depth=depth)
        self.items, self.depth = items.detach().float(), depth
        vectors = self.items.cpu().numpy()
        self.index = faiss.index_factory(items.size(1), factory, faiss.METRIC_INNER_PRODUCT)
        self.index.train(vectors)
        self.index.add(vectors)

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self.items)

    @torch.no_grad()
    def search(
        self, queries: Tensor, k: int, *, exclude: Excluded | None = None, interest_mask: Tensor | None = None
    ) -> TopK:
        """Return the ``k`` best of the items found for each row, with the arguments of :func:`graphmi.retrieval.top_k`.

        Raises:
            ValueError: If ``k`` is below 1, ``queries`` is not ``[batch, num_interests, dim]``, one is NaN, or
                the vectors of queries and items differ in length, or ``exclude`` is impossible.
        """
        at_least(1, k=k)
        if queries.dim() != 3:
            raise ValueError(f"'queries' must be [batch, num_interests, dim] (got {list(queries.shape)})")
        if (length := queries.size(-1)) != self.items.size(1):
            raise ValueError(
                f"vectors of queries and items must be of one length (got {length} and {self.items.size(1)}): "
                "items with several vectors need an ExactIndex"
            )
        require_excluded(exclude, len(queries), len(self))
        queries = without_inactive(queries.float(), interest_mask)
        if queries.isnan().any():
            raise ValueError("'queries' has a NaN: look for non-finite values in the user representations")
        most = 0 if exclude is None or not len(queries) else int(exclude[0].diff().max())
        depth = min(max(self.depth, k + most), len(self))
        found = self.index.search(queries.flatten(0, 1).cpu().numpy(), depth)[1]
        ids = torch.from_numpy(found).to(queries.device).view(len(queries), queries.size(1) * depth).sort(1).values
        usable = ids >= 0
        usable[:, 1:] &= ids[:, 1:] != ids[:, :-1]  # several interests can find an item
        if exclude is not None:
            usable &= ~self._among(ids, *exclude)
        if interest_mask is not None:
            usable &= interest_mask.any(1, keepdim=True)
        key = keys.encode(self._scores(queries, ids.clamp(min=0)), ids.clamp(min=0)).masked_fill(~usable, keys.EMPTY)
        key = torch.nn.functional.pad(key, (0, max(k - key.size(1), 0)), value=keys.EMPTY)
        scores, best = keys.decode(keys.largest_sorted(key, k))
        return TopK(scores, best, best_interest(queries, self.items, best, interest_mask=interest_mask))

    def _scores(self, queries: Tensor, ids: Tensor) -> Tensor:
        """Return the best score over the interests, ``[batch, num_candidates]``."""
        size = max(1, _NUMBERS // (ids.size(1) * self.items.size(1)))
        parts = zip(torch.split(queries, size), torch.split(ids, size), strict=True)
        return torch.cat([(part @ self.items[few].transpose(1, 2)).amax(1) for part, few in parts])

    def _among(self, ids: Tensor, rowptr: Tensor, col: Tensor) -> Tensor:
        """Return which ids are excluded from their rows."""
        row = torch.arange(len(ids), device=ids.device)
        excluded = row.repeat_interleave(rowptr.diff(), output_size=len(col)) * len(self) + col
        return torch.isin(row.unsqueeze(1) * len(self) + ids, excluded)
