"""Weights that other implementations saved."""

from collections.abc import Mapping

from torch import Tensor

__all__ = ["comirec_weights"]

_COMIREC = {
    "embeddings.weight": ("num_items + 1", "dim"),
    "position_embedding": (1, "max_length", "dim"),
    "linear1.0.weight": ("hidden_dim", "dim"),
    "linear2.weight": ("num_interests", "hidden_dim"),
}


def comirec_weights(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Turn a state dict of a PyTorch ComiRec-SA or BaM into one of :class:`~graphmi.models.SequenceModel`.

    The model must have a :class:`~graphmi.nn.SelfAttentiveExtractor` of the same sizes, no encoder and no item tower;
    it then finds the same interests.

    ======================  ===============================  ===========================================
    theirs                  shape                            ours
    ======================  ===============================  ===========================================
    ``embeddings.weight``   ``[num_items + 1, dim]``         ``embedding.weight``, without the first row
    ``position_embedding``  ``[1, max_length, dim]``         ``extractor.position.weight``
    ``linear1.0.weight``    ``[hidden_dim, dim]``            ``extractor.hidden.weight``
    ``linear2.weight``      ``[num_interests, hidden_dim]``  ``extractor.attention.weight``
    ======================  ===============================  ===========================================

    Their first row is padding, so their item ``i + 1`` is item ``i``; where the two number their items differently,
    reorder the rows of ``embedding.weight``. Positions count from the oldest item that is read, as they do here.

    Args:
        state: What their ``state_dict()`` gave, these four tensors and no others. Whatever else was trained with them
            (BaM's random projections, an optimizer) takes no part in finding interests: leave it out first.

    Raises:
        ValueError: A tensor is missing, unknown or has the wrong shape.

    Example:
        >>> import torch
        >>> from torch_geometric.data import HeteroData
        >>> from graphmi.models import SequenceModel
        >>> graph = HeteroData({"user": {"num_nodes": 2}, "item": {"num_nodes": 3}})
        >>> state = {"embeddings.weight": torch.randn(4, 8), "position_embedding": torch.randn(1, 5, 8),
        ...          "linear1.0.weight": torch.randn(32, 8), "linear2.weight": torch.randn(4, 32)}
        >>> SequenceModel(graph, embedding_dim=8, max_length=5).load_state_dict(comirec_weights(state))
        <All keys matched successfully>
    """
    _check(state, _COMIREC)
    return {
        "embedding.weight": state["embeddings.weight"][1:],
        "extractor.position.weight": state["position_embedding"][0],
        "extractor.hidden.weight": state["linear1.0.weight"],
        "extractor.attention.weight": state["linear2.weight"],
    }


def _check(state: Mapping[str, Tensor], expected: Mapping[str, tuple[str | int, ...]]) -> None:
    """Raise a ``ValueError`` unless these are the expected tensors, with shapes that fit together."""
    missing, unknown = sorted(expected.keys() - state.keys()), sorted(state.keys() - expected.keys())
    if missing or unknown:
        raise ValueError(f"the weights must be {sorted(expected)} (missing: {missing}, unknown: {unknown})")
    sizes: dict[str | int, int] = {}
    for key, names in expected.items():
        shape, known = tuple(state[key].shape), [sizes.get(name, name) for name in names]
        fits = len(shape) == len(known) and all(isinstance(k, str) or k == n for k, n in zip(known, shape, strict=True))
        if not fits:
            raise ValueError(f"{key!r} must have the shape [{', '.join(map(str, known))}] (got {list(shape)})")
        sizes |= zip(names, shape, strict=True)
