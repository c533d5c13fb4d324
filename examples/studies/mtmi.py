"""MTMI: independent user towers, inverse distance weighting, and repulsion.

Xiong and Yu, Multi-Tower Multi-Interest Recommendation with User Representation Repel, 2024,
https://arxiv.org/abs/2403.05122. The paper is withdrawn and has no code, so what is studied is a reconstruction. Are
towers better than self-attention or routing when all are trained alike, which part of the loss does what, how do the
number of towers, alpha and beta matter, what does it cost, and what becomes of cold users and items?

    python examples/studies/mtmi.py [QUESTION ...] [--data ml-100k] [--seeds 3] [--full]

All cells train on the same windows of up to 20 items against 64 shared uniform negatives. ``triplet`` is the loss of
the preset, inverse distances and repulsion, and ``softmax`` the same with a softmax in place of the triplets.
Extractors are compared by a loss without either: a softmax on cosines that trains all interests by log-sum-exp.
"""

import sys
from collections.abc import Mapping
from dataclasses import replace

from ask import main
from components import component, regularizers
from figures import bars, curves, lines
from measures import LENGTHS, cold, speed
from question import COLUMNS, METRIC, Cell, Options, Question, Study

from graphmi.data import Dataset
from graphmi.experiment import Experiment, Trained

DIVERSE = ("interests/cosine", "interests/effective@10")
COLD = ("shortest quarter", "longest quarter", "rare targets", "common targets", *(f"last {n}" for n in LENGTHS))


def measure(experiment: Experiment, dataset: Dataset, trained: Trained) -> Mapping[str, float]:
    """Return the metrics of cold users and items, and the processor time of a training step."""
    return {**cold(dataset, trained), **speed(experiment, dataset)}


def extractors(size: int) -> dict[str, Options]:
    """Return the extractors with this many interests."""
    attention, routing = "SelfAttentiveExtractor", "DynamicRoutingExtractor"
    separate = {"shared_map": False, "random_logits": False, "dynamic_interests": False}
    return {
        "towers": component("nn", "UserTowers", num_interests=size),
        "attentive towers": component(
            "nn", "UserTowers", num_interests=size, extractor=component("nn", attention, num_interests=1)
        ),
        "self-attention": component("nn", attention, num_interests=size),
        "dynamic routing": component("nn", routing, num_interests=size, **separate),
        "MIND's routing": component("nn", routing, num_interests=size),
    }


def loader(name: str, **arguments: object) -> Options:
    """Return the option for a loader."""
    return {"loader": component("data", name, **arguments)}


def softmax(readout: dict[str, object]) -> Options:
    """Return the option for a softmax loss at temperature 0.1."""
    objective = component("losses", "SampledSoftmaxLoss", temperature=0.1)
    return {"loss": component("losses", "MultiInterestLoss", readout=readout, objective=objective)}


def distances(objective: str, weighting: object = 1.0, beta: float = 0.1, **options: object) -> Cell:
    """Return towers trained on distances.

    Args:
        objective: ``"triplet"`` or ``"softmax"``.
        weighting: alpha of the inverse distances, ``"nearest"`` for the nearest interest alone.
        beta: Weight of the repulsion.
        options: Further options.
    """
    distance = component("nn", "NegativeDistance")
    selector = (
        component("nn", "ArgmaxSelector", similarity=distance)
        if weighting == "nearest"
        else component("nn", "InverseDistanceSelector", alpha=weighting, detach_weights=options.pop("detach", False))
    )
    readout = component("nn", "SelectReadout", selector=selector, anchor="candidate", similarity=distance)
    loss = {"triplet": component("losses", "TripletLoss", margin=0.5)}
    loss["softmax"] = component("losses", "SampledSoftmaxLoss", temperature=0.1)
    whole = component("losses", "MultiInterestLoss", readout=readout, objective=loss[objective])
    repulsion = regularizers((beta, component("losses", "InterestRepulsion")))
    return Cell("mtmi", {"loss": whole, **repulsion, **options})


BOTH = ("triplet", "softmax")
SOFTMAX = softmax(component("nn", "LogSumExpReadout", temperature=0.1))
TOWERS = {
    name: Cell("mtmi", {"model__extractor": extractor, **SOFTMAX})
    for name, extractor in {**extractors(4), "one tower": extractors(1)["towers"]}.items()
}
OWN = {f"{preset}, its own": Cell(preset) for preset in ("comirec-sa", "comirec-dr", "mind")}
OWN["one tower, triplet"] = distances("triplet", model__extractor=extractors(1)["towers"])
DEFAULT = {objective: distances(objective) for objective in BOTH}
ABLATION = {
    f"{objective}, {name}{'' if beta else ', no repulsion'}": distances(objective, weighting, beta)
    for objective in BOTH
    for name, weighting in {"inverse": 1.0, "mean": 0.0, "nearest": "nearest"}.items()
    for beta in (0.1, 0.0)
    if (weighting, beta) != (1.0, 0.1)
}


def around(x: float, cells: Mapping[tuple[str, float | int], Cell]) -> dict[str, Cell]:
    """Return the default with softmax at ``x``, and cells where the second part of their keys says."""
    lines = {name: name.split(", ")[-1] if name.endswith("detached") else "attached" for name, _ in cells}
    placed = {name: replace(cell, at=(lines[name], place)) for (name, place), cell in cells.items()}
    return {"softmax": replace(DEFAULT["softmax"], at=("attached", x)), **placed}


SIZES = {
    (f"softmax, {size} towers", size): distances("softmax", model__extractor=extractors(size)["towers"])
    for size in (1, 2, 8)
}
ALPHAS = {("softmax, mean", 0.0): ABLATION["softmax, mean"]} | {
    (f"softmax, alpha {alpha:g}{ending}", alpha): distances("softmax", alpha, detach=bool(ending))
    for ending, alphas in {"": (0.5, 2.0, 5.0, 10.0), ", detached": (2.0, 10.0)}.items()
    for alpha in alphas
}
BETAS = {("softmax, inverse, no repulsion", 0.0): ABLATION["softmax, inverse, no repulsion"]} | {
    (f"softmax, beta {beta:g}", beta): distances("softmax", beta=beta) for beta in (0.01, 1.0)
}
LONGER = {
    f"{name}, longer": replace(cell, options={**cell.options, "trainer__epochs": 40, "trainer__validate_every": 4})
    for name, cell in {**TOWERS, **DEFAULT}.items()
    if name in ("one tower", "towers", "self-attention", *BOTH)
}
COST = {
    f"{name}, K {size}{ending}": Cell(
        "mtmi",
        {**SOFTMAX, "model__extractor": extractor, "trainer__epochs": 1, **options},
        at=(f"{name}{ending}", size),
    )
    for ending, options in {"": {}, ", target by target": loader("TargetLoader", batch_size=256)}.items()
    for size in ((1, 2, 4, 8) if not ending else (4,))
    for name, extractor in extractors(size).items()
    if name != "MIND's routing"
}
SENSITIVITY = (METRIC, "recall@20", *DIVERSE, "best epoch")

STUDY = Study(
    "mtmi",
    {
        "towers": Question(
            "Are towers better than self-attention and routing, all trained alike?",
            {**TOWERS, **DEFAULT, **OWN},
            against={name: "one tower" for name in TOWERS if name != "one tower"} | {"triplet": "one tower, triplet"},
            columns=(*COLUMNS, *DIVERSE, "best epoch"),
            figure=bars(METRIC),
        ),
        "ablation": Question(
            "What do inverse distance weighting and repulsion add, with a triplet loss and with a softmax?",
            {**DEFAULT, **ABLATION},
            against={name: name.split(",")[0] for name in ABLATION} | {"softmax": "triplet"},
            columns=(*COLUMNS[:3], *DIVERSE, "best epoch"),
            figure=bars(METRIC),
        ),
        "interests": Question(
            "How many towers?",
            around(4, SIZES),
            against="softmax",
            columns=SENSITIVITY,
            figure=lines(METRIC, "towers"),
        ),
        "alpha": Question(
            "How much more should near interests weigh?",
            around(1.0, ALPHAS),
            against="softmax",
            columns=SENSITIVITY,
            figure=lines(METRIC, "alpha"),
        ),
        "beta": Question(
            "How strong should repulsion be?",
            around(0.1, BETAS),
            against="softmax",
            columns=SENSITIVITY,
            figure=lines(METRIC, "beta", log=True),
        ),
        "longer": Question(
            "Does more training change which is better?",
            LONGER,
            against="one tower, longer",
            columns=(METRIC, "recall@20", *DIVERSE, "best epoch"),
            curves=(METRIC,),
            figure=curves(METRIC),
        ),
        "cost": Question(
            "What does a training step cost as interests are added?",
            COST,
            columns=("step ms", "targets per second", "parameters"),
            figure=lines("step ms", "interests"),
        ),
        "cold": Question(
            "Who profits: users with little history, rare items?",
            {**TOWERS, **DEFAULT},
            against="one tower",
            columns=(METRIC, *COLD),
            figure=bars("rare targets"),
        ),
    },
    small={
        **loader("PrefixLoader", batch_size=256, windows_per_user=1),
        "model__max_length": 20,
        "sampler__num_negatives": 64,
        "trainer__learning_rate": 0.005,
        "trainer__validate_every": 3,
        "trainer__epochs": 15,
        "replicates": 200,
    },
    full={
        **loader("PrefixLoader", batch_size=256),
        "model__max_length": 50,
        "sampler__num_negatives": 256,
        "trainer__learning_rate": 0.001,
        "trainer__epochs": 200,
        "trainer__patience": 10,
    },
    measure=measure,
)


if __name__ == "__main__":
    sys.exit(main(STUDY, __doc__))
