"""How many of its interests a user keeps, by what its neighbours bring to each."""

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["active_interests"]


@torch.no_grad()
def active_interests(virtuals: Sequence[Tensor], index: Tensor | slice) -> Tensor:
    r"""Return which interests hold the mass of a node's neighbourhood.

    The mass of an interest is the length of its virtual vector, a mean over the layers without the node's own center.
    With the shares :math:`p_{uk} = \|E_V[u, k]\| / \sum_j \|E_V[u, j]\|`, the node keeps the

    .. math:: K_u = \operatorname{round} \exp \Bigl( -\sum_k p_{uk} \log p_{uk} \Bigr)

    longest ones, from 1 (all mass in one interest, or no neighbours) to :math:`K` (all alike). graphmi's own rule; no
    gradient flows through it.

    Args:
        virtuals: Virtual interests for each layer from 0 on, ``[num_nodes, num_interests, dim]``; layer 0 is the node's
            own center.
        index: Nodes, ``[num]``.

    Returns:
        ``[num, num_interests]``, True for what is kept.
    """
    if len(virtuals) == 1:  # no neighbour is looked at, and all interests are the center
        own = virtuals[0][index, :, 0]
        return torch.arange(own.size(1), device=own.device).expand_as(own).lt(1)
    if isinstance(index, Tensor) and index.numel() > (num_nodes := virtuals[-1].size(0)):
        return active_interests(virtuals, slice(num_nodes)).index_select(0, index)
    total = sum((layer[index] for layer in virtuals[2:]), start=virtuals[1][index])
    mass = torch.linalg.vector_norm(total.float(), dim=-1)  # [num, num_interests]
    share = mass / mass.sum(1, keepdim=True).clamp_min(torch.finfo(mass.dtype).tiny)
    number = torch.special.entr(share).sum(1, keepdim=True).exp().round()
    rank: Tensor = share.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    return rank.lt(number)
