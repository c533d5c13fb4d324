"""Is a sequence model beside a graph model of the same users better than the sequence model alone?

The two are trained apart and put side by side (:class:`graphmi.models.SideBySide`): their scores are *added up*, or the
*best* one counts, as over two interests. How much the graph's scores weigh is chosen on validation, of a few numbers,
once for all pairs. Where there are several pairs, all models are put together too. The test is compared with the
sequence models alone, user by user and averaged over the pairs. With several ``--sequence``, each of them is put beside
the same graphs, and what is put together is also compared with what the first of them is part of.

    graphmi train multi-interest-transformer ... --seed 0 --out runs/sequence/0    # and other seeds
    graphmi train lightgcn-latest --data ml-100k --seed 0 --out runs/graph/0
    python examples/studies/both.py --sequence runs/sequence/0 runs/sequence/1 --graph runs/graph/0 runs/graph/1
    python examples/studies/both.py --sequence runs/one/* --sequence runs/four/* --graph runs/graph/*

``--out`` is the file of the numbers.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from answers import wide_console
from apart import READINGS, Reading, Row, compared, evaluated, opened, table
from question import METRIC
from torch import Tensor, nn

from graphmi.cli import answer
from graphmi.data import Histories
from graphmi.evaluator import Evaluator
from graphmi.models import SideBySide
from graphmi.restore import Restored
from graphmi.result import versions
from graphmi.run import RunFolder
from graphmi.typing import Batch, HistoryReader, Representations
from graphmi.usage import UsageError

WEIGHTS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 2.0)
Group = tuple[Sequence[nn.Module], Sequence[nn.Module]]


class Chosen(NamedTuple):
    """A row of the table, and the validation metric of each weight."""

    row: Row
    valid: dict[float, float]


class Remembered(nn.Module):
    """A trained model that answers what it was asked before from memory, since every weight asks the same."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self._answers = model, dict[tuple[bytes, ...], Representations]()
        if isinstance(model, HistoryReader):
            self.max_length = model.max_length

    def forward(self, batch: Batch) -> Representations:
        """Return what the model says of the batch."""
        asked = (batch.user, batch.history, batch.mask)
        key = tuple(part.numpy().tobytes() for part in asked if part is not None)
        if key not in self._answers:
            self._answers[key] = self.model(batch)
        return self._answers[key]


def beside(groups: Sequence[Group], reading: Reading, weight: float) -> list[SideBySide]:
    """Return sequence models beside graph models that have this weight."""
    return [
        SideBySide([*first, *second], reading, [1.0] * len(first) + [weight] * len(second)) for first, second in groups
    ]


def curve(asked: Restored, groups: Sequence[Group], reading: Reading) -> dict[float, float]:
    """Return the mean validation metric of each weight."""
    known = asked.dataset.known("valid")
    valid = Evaluator(asked.dataset.targets("valid"), known, (20,), history=Histories(known), quick=True)
    return {
        weight: sum(valid(model).metrics[METRIC] for model in beside(groups, reading, weight)) / len(groups)
        for weight in WEIGHTS
    }


def chosen(name: str, asked: Restored, groups: Sequence[Group], reading: Reading, diversity: Tensor) -> Chosen:
    """Return both at the weight that validation prefers."""
    valid = curve(asked, groups, reading)
    weight = max(valid, key=lambda each: valid[each])
    text = f"{name}, {READINGS[reading]}, graph by {weight:g}"
    return Chosen(evaluated(text, asked, beside(groups, reading, weight), diversity), valid)


def beside_graphs(
    name: str,
    asked: Restored,
    sequences: Sequence[nn.Module],
    graphs: Sequence[nn.Module],
    readings: Sequence[Reading],
    diversity: Tensor,
    only_pairs: bool,
) -> tuple[list[Row], list[Chosen]]:
    """Return the rows of sequence models alone, and of them and the graphs together."""
    of = f"{name}: " if name else ""
    alone = [evaluated(f"{name or 'sequence'} alone", asked, sequences, diversity)]
    pairs = [([one], [other]) for one, other in zip(sequences, graphs, strict=True)]
    both = [chosen(f"{of}both", asked, pairs, reading, diversity) for reading in readings]
    if len(pairs) > 1 and not only_pairs:
        alone.append(evaluated(f"{of}all sequence models, added up", asked, [SideBySide(sequences)], diversity))
        both.append(chosen(f"{of}all", asked, [(sequences, graphs)], "sum", diversity))
    return alone, both


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument(
        "--sequence", type=Path, nargs="+", action="append", required=True, help="run folders of 'graphmi train'"
    )
    parser.add_argument("--graph", type=Path, nargs="+", required=True, help="as many run folders on the same data")
    parser.add_argument("--reading", nargs="+", choices=READINGS, default=list(READINGS), help="both unless given")
    parser.add_argument(
        "--pairs", action="store_true", help="only pairs: of many models with several interests all cannot be added up"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/both.json"))
    arguments = parser.parse_args()
    size = len(arguments.graph)
    for folders in arguments.sequence:
        if len(folders) != size:
            raise UsageError(f"name as many runs of graphs as of sequences (got {size} and {len(folders)})")
    kinds = [*arguments.sequence, arguments.graph]
    runs = opened(list(chain.from_iterable(kinds)))
    first, models = runs[0], [Remembered(run.model) for run in runs]
    *sequences, graphs = (models[start : start + size] for start in range(0, len(models), size))
    names = [folders[0].absolute().parent.name for folders in arguments.sequence] if len(sequences) > 1 else [""]
    diversity = first.experiment.groups.values(first.dataset.train)
    found, both = list[Row](), list[Chosen]()
    for name, group in zip(names, sequences, strict=True):
        alone, together = beside_graphs(name, first, group, graphs, arguments.reading, diversity, arguments.pairs)
        found += alone
        both += together
    found.insert(1, evaluated("graph alone", first, graphs, diversity))
    joined = [each.row for each in both]
    tests = compared(found + joined)
    wide_console().print(table(found + joined, tests))
    content = {
        "data": Path(first.experiment.data).name,
        "versions": versions(),
        "rows": {row.name: row.numbers() for row in found + joined},
        f"less {found[0].name}": tests,
        "validation by weight": {each.row.name: each.valid for each in both},
    }
    if len(sequences) > 1:
        content[f"less {joined[0].name}"] = tests = compared(joined)
        wide_console().print(table(joined, tests))
    RunFolder(arguments.out.parent).write_text(arguments.out.name, json.dumps(content, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(answer(main))
