"""From interests to items: exact top-k search."""

from graphmi.retrieval.index import ExactIndex, Index
from graphmi.retrieval.interest import best_interest
from graphmi.retrieval.topk import TopK, rank, top_k

__all__ = ["ExactIndex", "Index", "TopK", "best_interest", "rank", "top_k"]
