"""How far do simple baselines come? Popularity, item neighbours and EASE on one data set, chosen on validation.

A small grid is searched by validation NDCG@20, for what is read at the test too: the training items of a user, as graph
models, or the latest known ones, validation among them, as sequence models. The best of each is tested once.

    python examples/studies/simple.py --data ml-100k                             # leave-one-out
    python examples/studies/simple.py --data ml-100k --option split=RandomSplit

For large catalogues ``--users 1000`` searches on that many users and ``--regularization`` names fewer values. ``--out``
is the file of the numbers.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import torch
from answers import wide_console
from ask import given_options
from question import METRIC, Options
from rich.box import MARKDOWN
from rich.table import Table
from torch import Tensor, nn

from graphmi.cli import answer
from graphmi.config import experiment
from graphmi.data import Dataset, Histories, Interactions
from graphmi.evaluator import Evaluator
from graphmi.experiment import Experiment
from graphmi.models.item_to_item import ItemToItem
from graphmi.result import describe_data, versions
from graphmi.run import RunFolder
from graphmi.usage import UsageError

ALL = 1_000_000
LENGTHS = (1, 2, 3, 5, 10, 20, 50, ALL)
NEIGHBORS: list[Options] = [{"neighbors": k, "shrinkage": h} for k, h in product((20, 100, 300, 1000), (0, 20))]
SHOWN = (METRIC, "recall@20", "ndcg@10", "recall@10")
Validate = Callable[[nn.Module], float]


@dataclass(frozen=True)
class Found:
    """A model that was tried.

    Attributes:
        valid: Its validation metric.
        options: Its weights' options.
        length: Most items that it reads, ``None`` for the training items.
        model: The model.
    """

    valid: float
    options: Options
    length: int | None
    model: nn.Module = field(compare=False)


@dataclass(frozen=True)
class Search:
    """A search on one data set.

    Attributes:
        data: Name or file of the data.
        given: Options of columns and split.
        grids: Options of the weights of each family.
        users: Users in the validation of the search; all when ``None``.
    """

    data: str
    given: Options
    grids: Mapping[str, Sequence[Options]]
    users: int | None = None

    def __post_init__(self) -> None:
        self.experiment("Popularity", {})  # a wrong option is told before anything is done

    def experiment(self, model: str, options: Options) -> Experiment:
        """Return the experiment of a model."""
        named = {f"model__{name}": value for name, value in options.items()}
        return experiment("popularity", self.data, model=model, **named, **self.given)

    def found(self, dataset: Dataset) -> dict[str, Found]:
        """Return the best of each family on validation, by what is read."""
        best: dict[str, Found] = {}
        validate = self.validation(dataset)
        model = self.experiment("Popularity", {}).build(dataset)
        best["popularity"] = Found(validate(model), {}, None, model)
        for family, grid in self.grids.items():
            for options in grid:
                model = self.experiment(family, options).build(dataset)
                for name, one in self.lengths(family, options, model, validate):
                    if name not in best or one.valid > best[name].valid:
                        best[name] = one
        return best

    def lengths(
        self, family: str, options: Options, model: ItemToItem, validate: Validate
    ) -> Iterator[tuple[str, Found]]:
        """Yield what validation says of some weights, by how much of a history is read."""
        for length in LENGTHS:
            valid = validate(model.reading(length))
            yield f"{family}, latest items", Found(valid, options, length, model.reading(length))
        # in validation no more than the training items is known
        yield f"{family}, training items", Found(valid, options, None, model.reading(None))

    def validation(self, dataset: Dataset) -> Validate:
        """Return what gives the validation metric of a model."""
        targets = dataset.targets("valid")
        if self.users is not None:
            chosen = torch.randperm(dataset.num_users, generator=torch.Generator().manual_seed(0))[: self.users]
            targets = targets.take(torch.isin(targets.user, chosen))
        evaluator = ranking(targets, dataset.known("valid"))
        return lambda model: evaluator(model).metrics[METRIC]

    def run(self) -> dict[str, Any]:
        """Search, and test the best."""
        start, one = time.perf_counter(), self.experiment("Popularity", {})
        dataset = one.dataset()
        targets = dataset.targets("test")
        groups = one.groups.cut(one.groups.values(dataset.train), dataset.train, targets.user)
        evaluator, rows = ranking(targets, dataset.known("test"), groups), {}
        for name, best in self.found(dataset).items():
            test = evaluator(best.model)
            spread = test.groups.get(f"diversity-controlled/{METRIC}")
            rows[name] = {
                "options": best.options,
                "max_length": best.length,
                "valid": best.valid,
                **test.metrics,
                "spread": None if spread is None else spread.std,
            }
        return {
            "data": {**describe_data(one, dataset), "name": Path(self.data).name},
            "protocol": dataset.protocol,
            "searched on users": self.users,
            "seconds": time.perf_counter() - start,
            "versions": versions(),
            "rows": rows,
        }


def ranking(targets: Interactions, known: Interactions, groups: Mapping[str, Tensor] | None = None) -> Evaluator:
    """Return what ranks all items."""
    return Evaluator(targets, known, groups=groups, history=Histories(known), quick=True)


def show(result: dict[str, Any]) -> None:
    """Print the rows as a table."""
    table = Table(title=result["data"]["name"], box=MARKDOWN)
    for column in ("baseline", "chosen", "validation", *SHOWN, "spread"):
        table.add_column(column, justify="left" if column in {"baseline", "chosen"} else "right")
    for name, row in result["rows"].items():
        chosen = [f"{key} {value:g}" for key, value in row["options"].items()]
        if row["max_length"] not in (None, ALL):
            chosen.append(f"the latest {row['max_length']}")
        numbers = (row[key] for key in ("valid", *SHOWN, "spread"))
        table.add_row(name, ", ".join(chosen), *("-" if x is None else f"{x:.4f}".lstrip("0") for x in numbers))
    wide_console().print(table)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="ml-100k")
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", help="of columns or split")
    parser.add_argument("--users", type=int, help="users in the validation of the search")
    parser.add_argument("--out", type=Path, help="write the numbers as JSON")
    parser.add_argument(
        "--regularization", type=float, nargs="+", default=(100, 300, 1000, 3000, 10_000), help="of EASE"
    )
    arguments = parser.parse_args()
    if arguments.out is not None and arguments.out.is_dir():
        raise UsageError(f"'{arguments.out}' is a folder: name a file with --out")
    given: Options = {"replicates": 0, **given_options(arguments.option)}
    grids = {"EASE": [{"regularization": value} for value in arguments.regularization], "ItemKNN": NEIGHBORS}
    result = Search(arguments.data, given, grids, arguments.users).run()
    show(result)
    if arguments.out is not None:
        RunFolder(arguments.out.parent).write_text(arguments.out.name, json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(answer(main))
