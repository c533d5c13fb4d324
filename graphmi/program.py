"""What a service runs to answer for its users: from the items of a history to interests, as a program of torch's."""

import warnings
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram, export

from graphmi.asking import unwrapped
from graphmi.nn.inactive import without_inactive
from graphmi.typing import Batch, BecomesReader, FoldsIn, HistoryReader

__all__ = ["interests_program"]

_LENGTH = 8  # of an example, for models that read histories of any length


class _Interests(nn.Module):
    """A model as a function of tensors."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, history: Tensor, mask: Tensor) -> Tensor:
        """Return the interests, ``[batch, num_interests, dim]``."""
        nobody = history.new_full((history.size(0),), -1)
        out = self.model(Batch(nobody, history=history, mask=mask))
        return without_inactive(out.interests, out.interest_mask)


@torch.no_grad()
def interests_program(model: nn.Module) -> ExportedProgram:
    """Return the interests of histories as a program for :func:`torch.export.save`, which needs no graphmi to run.

    The program takes ``history [batch, length]``, int64, items by their numbers in the vocabulary of the data, the
    latest last, and ``mask [batch, length]``, True where they are real, and nowhere after a False. It gives the
    interests, ``[batch, num_interests, dim]``, an active one in place of those that are inactive. Batches have any
    size; histories up to ``max_length`` items, and for a ``GRUEncoder`` exactly as many, padded. It runs on the CPU.

    A graph model, EASE and item neighbours are programs, too (:class:`graphmi.typing.BecomesReader`). They answer for
    anybody as for new users (``fold_in``), and hold nothing of the users of their graph. They read histories of any
    length, as do models side by side.

    Args:
        model: Reads histories (:class:`graphmi.typing.HistoryReader`) or can leave its users behind, as do or can all
            models of a ``SideBySide``, and can be exported by torch.

    Raises:
        ValueError: If the model knows its users by their ids or by a graph, and cannot leave them behind.

    Example:
        >>> import torch
        >>> from graphmi.data import LeaveOneOut, planted
        >>> from graphmi.models import SequenceModel
        >>> graph = LeaveOneOut()(planted(num_users=50, num_items=40, num_clusters=4)).graph()
        >>> program = interests_program(SequenceModel(graph, embedding_dim=8, max_length=6)).module()
        >>> program(torch.tensor([[3, 9, 0]]), torch.tensor([[True, True, False]])).shape
        torch.Size([1, 4, 8])
    """
    model = deepcopy(unwrapped(model)).cpu().eval()
    if isinstance(model, BecomesReader):
        model = model.as_reader().cpu()  # what a model has propagated stays on its device
        others = list[nn.Module]()
    else:
        others = [model] if isinstance(model, FoldsIn) or not isinstance(model, HistoryReader) else []
    others += [part for part in model.modules() if isinstance(getattr(part, "num_users", None), int)]
    if others:
        raise ValueError(
            f"{type(others[0]).__name__} knows users by their ids or a graph, and only a model that reads histories or "
            "has 'as_reader' can be a program ('--program'): take the vectors of its users, or a Recommender for others"
        )
    length = model.max_length if isinstance(model, HistoryReader) else _LENGTH
    history = torch.zeros(2, length, dtype=torch.int64)  # a batch of one would become a constant
    tensors, sizes = (history, torch.ones_like(history, dtype=torch.bool)), {0: Dim.DYNAMIC, 1: Dim.AUTO}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The tensor attributes .*_flat_weights")  # which torch's GRU sets anew
        return export(_Interests(model).eval(), tensors, dynamic_shapes=(sizes, sizes), strict=False)
