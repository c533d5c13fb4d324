"""ComiRec-SA as the public PyTorch code of BaM and REMI trains it: their algorithm, written independently.

Users are drawn with replacement by a Python iterator that cuts one history after the other, pads each to the full
length and hands lists to torch's ``DataLoader``; the extractor runs over all positions, padding included; 1,280 uniform
negatives are shared by the batch, but copied for every row, and every copy looks up its log probability; sampled
softmax on the interest that fits the target best (ComiRec) or on one drawn in proportion to its fit (BaM), Adam at
1e-3. Item 0 is padding, so ids are shifted by one. :meth:`ComiRec.forward` alone is ours, by which graphmi evaluates
it.
"""

import random
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from graphmi.data import Interactions
from graphmi.typing import Batch, Representations

NEGATIVES = 1_280


class ComiRec(nn.Module):
    """Item and position vectors, and self-attention with one row per interest."""

    def __init__(
        self, num_items: int, dim: int, max_length: int, num_interests: int = 4, *, drawn: bool = False
    ) -> None:
        super().__init__()
        self.max_length, self.num_items, self.drawn = max_length, num_items, drawn
        self.item = nn.Embedding(num_items + 1, dim, padding_idx=0)
        self.position = nn.Parameter(torch.empty(1, max_length, dim))
        self.hidden, self.attention = nn.Linear(dim, 4 * dim, bias=False), nn.Linear(4 * dim, num_interests, bias=False)
        for parameter in self.parameters():
            nn.init.kaiming_normal_(parameter)
        self.register_buffer("log_noise", torch.full((num_items + 1,), 1 / (num_items + 1)).log())

    def interests(self, history: Tensor, mask: Tensor) -> Tensor:
        """Return ``[batch, num_interests, dim]``."""
        x = self.item(history) * mask.unsqueeze(-1)
        hidden = torch.tanh(self.hidden(x + self.position[:, : x.size(1)].repeat(len(x), 1, 1)))
        logits = self.attention(hidden).transpose(1, 2).contiguous()
        padding = torch.full_like(logits, -(2.0**32) + 1)
        return torch.softmax(torch.where(mask.unsqueeze(1) == 0, padding, logits), dim=-1) @ x

    def loss(self, target: Tensor, history: Tensor, mask: Tensor) -> Tensor:
        """Return the sampled softmax of the interest that fits the target best, or of one that is drawn."""
        interests, positive = self.interests(history, mask), self.item(target)
        fit = torch.softmax((interests @ positive.unsqueeze(-1)).squeeze(-1), 1)
        best = torch.multinomial(fit, 1).squeeze(1) if self.drawn else fit.argmax(1)
        user = interests[torch.arange(len(best)), best]
        negative = torch.randint(self.num_items + 1, (NEGATIVES,)).expand(len(best), -1).contiguous()
        pos = (user * self.item.weight[target]).sum(1) - self.log_noise[target]
        neg = user @ self.item.weight[negative[0]].t() - self.log_noise[negative]
        return F.cross_entropy(torch.cat([pos.unsqueeze(1), neg], 1), torch.zeros(len(best), dtype=torch.long))

    def forward(self, batch: Batch) -> Representations:
        """Answer graphmi's evaluator."""
        return Representations(self.interests((batch.history + 1) * batch.mask, batch.mask), self.item.weight[1:])


class Rows(IterableDataset):
    """Batches without end, as lists."""

    def __init__(self, train: Interactions, batch_size: int, max_length: int) -> None:
        self.batch_size, self.max_length = batch_size, max_length
        self.histories: dict[int, list[int]] = {}
        for row in torch.argsort(train.time, stable=True).tolist():
            self.histories.setdefault(int(train.user[row]), []).append(int(train.item[row]) + 1)
        self.users = [user for user, items in self.histories.items() if len(items) > 1]

    def __iter__(self) -> Iterator[tuple[list, list, list]]:
        while True:
            targets, rows, masks = [], [], []
            for user in random.choices(self.users, k=self.batch_size):
                items = self.histories[user]
                position = random.choice(range(1, len(items)))
                history = items[max(position - self.max_length, 0) : position]
                padding = self.max_length - len(history)
                targets.append(items[position])
                rows.append(history + [0] * padding)
                masks.append([1.0] * len(history) + [0.0] * padding)
            yield targets, rows, masks


def batches(train: Interactions, batch_size: int, max_length: int) -> Iterator[tuple[Tensor, ...]]:
    """Yield targets, histories and masks without end."""
    for lists in DataLoader(Rows(train, batch_size, max_length), batch_size=None):
        yield tuple(torch.Tensor(part).long() for part in lists)
