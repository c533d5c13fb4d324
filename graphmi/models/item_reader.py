"""What a graph model says of anybody by some items, without the graph."""

from collections.abc import Sequence
from copy import deepcopy
from typing import cast

import torch
from torch import Tensor, nn

from graphmi.models.arrangement import Arrangement
from graphmi.models.fold_in import Readers, fold_in_rows, histories, latest
from graphmi.nn.conv import MultiInterestConv
from graphmi.typing import Batch, Representations

__all__ = ["ItemReader"]


class ItemReader(nn.Module):
    """Reads users by their items as :func:`graphmi.models.fold_in.fold_in` reads those who are not in the graph.

    It holds a vector per item and layer, and nothing of users, and can be a program of ``torch.export``.

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
    degree: Tensor

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
        self.register_buffer("degree", degree.clone())  # of a view, programs would keep all, users' degrees too
        self.arrangement = arrangement
        self.items = items  # no part of a program, which asks for interests
        if max_length is not None:
            self.max_length = max_length  # only then it reads so many

    def forward(self, batch: Batch) -> Representations:
        """Return the interests of users with these histories, whoever they are, and the vectors of all items."""
        history, mask = latest(self, *histories(batch))
        nobody = self.centers.new_zeros(history.size(0), self.centers.size(-1))
        readers = Readers(history, mask, nobody, history.new_zeros(history.size(0)))
        convs = cast(list[MultiInterestConv], self.convs)
        virtuals, own = fold_in_rows(convs, self.centers.unbind(), self.degree, readers)
        return Representations(
            interests=self.arrangement.users(virtuals, own, slice(None)),
            items=self.items,
            interest_mask=self.arrangement.active(virtuals, slice(None)),
        )
