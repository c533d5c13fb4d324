"""Interactions split into training, validation and test."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, get_args

import torch
from torch import Tensor

from graphmi.data.errors import DataError
from graphmi.data.fingerprint import digest
from graphmi.data.graph import to_graph
from graphmi.data.interactions import Interactions
from graphmi.ranges import one_of

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData

__all__ = ["Dataset", "Part", "Protocol"]

Part = Literal["valid", "test"]
Protocol = dict[str, str | int | float]


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

    Example:
        >>> from graphmi.data import LeaveOneOut, planted
        >>> dataset = LeaveOneOut()(planted(num_users=50, num_items=40, num_clusters=4))
        >>> len(dataset.valid), dataset.graph()["item"].num_nodes
        (50, 40)
    """

    train: Interactions
    valid: Interactions
    test: Interactions
    valid_history: Interactions
    test_history: Interactions
    protocol: Protocol

    def __post_init__(self) -> None:
        for name in ("valid", "test", "valid_history", "test_history"):
            part: Interactions = getattr(self, name)
            if part.users != self.train.users or part.items != self.train.items:
                raise ValueError(f"'{name}' must have the vocabularies of 'train'")

    def __repr__(self) -> str:
        parts = f"train={len(self.train):,}, valid={len(self.valid):,}, test={len(self.test):,}"
        return f"Dataset({parts}; {self.num_users:,} users, {self.num_items:,} items; {self.protocol.get('split')})"

    @classmethod
    def from_rows(
        cls,
        interactions: Interactions,
        *,
        valid: Tensor,
        test: Tensor,
        protocol: Protocol,
        train: Tensor | None = None,
        valid_history: Tensor | None = None,
        test_history: Tensor | None = None,
    ) -> "Dataset":
        """Return the dataset of masks over the rows of the interactions, each ``[num_rows]`` bool.

        Args:
            interactions: The interactions.
            valid: Targets of validation.
            test: Targets of the test.
            protocol: How the masks were made.
            train: Training rows; all but the targets where not given.
            valid_history: Rows known in validation; the training rows where not given.
            test_history: Rows known in the test; the training and validation rows where not given.

        Raises:
            DataError: If the masks leave nothing for training, validation or test.
        """
        train = ~(valid | test) if train is None else train
        for name, rows in (("training", train), ("validation", valid), ("test", test)):
            if not rows.any():
                size = f"{len(interactions):,} interactions of {interactions.num_users:,} users"
                raise DataError(f"the split of {size} leaves nothing for {name}; use more data or another split")
        fit = interactions.take(train)
        return cls(
            train=fit,
            valid=interactions.take(valid),
            test=interactions.take(test),
            valid_history=fit if valid_history is None else interactions.take(valid_history),
            test_history=interactions.take(train | valid if test_history is None else test_history),
            protocol=protocol,
        )

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

    def refit(self, *, test: bool = False) -> "Dataset":
        """Return the same test for a model that is trained on the validation items, too, and on what comes with them.

        Rows keep their order: training, what was known at validation besides, validation.

        Args:
            test: Whether the test and what comes with it are trained on, after these: nothing is left to be found.
        """
        train = self.train.followed_by(_unknown(self.valid_history, self.train)).followed_by(self.valid)
        if not test:
            return replace(self, train=train, protocol={**self.protocol, "trained on": "training and validation"})
        train = train.followed_by(_unknown(self.test_history, train)).followed_by(self.test)
        none = train.take(train.user[:0])
        protocol: Protocol = {**self.protocol, "trained on": "training, validation and test"}
        return Dataset(train, none, none, train, train, protocol)

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


def _unknown(history: Interactions, known: Interactions) -> Interactions:
    return history.take(~torch.isin(history.pairs(), known.pairs()))


def _select(part: Part, valid: Interactions, test: Interactions) -> Interactions:
    one_of(get_args(Part), part=part)
    return valid if part == "valid" else test
