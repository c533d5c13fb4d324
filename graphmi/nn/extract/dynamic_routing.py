"""Capsule routing: items vote for interests, and interests that agree with an item get more of it."""

import torch
from torch import Tensor, nn

from graphmi.nn.autocast import widened
from graphmi.nn.extract.base import Extractor, Interests, linear_parts
from graphmi.ranges import at_least

__all__ = ["DynamicRoutingExtractor", "squash"]

_LENGTH = 64  # initial logits that repeat where there is no longest history


class DynamicRoutingExtractor(Extractor):
    r"""Interests as capsules, found by routing in iterations.

    Each item is shared out among the interests by coupling coefficients, a softmax *over the interests*; what agrees
    with an interest is drawn to it in the next iteration, from logits :math:`b` that start at random or at zero:

    .. math::
        c_{kl} = \operatorname{softmax}_k(b_{kl}), \qquad
        v_k = \operatorname{squash}\Bigl(\sum_l c_{kl} S_k e_l\Bigr), \qquad
        b_{kl} \leftarrow b_{kl} + \langle v_k, S_k e_l \rangle

    The defaults are `MIND <https://arxiv.org/abs/1904.08030>`_: one map :math:`S` shared by all interests, random
    logits, and fewer interests for short histories. `ComiRec-DR <https://arxiv.org/abs/2005.09347>`_ has
    ``shared_map=False, random_logits=False, dynamic_interests=False``. Both published, with these choices:

    - Only the last iteration carries gradient, as in the public code of ComiRec: coupling coefficients are constants.
    - Random logits are drawn anew for each row in training. In evaluation they are drawn once, with the parameters,
      saved with them and the same for everyone, so that serving depends neither on the batch nor on its order. They
      belong to positions, and repeat beyond ``max_length``, or beyond 64 without one. Give sets, whose order means
      nothing, ``random_logits=False``.
    - MIND ends in ReLU layers that mix user profiles into the interests. There are no profiles here, so they are left
      out; ``relu_layer`` adds the one layer that ComiRec's public MIND has on one of its data sets, without a bias.
    - ComiRec's public code has a map per interest *and position*, which ties it to one length; here it is per interest.

    Args:
        embedding_dim: Size of item vectors and interests, at least 1.
        max_length: Longest history, at least 1; ``None`` for sets of any size.
        num_interests: Most interests, at least 1.
        shared_map: One bilinear map for all interests instead of one for each.
        random_logits: Start from standard normal logits instead of equal shares.
        num_iterations: At least 1; with 1 the initial logits decide alone.
        dynamic_interests: Give a history of :math:`n` items
            :math:`\max(1, \min(K, \lfloor\log_2 n\rfloor))` interests, the others being inactive.
        relu_layer: Pass the interests through a linear map and ReLU.

    Shapes:
        - x: ``[batch, length, dim]`` with a mask ``[batch, length]``, or sets ``[num, dim]`` with ``[num]``
        - interests: ``[batch, num_interests, dim]``, 0 where inactive
        - routing: coupling coefficients of the last iteration, ``[batch, num_interests, length]``, sum to one over the
          interests at real positions; without gradient

    Raises:
        ValueError: An argument is out of range, or nothing would tell the interests apart.

    Example:
        >>> import torch
        >>> extractor = DynamicRoutingExtractor(8, max_length=50)
        >>> mask = torch.arange(50) < torch.tensor([[50], [5]])
        >>> found = extractor(torch.randn(2, 50, 8), mask)
        >>> found.interests.shape, found.interest_mask.sum(1)
        (torch.Size([2, 4, 8]), tensor([4, 2]))
    """

    initial: Tensor
    least: Tensor

    def __init__(
        self,
        embedding_dim: int,
        max_length: int | None = None,
        num_interests: int = 4,
        *,
        shared_map: bool = True,
        random_logits: bool = True,
        num_iterations: int = 3,
        dynamic_interests: bool = True,
        relu_layer: bool = False,
    ) -> None:
        super().__init__()
        length = _LENGTH if max_length is None else max_length
        at_least(
            1,
            embedding_dim=embedding_dim,
            max_length=length,
            num_interests=num_interests,
            num_iterations=num_iterations,
        )
        if shared_map and not random_logits and num_interests > 1:
            raise ValueError("with 'shared_map' but not 'random_logits' all interests are equal: change one")
        self.num_interests, self.num_iterations = num_interests, num_iterations
        self.random_logits, self.dynamic_interests = random_logits, dynamic_interests
        self.map = nn.Parameter(torch.empty(1 if shared_map else num_interests, embedding_dim, embedding_dim))
        bound = (3 / embedding_dim) ** 0.5  # Glorot's, which keeps lengths
        nn.init.uniform_(self.map, -bound, bound)
        if random_logits:
            self.register_buffer("initial", torch.randn(num_interests, length))
        # floor(log2 n) > k exactly where n >= 2^(k + 1); no history has 2^62 items
        least = torch.tensor([0] + [2 ** min(k + 1, 62) for k in range(1, num_interests)])
        self.register_buffer("least", least, persistent=False)
        self.last = nn.Linear(embedding_dim, embedding_dim, bias=False) if relu_layer else None

    def extract(self, x: Tensor, mask: Tensor) -> Interests:
        """Return the :class:`Interests` of histories."""
        active = mask.sum(1, keepdim=True) >= self.least if self.dynamic_interests else None  # [batch, num_interests]
        with torch.no_grad():
            routing = self._route(x, mask, active)
        interests = self._capsules(routing, x)
        if self.last is not None:
            interests = self.last(interests).relu()
        return Interests(interests, routing, active)

    def contributions(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return the mapped positions times their coupling coefficients and the scale of the squashing."""
        routing = self.extract(x, mask).routing
        parts = torch.einsum("bkl,blc,kcd->bkld", routing, x, self._maps())
        norm = torch.linalg.vector_norm(parts.sum(2, keepdim=True), dim=-1, keepdim=True)
        parts = parts * _squashing(norm)
        return parts if self.last is None else linear_parts(nn.Sequential(self.last, nn.ReLU()), parts)

    def _route(self, x: Tensor, mask: Tensor, active: Tensor | None) -> Tensor:
        """Return the coupling coefficients of the last iteration, ``[batch, num_interests, length]``."""
        logits = self._initial_logits(x)
        if active is not None:
            logits = logits.masked_fill(~active.unsqueeze(-1), -torch.inf)
        for _ in range(self.num_iterations - 1):
            capsules = self._capsules(_share(logits, mask), x)
            # <v, S e> = <S' v, e>: no item is mapped, only interests are
            logits = logits + torch.einsum("bkd,kcd->bkc", capsules, self._maps()) @ x.transpose(1, 2)
        return _share(logits, mask)

    def _capsules(self, routing: Tensor, x: Tensor) -> Tensor:
        """Return ``[batch, num_interests, dim]``; the map comes after the sum, which is linear."""
        return squash(torch.einsum("bkc,kcd->bkd", routing @ x, self._maps()))

    def _maps(self) -> Tensor:
        return self.map.expand(self.num_interests, -1, -1)

    def _initial_logits(self, x: Tensor) -> Tensor:
        """Return ``[batch, num_interests, length]``."""
        batch, length, _ = x.shape
        if not self.random_logits:
            return x.new_zeros(batch, self.num_interests, length)
        if self.training:
            return torch.randn(batch, self.num_interests, length, dtype=x.dtype, device=x.device)
        position = torch.arange(length, device=x.device) % self.initial.size(1)
        return self.initial.index_select(1, position).to(x.dtype).expand(batch, -1, -1)


def _share(logits: Tensor, mask: Tensor) -> Tensor:
    """Return the share of each interest in each item, 0 at padding."""
    return logits.softmax(1) * mask.unsqueeze(1)


def squash(x: Tensor) -> Tensor:
    r"""Shorten vectors to below one: :math:`\frac{\|x\|^2}{1 + \|x\|^2} \frac{x}{\|x\|}`, ``[..., dim]``.

    `Sabour et al., NeurIPS 2017 <https://arxiv.org/abs/1710.09829>`_; 0 with gradient 0 at 0.
    """
    norm: Tensor = torch.linalg.vector_norm(widened(x), dim=-1, keepdim=True)
    return x * _squashing(norm).to(x.dtype)


def _squashing(norm: Tensor) -> Tensor:
    """Return what :func:`squash` multiplies a vector of some length by."""
    return norm / (1 + norm.square())
