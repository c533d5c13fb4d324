"""Interactions split into training, validation and test."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from graphmi.data.fingerprint import digest
from graphmi.data.graph import to_graph
from graphmi.data.interactions import Interactions

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData

__all__ = ["Dataset", "Part"]

Part = Literal["valid", "test"]


@dataclass(frozen=True, eq=False)
class Dataset:
    """The parts of a split; all share the vocabularies of users and items.

    Args:
        train: Interactions to fit on; the only ones in :meth:`graph`.
        valid: Targets of validation.
        test: Targets of the test.
        valid_history: Interactions that are known when validation is scored.
        test_history: Interactions that are known when the test is scored.
        protocol: How the split was made, for results.

    Raises:
        ValueError: If a part has other vocabularies than the training part.
    """

    train: Interactions
    valid: Interactions
    test: Interactions
    valid_history: Interactions
    test_history: Interactions
    protocol: Mapping[str, str | int | float]

    def __post_init__(self) -> None:
        for name in ("valid", "test", "valid_history", "test_history"):
            part: Interactions = getattr(self, name)
            if part.users != self.train.users or part.items != self.train.items:
                raise ValueError(f"'{name}' must have the vocabularies of 'train'")

    @property
    def num_users(self) -> int:
        """The number of users in all parts."""
        return self.train.num_users

    @property
    def num_items(self) -> int:
        """The number of items in all parts."""
        return self.train.num_items

    def graph(self) -> "HeteroData":
        """Return the graph of the training interactions, see :func:`graphmi.data.graph.to_graph`."""
        return to_graph(self.train)

    def targets(self, part: Part) -> Interactions:
        """Return the interactions to be predicted in ``"valid"`` or ``"test"``."""
        return _select(part, self.valid, self.test)

    def known(self, part: Part) -> Interactions:
        """Return the interactions that are known when ``"valid"`` or ``"test"`` is scored."""
        return _select(part, self.valid_history, self.test_history)

    def fingerprint(self) -> str:
        """Return the SHA-256 of all parts, equal on every machine."""
        parts = (self.train, self.valid, self.test, self.valid_history, self.test_history)
        return digest(*(part.fingerprint() for part in parts))


def _select(part: Part, valid: Interactions, test: Interactions) -> Interactions:
    if part not in ("valid", "test"):
        raise ValueError(f"'part' must be 'valid' or 'test' (got {part!r})")
    return valid if part == "valid" else test
