"""A run folder as what it was made of: experiment, data and trained model."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from torch import Tensor, nn

from graphmi.config import read_config
from graphmi.data import Dataset, Interactions
from graphmi.experiment import Experiment
from graphmi.result import check_data, describe_data
from graphmi.run import RunFolder

__all__ = ["Restored", "located", "require_data", "restore", "restore_model"]

# A run that was trained elsewhere is asked on the device that is here, and what made its steps fast is not needed.
_HERE = (
    "--trainer.accelerator=auto",
    "--trainer.precision=32-true",
    "--trainer.kernels=torch",
    "--trainer.compile=null",
)


@dataclass(frozen=True)
class Restored:
    """A run that can be asked again.

    Attributes:
        folder: Where it lies.
        experiment: What was run; its device is the one that is here.
        interactions: All data of the run, targets included.
        dataset: The same, split.
        model: The model with the weights of its best epoch, in evaluation mode.
    """

    folder: RunFolder
    experiment: Experiment
    interactions: Interactions
    dataset: Dataset
    model: nn.Module


def restore(folder: RunFolder, data: str | None = None) -> Restored:
    """Read a run's data again and put its weights into its model.

    Args:
        folder: The run, on any device.
        data: Where the data lies now, if not where it lay at training. Further files of the run, attributes of items
            and those of a given split, are then looked for where they lay seen from the data, if they are gone.

    Raises:
        FileNotFoundError: If there is no trained model, its training has not ended, or its data has moved.
        ValueError: If the data is not that of the run, or the weights are not those of its configuration.
    """
    experiment, weights = _read(folder, data)
    require_data(folder, experiment)
    interactions = experiment.interactions()
    dataset = experiment.dataset(interactions)
    check_data(folder, describe_data(experiment, dataset))
    return Restored(folder, experiment, interactions, dataset, _model(folder, experiment, weights, dataset))


def restore_model(folder: RunFolder, beside: Restored) -> nn.Module:
    """Return the model of a run on the data of another, with the weights of its best epoch.

    Args:
        folder: The run, on any device.
        beside: A run on the same data, which is not read again.

    Raises:
        FileNotFoundError: If there is no trained model, or its training has not ended.
        ValueError: If the data is not that of the run, or the weights are not those of its configuration.
    """
    experiment, weights = _read(folder)
    check_data(folder, describe_data(beside.experiment, beside.dataset))
    return _model(folder, experiment, weights, beside.dataset)


def _read(folder: RunFolder, data: str | None = None) -> tuple[Experiment, Mapping[str, Tensor]]:
    text, words = located(folder.read_config(), data)
    experiment = read_config(text, arguments=[*_HERE, *words]).experiment()
    return experiment, folder.require_ended().read_tensors("model")


def require_data(folder: RunFolder, experiment: Experiment) -> None:
    """Check that the data of a run is where it lay.

    Raises:
        FileNotFoundError: If it is not.
    """
    if (path := Path(experiment.data)).is_absolute() and not path.exists():  # names of data sets are no paths
        raise FileNotFoundError(
            f"the data of the run in '{folder.path}' is not at '{path}': say with --data where it is"
        )


def located(text: str, data: str | None) -> tuple[str, list[str]]:
    """Return a configuration, and the options over it, with the data, and files that have moved along, where they are.

    Args:
        text: The configuration of a run.
        data: Where its data lies now; where it lay when omitted.
    """
    if data is None:
        return text, []
    values, now = yaml.safe_load(text), Path(data).parent
    before = Path(str(values.get("data"))).parent

    def place(value: Any) -> Any:
        match value:
            case dict():
                return {name: place(entry) for name, entry in value.items()}
            case str() if Path(value).is_absolute() and not Path(value).exists():
                moved = now / os.path.relpath(value, before)
                return str(moved) if moved.exists() else value
        return value

    files = {name: place(values[name]) for name in ("columns", "split") if name in values}
    return yaml.safe_dump({**values, **files}), ["--data", data]


def _model(folder: RunFolder, experiment: Experiment, weights: Mapping[str, Tensor], dataset: Dataset) -> nn.Module:
    model = experiment.build(dataset)
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(
            f"the weights in '{folder.path}' do not fit the model in its config.yaml: undo what was changed there, or "
            "train again"
        ) from error
    return model.eval()
