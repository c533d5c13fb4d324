"""Is a sequence model beside a graph model of the same users better than the sequence model alone?

The two are trained apart and put side by side (:class:`graphmi.models.SideBySide`): their scores are *added up*, or the
*best* one counts, as over two interests. How much the graph's scores weigh is chosen on validation, of a few numbers,
once for all pairs. Where there are several pairs, all models are put together too. The test is compared with the
sequence models alone, user by user and averaged over the pairs.

    graphmi train multi-interest-transformer ... --seed 0 --out runs/sequence/0    # and other seeds
    graphmi train lightgcn-latest --data ml-100k --seed 0 --out runs/graph/0
    python examples/studies/both.py --sequence runs/sequence/0 runs/sequence/1 --graph runs/graph/0 runs/graph/1

``--out`` is the file of the numbers.
"""

import argparse
import json
import sys
from collections.abc import Sequence
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


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--sequence", type=Path, nargs="+", required=True, help="run folders of 'graphmi train'")
    parser.add_argument("--graph", type=Path, nargs="+", required=True, help="as many run folders on the same data")
    parser.add_argument("--reading", nargs="+", choices=READINGS, default=list(READINGS), help="both unless given")
    parser.add_argument("--out", type=Path, default=Path("runs/both.json"))
    arguments = parser.parse_args()
    if len(arguments.sequence) != len(arguments.graph):
        raise UsageError(
            f"name as many runs of graphs as of sequences (got {len(arguments.graph)} and {len(arguments.sequence)})"
        )
    runs = opened([*arguments.sequence, *arguments.graph])
    first, models = runs[0], [Remembered(run.model) for run in runs]
    sequences, graphs = models[: len(models) // 2], models[len(models) // 2 :]
    diversity = first.experiment.groups.values(first.dataset.train)
    found = [
        evaluated("sequence alone", first, sequences, diversity),
        evaluated("graph alone", first, graphs, diversity),
    ]
    pairs = [([one], [other]) for one, other in zip(sequences, graphs, strict=True)]
    both = [chosen("both", first, pairs, reading, diversity) for reading in arguments.reading]
    if len(pairs) > 1:
        found.append(evaluated("all sequence models, added up", first, [SideBySide(sequences)], diversity))
        both.append(chosen("all", first, [(sequences, graphs)], "sum", diversity))
    found += [each.row for each in both]
    tests = compared(found)
    wide_console().print(table(found, tests))
    content = {
        "data": Path(first.experiment.data).name,
        "versions": versions(),
        "rows": {row.name: row.numbers() for row in found},
        "less sequence alone": tests,
        "validation by weight": {each.row.name: each.valid for each in both},
    }
    RunFolder(arguments.out.parent).write_text(arguments.out.name, json.dumps(content, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(answer(main))
