"""Is a sequence model beside a graph model of the same users better than the sequence model alone?

The two are trained apart and put side by side (:class:`graphmi.models.SideBySide`): their scores are *added up*, or the
*best* one counts, as over two interests. How much the graph's scores weigh is chosen on validation, of a few numbers,
once for all pairs. The test is compared with the sequence models alone, user by user and averaged over the pairs.

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

import torch
from answers import wide_console
from apart import READINGS, Reading, Row, compared, evaluated, opened, table
from question import METRIC
from torch import nn

from graphmi.cli import answer
from graphmi.models import SideBySide
from graphmi.restore import Restored
from graphmi.result import versions
from graphmi.run import RunFolder
from graphmi.usage import UsageError

WEIGHTS = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
Pair = tuple[nn.Module, nn.Module]


def beside(pairs: Sequence[Pair], reading: Reading, weight: float) -> list[SideBySide]:
    """Return the pairs with this weight of the second model."""
    return [SideBySide(pair, reading, (1.0, weight)) for pair in pairs]


def curve(asked: Restored, pairs: Sequence[Pair], reading: Reading) -> dict[float, float]:
    """Return the mean validation metric of each weight."""

    def valid(model: nn.Module) -> float:
        return asked.experiment.evaluate(model, asked.dataset, "valid", (20,)).metrics[METRIC]

    with torch.no_grad():
        return {weight: sum(map(valid, beside(pairs, reading, weight))) / len(pairs) for weight in WEIGHTS}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--sequence", type=Path, nargs="+", required=True, help="run folders of 'graphmi train'")
    parser.add_argument("--graph", type=Path, nargs="+", required=True, help="as many run folders on the same data")
    parser.add_argument("--out", type=Path, default=Path("runs/both.json"))
    arguments = parser.parse_args()
    if len(arguments.sequence) != len(arguments.graph):
        raise UsageError(
            f"name as many runs of graphs as of sequences (got {len(arguments.graph)} and {len(arguments.sequence)})"
        )
    runs = opened([*arguments.sequence, *arguments.graph])
    first, models = runs[0], [run.model for run in runs]
    half = len(models) // 2
    pairs = list(zip(models[:half], models[half:], strict=True))
    diversity = first.experiment.groups.values(first.dataset.train)
    found: list[Row] = [evaluated("sequence alone", first, models[:half], diversity)]
    found.append(evaluated("graph alone", first, models[half:], diversity))
    curves = {}
    for reading, text in READINGS.items():
        curves[text] = curve(first, pairs, reading)
        weight = max(curves[text], key=lambda each: curves[text][each])
        found.append(evaluated(f"both, {text}, graph by {weight:g}", first, beside(pairs, reading, weight), diversity))
    tests = compared(found)
    wide_console().print(table(found, tests))
    content = {
        "data": Path(first.experiment.data).name,
        "versions": versions(),
        "rows": {row.name: row.numbers() for row in found},
        "less sequence alone": tests,
        "validation by weight": curves,
    }
    RunFolder(arguments.out.parent).write_text(arguments.out.name, json.dumps(content, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(answer(main))
