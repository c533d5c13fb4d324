"""From interests to items: exact top-k search, and lists with quotas and variety."""

from graphmi.retrieval.diversify import diversified
from graphmi.retrieval.faiss_index import FaissIndex
from graphmi.retrieval.index import ExactIndex, Index
from graphmi.retrieval.interest import best_interest
from graphmi.retrieval.nominate import nominate
from graphmi.retrieval.topk import TopK, rank, top_k

__all__ = ["ExactIndex", "FaissIndex", "Index", "TopK", "best_interest", "diversified", "nominate", "rank", "top_k"]
