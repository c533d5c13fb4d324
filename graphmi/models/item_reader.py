"""What a graph model says of anybody by some items, without the graph."""

from collections.abc import Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn

from graphmi.models.arrangement import Arrangement
from graphmi.models.fold_in import latest
from graphmi.nn.conv import MultiInterestConv
from graphmi.typing import Batch, Representations

__all__ = ["ItemReader"]


class ItemReader(nn.Module):
    """Reads users by their items as :func:`graphmi.models.fold_in.fold_in` reads those who are not in the graph.

    In dense operations over the positions of histories: for the few users of a request, and for ``torch.export``. It
    holds a vector per item and layer, and nothing of users.

    Args:
        convs: The layers; it keeps copies.
        centers: Centers of the items for each layer from 0 on, ``[num_items, dim]``.
        degree: Users of each item in the graph, ``[num_items]``; an item without any counts as having one.
        arrangement: How layers become interests.
        items: The vectors of all items.
        max_length: Most items that it reads, the latest; all when ``None``.

    Shapes:
        - **input:** histories ``[batch, length]``; an item that comes several times counts once
        - **output:** ``interests [batch, num_interests, dim]``, and ``items`` as given
    """

    centers: Tensor
    scale: Tensor

    def __init__(
        self,
        convs: Sequence[MultiInterestConv],
        centers: Sequence[Tensor],
        degree: Tensor,
        arrangement: Arrangement,
        items: Tensor,
        max_length: int | None = None,
    ) -> None:
        super().__init__()
        self.convs = nn.ModuleList(map(deepcopy, convs))
        self.register_buffer("centers", torch.stack(list(centers[: len(convs)])))  # those that somebody hears
        self.register_buffer("scale", degree.clamp_min(1).to(self.centers).rsqrt())
        self.arrangement = arrangement
        self.items = items  # no part of a program, which asks for interests
        if max_length is not None:
            self.max_length = max_length  # only then it reads so many

    def forward(self, batch: Batch) -> Representations:
        """Return the interests of users with these histories, whoever they are, and the vectors of all items."""
        if batch.history is None or batch.mask is None:
            raise ValueError("users are read by their histories, and the batch has none")
        history, mask = latest(self, batch.history, batch.mask)
        counts = mask & ~_came_before(history, mask)
        number = counts.sum(1, keepdim=True).clamp_min(1)
        weight = counts * self.scale[history] * number.to(self.scale).rsqrt()  # [batch, length]
        own, virtuals = [self.centers.new_zeros(history.size(0), self.centers.size(-1))], list[Tensor]()
        for conv, center in zip(self.convs, self.centers, strict=True):
            virtuals.append(conv.generator.of_rows(center[history], weight))  # type: ignore[operator, union-attr]
            own.append(conv.aggregator(virtuals[-1], own[-1]))  # type: ignore[operator]
        virtuals = [own[0].unsqueeze(1).expand_as(virtuals[0]), *virtuals]
        return Representations(
            interests=self.arrangement.users(virtuals, own, slice(None)),
            items=self.items,
            interest_mask=self.arrangement.active(virtuals, slice(None)),
        )


def _came_before(history: Tensor, mask: Tensor) -> Tensor:
    """Tell which items of histories ``[batch, length]`` stand further to the left, too."""
    place = torch.arange(history.size(1), device=history.device)
    same = (history.unsqueeze(2) == history.unsqueeze(1)) & mask.unsqueeze(1)  # [batch, length, length]
    return (same & (place < place.unsqueeze(1))).any(2)
