"""The softmax over the positive and its negatives."""

import torch.nn.functional as F
from torch import Tensor

from graphmi.losses.best import partition_of_best
from graphmi.losses.cross_entropy import cross_entropy_of_products
from graphmi.losses.hits import Hits, Places
from graphmi.losses.in_cache import NegativeVectors
from graphmi.losses.objectives import Objective, require_scores
from graphmi.losses.partition import log_partition
from graphmi.losses.products import partition_of_products
from graphmi.ranges import positive

__all__ = ["SampledSoftmaxLoss"]


class SampledSoftmaxLoss(Objective):
    r"""Cross entropy of the positive among itself and the negatives.

    .. math:: \log\Big(e^{x_+/\tau} + \sum_j e^{x_j/\tau + c_j}\Big) - x_+/\tau

    With all other items as negatives this is the full softmax; with L2-normalised vectors it is the softmax on
    cosine scores. The corrections are not divided by the temperature.

    Args:
        temperature: Divides the scores; positive.

    Raises:
        ValueError: The temperature is not positive.

    Example:
        >>> import torch
        >>> SampledSoftmaxLoss()(torch.tensor([2.0]), torch.tensor([[0.0, 2.0]]))
        tensor([0.7586])
    """

    softmax = True

    def __init__(self, temperature: float = 1.0) -> None:
        super().__init__()
        positive(temperature=temperature)
        self.temperature: float = temperature

    def forward(self, pos: Tensor, neg: Tensor, correction: Tensor | None = None) -> Tensor:
        """Return the loss of each row, ``[...]``; 0 where no negative is left."""
        require_scores(pos, neg)
        return self.compare(pos, self.partition(neg, correction))

    def grouped(self, pos: Tensor, neg: Tensor, correction: Tensor | None, row: Tensor) -> Tensor:
        """Return the loss of each positive; the sum over the negatives is taken once per row of ``neg``."""
        return self.compare(pos, self.partition(neg, correction).index_select(0, row))

    def partition(self, neg: Tensor, correction: Tensor | None = None, hits: Hits | None = None) -> Tensor:
        """Return the log-partition of the negatives, ``[...]``."""
        return log_partition(neg, correction, self.temperature, hits)

    def partition_of_products(self, query: Tensor, negatives: NegativeVectors) -> Tensor:
        """Return the log-partition of the inner products without writing these down, ``[batch, num_vectors]``."""
        vectors, correction, hits, valid = negatives
        return partition_of_products(query, vectors, correction, self.temperature, hits, valid)

    def partition_of_best(self, query: Tensor, negatives: NegativeVectors, places: Places) -> tuple[Tensor, Tensor]:
        """Return the log-partition of the largest products without writing these down, ``[batch]``."""
        return partition_of_best(query, negatives, self.temperature, places)

    def of_products(self, pos: Tensor, query: Tensor, negatives: NegativeVectors) -> Tensor:
        """Return the loss of each row without writing the products down, ``[batch]``."""
        if type(self) is not SampledSoftmaxLoss:  # a subclass may compare in another way
            return super().of_products(pos, query, negatives)
        vectors, correction, hits, valid = negatives
        return cross_entropy_of_products(query, vectors, pos, correction, self.temperature, hits, valid)

    def compare(self, pos: Tensor, partition: Tensor) -> Tensor:
        """Return the loss of each row, ``[...]``."""
        return F.softplus(partition - pos / self.temperature)

    def extra_repr(self) -> str:
        """Show the temperature when printed."""
        return f"temperature={self.temperature}"
