"""The cells of a study, trained with several seeds and tested once.

Every cell with every seed is a run folder as ``graphmi train`` makes it; what is there already is not done again, and
what was interrupted goes on, so the same command can be given until all is done. Validation selects the epoch.
"""

import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import torch
from question import METRIC, Cell, Options, Question, Study
from torch import Tensor

from graphmi.comparison import NamedRun
from graphmi.config import Config, preset_config, read_config, settings
from graphmi.data import Dataset
from graphmi.experiment import Trained
from graphmi.result import describe_data, save_run
from graphmi.run import RunFolder

FAILED = "failed.json"


@dataclass(frozen=True)
class Data:
    """What decides the data of a run.

    Attributes:
        config: A configuration; two with the same data, columns, filter, split and groups are equal here.
        key: These as text.
    """

    config: Config = field(compare=False)
    key: str = field(init=False)

    def __post_init__(self) -> None:
        values = self.config.to_dict()
        key = json.dumps([values[name] for name in ("data", "columns", "filter", "split", "groups")])
        object.__setattr__(self, "key", key)


@cache
def prepared(data: Data) -> tuple[Dataset, Tensor]:
    """Return a data set and the diversity of its users; read and measured once for all cells."""
    experiment = data.config.experiment()
    dataset = experiment.dataset()
    return dataset, experiment.groups.values(dataset.train)


@dataclass(frozen=True)
class Runs:
    """The runs of a study on one data set.

    Attributes:
        study: What is asked.
        data: Name or file of the data.
        folder: Where the runs are kept.
        full: Whether cells have the full budget.
        given: Options over all others.
    """

    study: Study
    data: str
    folder: Path
    full: bool = False
    given: Options = field(default_factory=dict)

    def config(self, cell: Cell, seed: int) -> Config:
        """Return the configuration of a cell."""
        budget = {**self.study.small, **(self.study.full if self.full else {})}
        options = {**budget, **cell.options, **self.given, "seed": seed}
        return preset_config(cell.preset, self.data, backbone=cell.backbone, **options)

    def train(self, name: str, cell: Cell, seed: int) -> str:
        """Train and test a cell with one seed unless that is done, and say what came out.

        Raises:
            ValueError: If the folder has a run with other options.
        """
        folder, config = RunFolder(self.path(name, seed)), self.config(cell, seed)
        # Read again, so that options which are newer than the folder are there with their defaults.
        if folder.exists and settings(read_config(folder.read_config()).to_dict()) != settings(config.to_dict()):
            raise ValueError(f"'{folder.path}' has a run with other options: name another folder with --out")
        if not any((folder.path / file).exists() for file in ("result.json", FAILED)):
            try:
                self._train(folder, config)
            except (FloatingPointError, torch.OutOfMemoryError) as error:  # recorded, and the others go on
                folder.write_result({"error": str(error)}, FAILED)
        if (folder.path / FAILED).exists():
            return f"failed: {folder.read_result(FAILED)['error']}"
        return f"{METRIC} {folder.read_result()['metrics'][METRIC]:.4f}"

    def _train(self, folder: RunFolder, config: Config) -> None:
        experiment = config.experiment()
        dataset, diversity = prepared(Data(config))
        folder.write_result(describe_data(experiment, dataset), "data.json")
        folder.write_config(config.text())
        fitted = experiment.fit(dataset, folder, resume=True)
        test = experiment.evaluate(fitted.model, dataset, "test", diversity=diversity)
        trained = Trained(fitted.model, fitted.history, fitted.valid, test, diversity)
        if self.study.measure is not None:
            folder.write_result(self.study.measure(experiment, dataset, trained), "measured.json")
        save_run(folder, experiment, dataset, trained, config.to_dict())
        (folder.path / "resume.pt").unlink(missing_ok=True)

    def path(self, name: str, seed: int) -> Path:
        """Return the run folder of a cell and a seed."""
        return self.folder / name.replace("/", "-").replace(" ", "") / f"seed{seed}"

    def failed(self, question: Question) -> list[str]:
        """Return the cells and seeds of a question that diverged or ran out of memory."""
        return [
            f"{name}, {path.parent.name}"
            for name in question.cells
            for path in sorted(self.path(name, 0).parent.glob(f"seed*/{FAILED}"))
        ]

    def found(self, question: Question) -> dict[str, list[NamedRun]]:
        """Return the finished runs of a question's cells that have any."""
        found = {
            name: [
                NamedRun(f"{name}, {path.name}", RunFolder(path))
                for path in sorted(self.path(name, 0).parent.glob("seed*"))
                if (path / "result.json").exists()
            ]
            for name in question.cells
        }
        return {name: runs for name, runs in found.items() if runs}
