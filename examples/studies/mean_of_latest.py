"""One vector that is the mean of the latest positions: what :class:`graphmi.nn.RecentPositions` has as several.

It tells how much of what those bring is owed to the positions, and how much to their being several:

    PYTHONPATH=examples/studies graphmi train multi-interest-transformer --data ml-100k \
      --model.extractor mean_of_latest.MeanOfLatest --model.extractor.num_positions 4
"""

from torch import Tensor

from graphmi.nn import Extractor, Interests, RecentPositions


class MeanOfLatest(Extractor):
    """The mean of what stands at the last real positions, as one interest; 0 for an empty history.

    Args:
        embedding_dim: Not used.
        max_length: Not used.
        num_positions: Positions that are read, at least 1.

    Raises:
        ValueError: ``num_positions`` is below 1.
    """

    num_interests = 1

    def __init__(self, embedding_dim: int = 0, max_length: int | None = None, num_positions: int = 4) -> None:
        super().__init__()
        self.latest = RecentPositions(num_interests=num_positions)

    def extract(self, x: Tensor, mask: Tensor) -> Interests:
        """Return the mean of the last real positions of each history."""
        return _mean(self.latest.extract(x, mask))

    def prefixes(self, x: Tensor, mask: Tensor, prefix: Tensor) -> Interests:
        """Return the mean of the positions named by ``prefix`` and those before them."""
        return _mean(self.latest.prefixes(x, mask, prefix))


def _mean(found: Interests) -> Interests:
    active = found.interest_mask.unsqueeze(-1)  # an inactive interest is 0
    return Interests(found.interests.sum(1, keepdim=True) / active.sum(1, keepdim=True))
