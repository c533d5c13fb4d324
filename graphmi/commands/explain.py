"""The command ``graphmi explain``."""

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from rich.console import Console
from torch import Tensor

from graphmi.commands.beside import add_runs, restore_runs
from graphmi.commands.explanation import print_explanation
from graphmi.commands.ids import find_id
from graphmi.data import Dataset
from graphmi.data.dataset import Part
from graphmi.explain import Cause, Explainer, Explanation
from graphmi.restore import Restored
from graphmi.typing import Decomposable, HistoryReader
from graphmi.usage import command_parser, parse

__all__ = ["explain", "main"]


def main(arguments: Sequence[str]) -> None:
    """Run the command.

    Args:
        arguments: The words after ``graphmi explain``.

    Raises:
        UsageError: If an option or the user is unknown.
        FileNotFoundError: If there is no trained model.
        ValueError: If the data is not that of the run.
    """
    parser = command_parser(
        "explain",
        "Show what the model of a run makes of one user: its interests with the items behind them, and "
        "why each item is recommended.",
    )
    add_runs(parser)
    parser.add_argument("--user", type=str, help="The id of a user in the data; one with a typical taste when omitted.")
    parser.add_argument("--k", type=int, default=10, help="Length of the list.")
    parser.add_argument("--split", type=Part, default="test", help="What to predict.")
    parser.add_argument("--json", action="store_true", help="Print JSON, for scripts.")
    options = parse(parser, arguments)
    found = explain(restore_runs(options), options.user, options.k, options.split)
    found["run"] = " + ".join([options.run, *options.beside])
    if options.json:
        sys.stdout.write(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
    else:
        print_explanation(Console(), found)


def explain(run: Restored, user: str | None = None, k: int = 10, split: Part = "test") -> dict[str, Any]:
    """Return what the model of a run makes of a user, with the ids and titles of the data, ready for JSON.

    Interests, groups and ranks count from 1.

    Args:
        run: The run.
        user: The id of a user; one of median diversity when omitted.
        k: Length of the list, at least 1.
        split: What to predict, ``"valid"`` or ``"test"``.

    Raises:
        UsageError: If the user is unknown.
        ValueError: If ``k`` is below 1, or the part was trained on.
    """
    if run.experiment.refit != "all":
        run.experiment.require_unseen(split)
    explainer = Explainer(run.dataset, run.model, split, run.experiment.repeat)
    tastes = _Tastes.of(run, split)
    index = tastes.typical if user is None else find_id(run.dataset.train.users, user, "user")
    [explanation] = explainer(torch.tensor([index]), k=k)
    users = run.dataset.train.users.decode(torch.tensor([tastes.narrow, tastes.broad]))
    return {
        "run": str(run.folder.path),
        "split": split,
        "user": run.dataset.train.users.decode(torch.tensor([index]))[0],
        **({} if user is not None else {"typical": True, "narrow": users[0], "broad": users[1]}),
        "diversity": _finite(tastes.diversity[index]),
        "group": int(tastes.group[index]) + 1 or None,
        "num_groups": run.experiment.groups.num_groups,
        "max_length": run.model.max_length if isinstance(run.model, HistoryReader) else None,
        "source": _source(run, explanation),
        "note": _note(run, explanation),
        **_named(explanation, run.dataset),
    }


class _Tastes(NamedTuple):
    """Diversity ``[num_users]`` and its group, NaN and -1 for none, and a user of narrow, typical and broad taste."""

    diversity: Tensor
    group: Tensor
    narrow: int
    typical: int
    broad: int

    @classmethod
    def of(cls, run: Restored, split: Part) -> "_Tastes":
        """Read what the run wrote of its users; where it knows nothing, activity stands for taste."""
        size, served = run.dataset.num_users, run.experiment.refit == "all"
        diversity, group = torch.full((size,), torch.nan), torch.full((size,), -1)
        per_user = {} if served else run.folder.read_tensors("per_user")
        if "diversity" in per_user:
            diversity[per_user["user"]] = per_user["diversity"].float()
        if "group/diversity" in per_user:
            group[per_user["user"]] = per_user["group/diversity"]
        candidates = torch.unique((run.dataset.train if served else run.dataset.targets(split)).user)
        values = run.dataset.known(split).user.bincount(minlength=size).float()
        if not diversity[candidates].isnan().all():
            candidates = candidates[~diversity[candidates].isnan()]
            values = diversity
        order = candidates[values[candidates].argsort(stable=True)].tolist()
        places = (len(order) // 10, len(order) // 2, len(order) - 1 - len(order) // 10)
        return cls(diversity, group, *(order[place] for place in places))


def _source(run: Restored, explanation: Explanation) -> str:
    """Return where causes come from: ``"history"``, ``"graph"`` or ``"none"``."""
    if not any(_all_causes(explanation)):
        return "none"
    return "history" if isinstance(run.model, HistoryReader) else "graph"


def _note(run: Restored, explanation: Explanation) -> str | None:
    """Return what to keep in mind of a user that the model knows nothing of."""
    if isinstance(run.model, HistoryReader):
        return None if explanation.history else "Without known items all items score alike: the list means nothing."
    trained = bool((run.dataset.train.user == explanation.user).any())
    if trained or not isinstance(run.model, Decomposable):
        return None
    return "Without training interactions the vector of this user was never trained: the list means nothing."


def _all_causes(explanation: Explanation) -> Iterator[Sequence[Cause]]:
    yield from (interest.causes for interest in explanation.interests)
    yield from (one.causes for one in explanation.recommendations)


def _named(explanation: Explanation, dataset: Dataset) -> dict[str, Any]:
    """Return the explanation with ids, titles and categories of the data instead of indices."""
    items = _Items(dataset, explanation)
    counts = Counter(name for item in explanation.history for name in items.categories.get(item, ()))
    return {
        "history": [items.whole(item) for item in explanation.history],
        "categories": dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))),
        "targets": [items.whole(item) for item in explanation.targets],
        "interests": [
            {
                "number": interest.index + 1,
                "active": interest.active,
                "share": interest.share,
                "nearest": [items.short(item) for item in interest.nearest],
                "causes": items.causes(interest.causes),
            }
            for interest in explanation.interests
        ],
        "recommendations": [
            {
                "rank": rank,
                **items.whole(one.item),
                "score": one.score,
                "interest": one.interest + 1,
                "hit": one.hit,
                "causes": items.causes(one.causes),
            }
            for rank, one in enumerate(explanation.recommendations, start=1)
        ],
    }


class _Items:
    """Names the items of an explanation."""

    def __init__(self, dataset: Dataset, explanation: Explanation) -> None:
        used = {*explanation.history, *explanation.targets}
        used |= {item for interest in explanation.interests for item in interest.nearest}
        used |= {one.item for one in explanation.recommendations}
        used |= {cause.item for causes in _all_causes(explanation) for cause in causes}
        index = torch.tensor(sorted(used), dtype=torch.int64)
        self.ids = dict(zip(index.tolist(), dataset.train.items.decode(index), strict=True))
        self.titles = dataset.train.titles
        self.categories = _categories(dataset, index)

    def short(self, item: int) -> dict[str, Any]:
        """Return the id and the title, which is the id where there are no titles."""
        return {"item": self.ids[item], "title": self.titles[item] if self.titles else str(self.ids[item])}

    def whole(self, item: int) -> dict[str, Any]:
        """Return id, title and categories."""
        return {**self.short(item), "categories": self.categories.get(item, [])}

    def causes(self, causes: Iterable[Cause]) -> list[dict[str, Any]]:
        """Return items with their shares."""
        return [{**self.short(cause.item), "share": cause.weight} for cause in causes]


def _categories(dataset: Dataset, index: Tensor) -> Mapping[int, list[str]]:
    """Return the names of the categories of these items."""
    labels: dict[int, list[str]] = {}
    if (categories := dataset.train.categories) is not None:
        wanted = torch.isin(categories.item, index)
        for item, number in zip(categories.item[wanted].tolist(), categories.category[wanted].tolist(), strict=True):
            labels.setdefault(item, []).append(categories.names[number])
    return labels


def _finite(value: Tensor) -> float | None:
    return None if value.isnan() else float(value)
