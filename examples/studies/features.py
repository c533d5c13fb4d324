"""Features of items: are they of use beside vectors that every item learns for itself, and for which items?

A transformer and a graph of one interest, with and without ``FeatureSum``, which adds a linear map of an item's
features to its own vector, in histories, in the graph and where items are recommended. Features are categories, and
the vectors of ``--option columns__attributes=FILE``, which all cells are given alike. Users have one target, as by
leave-one-out.

    python examples/studies/features.py [QUESTION ...] [--data ml-100k] [--seeds 3]
    python examples/item_vectors.py --data ml-100k --epochs 1 --out titles.parquet
    python examples/studies/features.py --option columns__attributes=titles.parquet --out runs/titles/ml-100k
"""

import sys
from collections.abc import Mapping

import torch
from ask import main
from figures import bars
from question import COLUMNS, METRIC, Cell, Options, Question, Study

from graphmi.data import Dataset
from graphmi.experiment import Experiment, Trained

FEATURES: Options = {"model__item_tower": "FeatureSum"}
TRANSFORMER: Options = {
    "trainer__epochs": 60,
    "trainer__patience": 4,
    "model__extractor__num_interests": 1,
    "loss__readout": {"class_path": "SelectReadout", "init_args": {"anchor": "candidate"}},
}
BOUNDS = {"never met": (0, 1), "met 1 to 4 times": (1, 5), "met 5 to 19 times": (5, 20), "met more": (20, 2**62)}
OF_ITEMS = tuple(f"targets {name}" for name in BOUNDS)


def measure(experiment: Experiment, dataset: Dataset, trained: Trained) -> Mapping[str, float]:
    """Return the test metric by how often a user's target was met in training, and how many targets these are."""
    users, values = trained.test.users, trained.test.per_user[METRIC]
    target = torch.zeros(dataset.num_users, dtype=torch.int64)
    target[dataset.test.user] = dataset.test.item
    met = dataset.train.item.bincount(minlength=dataset.num_items)[target[users]]
    found = {}
    for name, (low, high) in BOUNDS.items():
        chosen = (met >= low) & (met < high)
        if chosen.any():
            found |= {f"targets {name}": float(values[chosen].mean()), f"number {name}": float(chosen.sum())}
    return found


def both(name: str, preset: str, **options: object) -> dict[str, Cell]:
    """Return a model without features, and with them."""
    return {name: Cell(preset, options), f"{name}, features": Cell(preset, {**options, **FEATURES})}


MODELS = {
    "transformer": both("transformer", "multi-interest-transformer", **TRANSFORMER),
    "graph": both("graph", "lightgcn-latest"),
}

STUDY = Study(
    "features",
    {
        name: Question(
            "Do features help beside the items' own vectors, and for which items?",
            cells,
            against=next(iter(cells)),
            columns=("valid", *COLUMNS, *OF_ITEMS),
            figure=bars(METRIC),
            data=("ml-100k", "movietweetings", "amazon-toys", "amazon-beauty"),
        )
        for name, cells in MODELS.items()
    },
    small={},
    full={},
    measure=measure,
)

if __name__ == "__main__":
    sys.exit(main(STUDY, __doc__))
