"""From interests to items: exact top-k search."""

from graphmi.retrieval.index import ExactIndex, Index
from graphmi.retrieval.topk import TopK, top_k

__all__ = ["ExactIndex", "Index", "TopK", "top_k"]
