"""What studies measure of a trained model beyond its test: cold users and items, kept interests, cost of a step."""

import time
from collections.abc import Mapping
from itertools import islice
from statistics import median

import torch
from question import METRIC
from torch import Tensor

from graphmi.asking import device_of, evaluating, question
from graphmi.data import Dataset, Histories
from graphmi.evaluator import Evaluator
from graphmi.experiment import Experiment, Trained
from graphmi.typing import HistoryReader

LENGTHS = (1, 2, 5)


def cold(dataset: Dataset, trained: Trained) -> Mapping[str, float]:
    """Return the test metric of cold users and of cold items.

    ``shortest quarter`` and ``longest quarter`` are users by training interactions, ``rare targets`` and ``common
    targets`` the quarters of the test items by training interactions. For a model that reads histories, ``last n`` is
    the mean over all users if it reads no more than that many items of each; what they know is left out all the same.
    """
    users, values = trained.test.users, trained.test.per_user[METRIC]
    target = torch.zeros(dataset.num_users, dtype=torch.int64)
    target[dataset.test.user] = dataset.test.item
    activity = dataset.train.user.bincount(minlength=dataset.num_users)[users]
    popularity = dataset.train.item.bincount(minlength=dataset.num_items)[target[users]]
    measured = dict(zip(("shortest quarter", "longest quarter"), _ends(values, activity), strict=True))
    return (
        measured
        | dict(zip(("rare targets", "common targets"), _ends(values, popularity), strict=True))
        | _short(dataset, trained)
    )


@torch.no_grad()
def kept(experiment: Experiment, dataset: Dataset, trained: Trained) -> Mapping[str, float]:
    """Return how many interests users keep, and how that goes with their diversity, where the model says it."""
    device = device_of(trained.model)
    history = Histories(dataset.known("test")).to(device)
    with evaluating(trained.model):
        asked = question(trained.model, torch.arange(dataset.num_users), history, device)
        mask = trained.model(asked).interest_mask
    if mask is None:
        return {}
    number = mask.sum(1).cpu().double()
    known = ~trained.diversity.isnan()
    correlation = torch.corrcoef(torch.stack([number, trained.diversity.double()])[:, known])[0, 1]
    return {"kept": float(number.mean()), "kept-diversity correlation": float(correlation.nan_to_num())}


def speed(experiment: Experiment, dataset: Dataset, steps: int = 12) -> Mapping[str, float]:
    """Return processor time of a training step without the optimizer's, which a busy machine changes little.

    It is the median over some steps of a new model: ``step ms`` in milliseconds, ``targets per second`` of this time.
    """
    model, loader = experiment.build(dataset), experiment.loader(dataset.train)
    loader.max_length, loader.generator = getattr(model, "max_length", None), torch.Generator().manual_seed(0)
    sampler, loss, draws = experiment.sampler(dataset.graph()), experiment.loss, torch.Generator().manual_seed(0)
    seconds, targets = [], []
    for batch in islice(loader, steps):
        start = time.process_time()
        negatives = sampler(batch.user, batch.positive, draws)
        terms = loss.terms(model(batch), batch.positive, negatives, batch.row, batch.user)
        torch.stack(list(terms.values())).sum().backward()
        seconds.append(time.process_time() - start)
        targets.append(len(batch.positive))
    return {
        "step ms": 1000 * median(seconds),
        "targets per second": median(size / one for size, one in zip(targets, seconds, strict=True)),
    }


def _ends(values: Tensor, by: Tensor) -> tuple[float, float]:
    """Return the means of the quarters with the lowest and the highest ``by``, ties on the edge included."""
    low, high = by.double().quantile(torch.tensor([0.25, 0.75], dtype=torch.double))
    return float(values[by <= low].mean()), float(values[by >= high].mean())


def _short(dataset: Dataset, trained: Trained) -> Mapping[str, float]:
    model = trained.model
    if not isinstance(model, HistoryReader):
        return {}
    known, longest = dataset.known("test"), model.max_length
    evaluator = Evaluator(dataset.targets("test"), known, [20], history=Histories(known), quick=True)
    measured = {}
    for length in LENGTHS:
        model.max_length = min(length, longest)
        measured[f"last {length}"] = evaluator(model).metrics[METRIC]
    model.max_length = longest
    return measured
