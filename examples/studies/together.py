"""Selections, objectives and backbones together: which go with which, on one data set at one budget?

Eight ways to choose among four interests and a single interest, five objectives, six backbones. All have vectors of 64
entries, 128 uniform negatives shared by the batch and Adam. Scores are inner products: cosines need a temperature,
which only the softmax has. Every sequence backbone trains on all prefixes of windows of 20 items, so that an epoch asks
the same of each; dynamic routing has no fast form for prefixes, but a ``TargetLoader`` was no faster per target. The
graph backbones have two layers and larger batches and steps.

All 270 cells are the six questions that are named after a backbone; ``sequence``, ``graph`` and ``objectives`` are the
parts of them that the small budget of three epochs, some ten seconds on a core, is meant for. Cells that the library
refuses or that diverge are shown as failed. ``baselines`` has what needs no training (see ``simple.py``), and what was
best on validation in the others.

    python examples/studies/together.py comirec-sa sequence graph objectives --seeds 1
    python examples/studies/together.py baselines --seeds 3
    python examples/studies/together.py lightgcn --show       # the heat map of what is there
    python examples/studies/together.py comirec-dr --full
"""

import sys
from collections.abc import Iterable
from itertools import product

from ask import main
from figures import heat
from question import METRIC, Cell, Options, Question, Study

SHARED: Options = {
    "sampler": "UniformSampler",
    "sampler__num_negatives": 128,
    "sampler__shared": True,
    "sampler__reject_known": False,
    "trainer__validate_every": 1,
    "trainer__patience": 3,
    "replicates": 200,
}
SEQUENCE: Options = {
    "loader": "PrefixLoader",
    "loader__batch_size": 512,
    "model__max_length": 20,
    "trainer__learning_rate": 0.005,
}
ENCODED: Options = {**SEQUENCE, "model__encoder": "TransformerEncoder", "model__encoder__num_layers": 1}
GRAPH: Options = {"model__num_layers": 2, "trainer__learning_rate": 0.03}
BACKBONES = {
    "comirec-sa": ("comirec-sa", SEQUENCE),
    "comirec-dr": ("comirec-dr", SEQUENCE),
    "mind": ("mind", SEQUENCE),
    "transformer": ("comirec-sa", ENCODED),
    "lightgcn": ("interest-gcn", GRAPH),
    "cagcn": ("interest-cagcn", GRAPH),
}
GRAPHS = ("lightgcn", "cagcn")
SEQUENCES = tuple(name for name in BACKBONES if name not in GRAPHS)
SELECTIONS: dict[str, Options] = {
    "single": {"readout": "SelectReadout", "readout__anchor": "candidate"},
    "hard": {"readout": "SelectReadout", "readout__selector": "ArgmaxSelector"},
    "drawn": {"readout": "SelectReadout", "readout__selector": "SampledSelector"},
    "inverse distance": {"readout": "SelectReadout", "readout__selector": "InverseDistanceSelector"},
    "mean": {"readout": "SelectReadout", "readout__selector": "MeanSelector"},
    "maximum": {
        "readout": "SelectReadout",
        "readout__selector": "ArgmaxSelector",
        "readout__anchor": "candidate",
    },
    "log-sum-exp": {"readout": "LogSumExpReadout"},
    "expected": {"readout": "ExpectedReadout", "readout__selector": "SoftmaxSelector"},
    "mixture": {"readout": "MixtureReadout"},
}
OBJECTIVES = {
    "softmax": "SampledSoftmaxLoss",
    "bce": "BCELoss",
    "gbce": "GBCELoss",
    "bpr": "BPRLoss",
    "triplet": "TripletLoss",
}
SIMPLE: dict[str, Options] = {  # chosen by simple.py
    "popularity": {},
    "item neighbours, training items": {"model": "ItemKNN", "model__neighbors": 20, "model__shrinkage": 0},
    "item neighbours, latest 2": {
        "model": "ItemKNN",
        "model__neighbors": 300,
        "model__shrinkage": 20,
        "model__max_length": 2,
    },
    "EASE, training items": {"model": "EASE", "model__regularization": 100},
    "EASE, latest 5": {"model": "EASE", "model__regularization": 3000, "model__max_length": 5},
}


def grid(
    asks: str, backbones: Iterable[str], selections: Iterable[str], objectives: Iterable[str], at: tuple[int, int]
) -> Question:
    """Return all compositions, each compared with the single interest of its backbone and objective.

    Args:
        asks: The question.
        backbones: Of :data:`BACKBONES`.
        selections: Of :data:`SELECTIONS`.
        objectives: Of :data:`OBJECTIVES`.
        at: Which two of the three are rows and columns of the heat map.
    """
    cells, against = {}, {}
    for names in product(backbones, selections, objectives):
        cells[", ".join(names)] = compose(*names, at=tuple(names[place] for place in at))
        if names[1] != "single":
            against[", ".join(names)] = ", ".join((names[0], "single", names[2]))
    return Question(asks, cells, against, ("valid", METRIC, "recall@20", "spread", "seconds"), figure=heat(METRIC))


def compose(backbone: str, selection: str, objective: str, at: tuple[object, ...] = ()) -> Cell:
    """Return one composition."""
    preset, options = BACKBONES[backbone]
    loss = {**SELECTIONS[selection], "objective": OBJECTIVES[objective]}
    options = {**options, **{f"loss__{name}": value for name, value in loss.items()}}
    if selection == "single":
        options["model__num_interests" if backbone in GRAPHS else "model__extractor__num_interests"] = 1
    return Cell(preset, options, at=at)


BEST = (("comirec-sa", "single", "softmax"), ("comirec-sa", "drawn", "triplet"))  # by validation, of the small budget
STUDY = Study(
    "together",
    {
        "sequence": grid("Which selection goes with which sequence model?", SEQUENCES, SELECTIONS, ["softmax"], (1, 0)),
        "graph": grid("Which selection goes with which graph model?", GRAPHS, SELECTIONS, ["softmax"], (1, 0)),
        "objectives": grid(
            "Which objective goes with which selection in a graph?",
            ["lightgcn"],
            ["single", "hard", "maximum", "log-sum-exp"],
            OBJECTIVES,
            (1, 2),
        ),
        **{
            backbone: grid(
                f"Which selection goes with which objective? {backbone}", [backbone], SELECTIONS, OBJECTIVES, (1, 2)
            )
            for backbone in BACKBONES
        },
        "baselines": Question(
            "How do the best compare with what needs no training?",
            {name: Cell("popularity", options) for name, options in SIMPLE.items()}
            | {", ".join(names): compose(*names) for names in BEST},
            against=", ".join(BEST[0]),
            columns=("valid", METRIC, "recall@20", "ndcg@10", "recall@10", "spread", "seconds"),
        ),
    },
    small={**SHARED, "trainer__epochs": 3},
    full={"trainer__epochs": 60, "sampler__num_negatives": 512},
)

if __name__ == "__main__":
    sys.exit(main(STUDY, __doc__))
