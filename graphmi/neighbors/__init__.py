"""Neighbourhoods drawn at random, for graphs that are too large to propagate over in a training step."""

from graphmi.neighbors.draw import draw_neighbors
from graphmi.neighbors.hops import Hop, Hops, sample_hops
from graphmi.neighbors.sampler import BipartiteNeighborSampler

__all__ = ["BipartiteNeighborSampler", "Hop", "Hops", "draw_neighbors", "sample_hops"]
