"""Adam for models with large tables: a step costs what it touches."""

import math
from collections.abc import Callable, Iterable
from inspect import unwrap
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam
from torch.optim.adam import adam

__all__ = ["LazyAdam"]


class LazyAdam(Adam):
    r"""Torch's Adam; of a table with a sparse gradient it reads and writes the rows that the gradient holds, no others.

    Dense gradients are left to :class:`torch.optim.Adam`. A sparse one comes from ``nn.Embedding(sparse=True)`` or
    :class:`~graphmi.nn.SparseTable`: a row that was looked up several times has the sum of the gradients, and a row
    that was not keeps its values and its moments, bit by bit. Where every step touches all rows, this is Adam.

    With ``row_wise`` a table has no first moment, and one second moment per row, the mean over its entries, with a bias
    correction of its own:

    .. math:: v_i \leftarrow \beta_2 v_i + (1 - \beta_2)\,\tfrac1d \|g_i\|^2, \qquad
        \theta_i \leftarrow \theta_i - \frac{\gamma\, g_i}{\sqrt{v_i / (1 - \beta_2^{n_i})} + \epsilon}

    where row :math:`i` is touched for the :math:`n_i`-th time. While :math:`n_i` is small this is row-wise Adagrad
    (`Mudigere et al., ISCA 2022 <https://arxiv.org/abs/2104.05158>`_) times :math:`\sqrt{n_i}`, so that the learning
    rate means what it means to Adam. Once a table has been updated so, its gradients must stay sparse.

    **Memory** beside a table ``[num_rows, dim]``: twice the table, or with ``row_wise`` two numbers per row.
    **Time:** sorting the ids of a batch, and a few passes over its rows; nothing waits for the device.

    Args:
        params: Parameters or groups of them.
        lr: Step size, at least 0.
        betas: Decay of the first and the second moment, each in ``[0, 1)``.
        eps: Added to the root of the second moment, at least 0.
        weight_decay: L2 penalty, at least 0; in a table on the rows that a step touches.
        row_wise: Keep two numbers per row of a table instead of two tables.

    Raises:
        ValueError: If a number is out of its range, or, in a step with ``row_wise``, a table has half precision.

    Example:
        >>> import torch
        >>> table = torch.nn.Embedding(1000, 4, sparse=True)
        >>> before = table.weight.detach().clone()
        >>> optimizer = LazyAdam(table.parameters(), lr=0.1)
        >>> table(torch.tensor([7, 3, 7])).sum().backward()
        >>> optimizer.step()
        >>> (table.weight != before).any(dim=1).nonzero().flatten().tolist()
        [3, 7]
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        row_wise: bool = False,
    ) -> None:
        super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)
        self.row_wise = row_wise
        for group in self.param_groups:
            # a fifth of the time there, where it knows no gaps in the memory of a parameter; on CUDA it would not let
            # gradients be clipped in half precision
            group["fused"] = all(each.device.type == "cpu" and each.is_contiguous() for each in group["params"]) or None

    def __getstate__(self) -> dict[str, Any]:
        """Return what copies and pickles have."""
        return {**super().__getstate__(), "row_wise": self.row_wise}

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Change the parameters by one step; ``closure`` computes loss and gradients anew, if given."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        update = self._update_row_wise if self.row_wise else self._update_rows
        tables = [(p, group, p.grad) for group in self.param_groups for p in group["params"] if _is_sparse(p.grad)]
        for table, _, _ in tables:
            table.grad = None  # what Adam passes over
        unwrap(Adam.step)(self)  # without the hooks, which are those of this step
        for table, group, grad in tables:
            update(table, self.state[table], group, *_merged(grad))
            table.grad = grad
        return loss

    def _update_rows(
        self, table: Tensor, state: dict[str, Tensor], group: dict[str, Any], row: Tensor, grad: Tensor
    ) -> None:
        """Take Adam's step with these rows as if they were the parameter."""
        if not state:
            state["step"] = torch.tensor(0.0)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(table), torch.zeros_like(table)
        whole = table, state["exp_avg"], state["exp_avg_sq"]
        rows, mean, square = (tensor.index_select(0, row) for tensor in whole)
        beta1, beta2 = group["betas"]
        adam(
            [rows],
            [grad],
            [mean],
            [square],
            [],
            [state["step"]],
            amsgrad=False,
            beta1=beta1,
            beta2=beta2,
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=False,
        )
        for tensor, new in zip(whole, (rows, mean, square), strict=True):
            _write(tensor, row, new)

    def _update_row_wise(
        self, table: Tensor, state: dict[str, Tensor], group: dict[str, Any], row: Tensor, grad: Tensor
    ) -> None:
        if table.element_size() < 4:
            raise ValueError(
                f"'row_wise' counts steps in the table's own numbers, for which {table.dtype} is too small"
            )
        if "row_step" not in state:
            state.setdefault("step", torch.tensor(0.0))  # of no use here; Adam wants one when a state is put back
            state["row_step"], state["row_square"] = table.new_zeros(len(table)), table.new_zeros(len(table))
        beta, rows = group["betas"][1], table.index_select(0, row)
        grad = grad.add(rows, alpha=group["weight_decay"])
        step = state["row_step"].index_select(0, row).add_(1)
        square = state["row_square"].index_select(0, row).lerp_(grad.square().mean(dim=1), 1 - beta)
        corrected = square / -torch.expm1(step * math.log(beta)) if beta else square
        scale = group["lr"] / corrected.sqrt().add_(group["eps"])
        _write(table, row, rows.addcmul_(grad, scale.unsqueeze(1), value=-1))
        _write(state["row_step"], row, step)
        _write(state["row_square"], row, square)


def _is_sparse(grad: Tensor | None) -> bool:
    return grad is not None and grad.is_sparse


def _write(table: Tensor, row: Tensor, new: Tensor) -> None:
    """Put rows into a table: numpy takes half of the time where they are not in the caches."""
    if table.device.type != "cpu" or table.dtype == torch.bfloat16:  # which numpy lacks
        table.index_copy_(0, row, new)
        return
    table.detach().numpy()[row.numpy()] = new.numpy()
    torch.autograd.graph.increment_version(table)


def _merged(grad: Tensor) -> tuple[Tensor, Tensor]:
    """Return the ids of the rows, ``[num]``, and the gradient of the row of each, ``[num, dim]``.

    An id that repeats has the same sum each time, and is written with the same values each time: to leave out the
    repetitions would mean to wait for the device, because it alone knows how many there are.
    """
    row, value = grad._indices()[0], grad._values()
    place = torch.searchsorted(row.sort().values, row)  # one for all entries of a row
    return row, torch.zeros_like(value).index_add_(0, place, value).index_select(0, place)
