"""A recurrent network over histories."""

import torch
from torch import Tensor, nn

from graphmi.nn.autocast import autocast_dtype, widened, without_autocast
from graphmi.nn.dropout import Dropout
from graphmi.nn.encode.base import Encoder
from graphmi.ranges import at_least, is_share

__all__ = ["GRUEncoder"]


class GRUEncoder(Encoder):
    """Gated recurrent units that read the items one by one.

    GRU4Rec (`Hidasi et al., ICLR 2016 <https://arxiv.org/abs/1511.06939>`_), published; a linear layer brings the
    states back to ``embedding_dim`` where they have another size.

    Args:
        embedding_dim: Size of the vectors, at least 1.
        max_length: Not used.
        hidden_dim: Size of the states, at least 1; ``embedding_dim`` unless given.
        num_layers: Number of recurrent layers, at least 1.
        dropout: Of what each layer puts out, in ``[0, 1)``.

    Raises:
        ValueError: An argument is out of range.

    Example:
        >>> import torch
        >>> x, mask = torch.randn(2, 5, 8), torch.ones(2, 5, dtype=torch.bool)
        >>> encoder = GRUEncoder(8)
        >>> whole, beginning = encoder(x, mask), encoder(x[:, :3], mask[:, :3])
        >>> whole.shape, torch.allclose(whole[:, :3], beginning, atol=1e-4)  # what comes later changes nothing before
        (torch.Size([2, 5, 8]), True)
    """

    def __init__(
        self,
        embedding_dim: int,
        max_length: int | None = None,
        hidden_dim: int | None = None,
        num_layers: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        hidden_dim = embedding_dim if hidden_dim is None else hidden_dim
        at_least(1, embedding_dim=embedding_dim, hidden_dim=hidden_dim, num_layers=num_layers)
        is_share(dropout=dropout)
        between = dropout if num_layers > 1 else 0.0  # torch warns of dropout between layers where there is one
        self.gru = nn.GRU(embedding_dim, hidden_dim, num_layers, dropout=between, batch_first=True)
        self.dropout = Dropout(dropout)
        self.output = nn.Identity() if hidden_dim == embedding_dim else nn.Linear(hidden_dim, embedding_dim)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return the encoded history, ``[batch, length, dim]``."""
        if x.is_cuda and autocast_dtype(x) == torch.bfloat16:
            with without_autocast(x):  # which takes GRUs of CUDA in float16 whatever it is asked for
                states = self.gru(widened(x))[0]
        else:
            states = self.gru(x)[0]
        encoded: Tensor = self.output(self.dropout(states))
        return encoded
