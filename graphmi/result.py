"""What a run leaves behind as ``result.json``: numbers, and all that is needed to trust and repeat them."""

import platform
import shlex
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
from torch import Tensor

from graphmi.data import Dataset
from graphmi.evaluator import Evaluation
from graphmi.experiment import Experiment, Fitted, Trained
from graphmi.run import RunFolder
from graphmi.trainer import Trainer

__all__ = ["check_data", "describe_data", "describe_evaluation", "is_whole", "save_run", "versions"]

_PACKAGES = (
    *("graphmi", "torch", "torch-geometric", "torchmetrics", "lightning-fabric"),
    *("polars", "numpy", "scipy", "networkx", "torch-scatter", "triton"),
)
# What result.json holds, and besides where the model was tested.
_ENTRIES = {
    *("description", "protocol", "data", "seed", "device", "versions", "valid_metrics", "valid_protocol"),
    *("best_epoch", "epochs", "num_parameters", "timings", "config"),
}
_MEASURED = {"metrics", "groups", "lists", "interests", "interest_share", "num_users"}


def save_run(
    folder: RunFolder, experiment: Experiment, dataset: Dataset, trained: Fitted, config: Mapping[str, Any]
) -> dict[str, Any]:
    """Write weights, per-user values and ``result.json`` of a finished run, and return the content of the latter.

    Args:
        folder: The run folder.
        experiment: What was run.
        dataset: The data it was run on.
        trained: What came out of it; of a model that was not tested no metrics are written, and nothing of users.
        config: The resolved configuration.
    """
    history, model = trained.history, trained.model
    folder.write_tensors("model", model.state_dict())
    if isinstance(trained, Trained):
        folder.write_tensors("per_user", _per_user(experiment, dataset, trained))
        described = describe_evaluation(experiment, dataset, trained.test)
    else:
        described = {"protocol": dataset.protocol, **_describe_run(experiment, dataset)}
    result = {
        "description": experiment.description,
        **described,
        "valid_metrics": {name: value for name, value in trained.valid.items() if not name.startswith("interests/")},
        "valid_protocol": experiment.valid_protocol(dataset),
        "best_epoch": history.best_epoch,
        "epochs": history.epochs,
        "num_parameters": sum(parameter.numel() for parameter in model.parameters()),
        "timings": {
            "train_seconds": history.seconds,
            "pairs_per_second": history.pairs / history.seconds if history.seconds else None,
        },
        "config": config,
    }
    folder.write_result(result)
    return result


def is_whole(folder: RunFolder, tested: bool) -> bool:
    """Tell whether a run has ended, and all that it left for others is there and can be read.

    Args:
        folder: The run.
        tested: Whether the run should have been tested.
    """
    try:
        result, rows = folder.read_result(), folder.read_metrics()
        for name in ("model", *["per_user"] * tested):
            folder.read_tensors(name)
    except (OSError, ValueError):
        return False
    return result.keys() >= _ENTRIES | (_MEASURED if tested else set()) and len(rows) == result["epochs"]


def describe_evaluation(experiment: Experiment, dataset: Dataset, evaluation: Evaluation) -> dict[str, Any]:
    """Return metrics and groups with their protocol, data, seed and versions."""
    return {
        **evaluation.to_dict(),
        "protocol": {
            **dataset.protocol,
            **evaluation.protocol,
            "groups": experiment.groups.protocol(dataset.train),
        },
        **_describe_run(experiment, dataset),
    }


def describe_data(experiment: Experiment, dataset: Dataset) -> dict[str, Any]:
    """Return the name, sizes and fingerprint of the data."""
    return {
        "name": experiment.data,
        "fingerprint": dataset.fingerprint(),
        "users": dataset.num_users,
        "items": dataset.num_items,
        "train": len(dataset.train),
        "valid": len(dataset.valid),
        "test": len(dataset.test),
    }


def check_data(folder: RunFolder, data: Mapping[str, Any]) -> None:
    """Check that data is what a run was trained on.

    Args:
        folder: The run.
        data: What :func:`describe_data` says of the data.

    Raises:
        ValueError: If it is not.
    """
    trained_on = folder.read_result("data.json")
    if trained_on["fingerprint"] != data["fingerprint"]:
        raise ValueError(
            f"the data '{data['name']}' is not what the run in '{folder.path}' was trained on: its fingerprint is "
            f"{data['fingerprint'][:12]}, not {trained_on['fingerprint'][:12]}; put that data back, or train anew: "
            f"graphmi train --config {shlex.quote(str(folder.path / 'config.yaml'))} --out AGAIN"
        )


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that numbers depend on."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _describe_run(experiment: Experiment, dataset: Dataset) -> dict[str, Any]:
    return {
        "data": describe_data(experiment, dataset),
        "seed": experiment.seed,
        "device": _device(experiment.trainer),
        "versions": versions(),
    }


def _per_user(experiment: Experiment, dataset: Dataset, trained: Trained) -> dict[str, Tensor]:
    """Return metrics, groups, activity and diversity of the evaluated users."""
    users = trained.test.users
    activity = dataset.train.user.bincount(minlength=dataset.num_users)[users]
    values = {"user": users, "activity": activity, **trained.test.per_user, **trained.test.diagnostics}
    if groups := experiment.groups.cut(trained.diversity, dataset.train, users):
        values |= {f"group/{name}": group[users] for name, group in groups.items()}
        values["diversity"] = trained.diversity[users]
    return values


def _device(trainer: Trainer) -> str:
    device, world = trainer.device, trainer.fabric.world_size
    cuda = device.type == "cuda"
    name = torch.cuda.get_device_name(device) if cuda else f"CPU, {torch.get_num_threads()} threads"
    return name if world == 1 else f"{name}, {world} processes"
