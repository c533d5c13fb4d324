"""Several interests in a graph: for whom, how many, with which parameters, and over time.

"Can One Embedding Fit All?" (WWW 2024, https://arxiv.org/abs/2402.13495) puts virtual interests on LightGCN and CAGCN*
and names as next steps: sequential and temporal data, the number of interests, alignment against uniformity, and which
parameters interests need. These questions are asked here of graphmi's reconstruction, with its own pairwise objective
(BPR) and with a full softmax on cosines, each against the single-interest backbone at the same width and budget.

    python examples/studies/gnn.py [QUESTION ...] [--data ml-100k] [--seeds 3] [--full]

The split is random, 80/10/10 of each user's items, as is usual for graph models, except for the questions of time.
Within an objective all cells have the same learning rate and batches; validation selects the epoch.
"""

import sys
from collections.abc import Mapping
from dataclasses import replace

from ask import main
from components import component, regularizers
from figures import lines
from measures import kept
from question import METRIC, Cell, Options, Question, Study

OBJECTIVES: dict[str, Options] = {
    "BPR": {"loader__batch_size": 8192, "trainer__learning_rate": 0.03},
    "softmax": {"loader__users_per_batch": 128, "trainer__learning_rate": 0.01, "loss__user_balance": 0.6},
}
INTERESTS = {"lightgcn": 1, "interest-gcn": 4, "cagcn": 1, "interest-cagcn": 4}
PAIRS = {"interest-gcn": "lightgcn", "interest-cagcn": "cagcn", "interest-gcn-softmax": "lightgcn-softmax"}
RECONSTRUCTION: Options = {  # InterestGCN's own defaults, where the preset for the softmax has others
    "model__temperature": None,
    "model__rescale": False,
    "model__center": "node_dot",
    "model__share_interests": False,
}
CHOICES: dict[str, tuple[object, ...]] = {
    "attention": ("neighbor", "sigmoid"),
    "temperature": (0.12,),
    "rescale": (True,),
    "center": ("node_norm", "edge_dot", "sum"),
    "score": ("pair_max", "symmetric", "center"),
    "share_interests": (True,),
}
SPLITS = {"per user": "LeaveOneOut", "in time": "TemporalSplit"}
PENALTIES = ((0.1, 1.0), (1.0, 1.0), (1.0, 0.2))  # weight and gamma
BY_DIVERSITY = (METRIC, "recall@20", "spread", "lowest group", "highest group", "seconds")
OF_INTERESTS = tuple(
    f"interests/{name}"
    for name in (
        "cosine",
        "effective@10",
        "effective-diversity correlation",
        "effective-diversity correlation, controlled",
    )
)


def cell(preset: str, **options: object) -> Cell:
    """Return a preset with the budget of its objective; it stands in figures by objective and number of interests."""
    objective = "softmax" if preset.endswith("softmax") else "BPR"
    number = options.get("model__num_interests", INTERESTS[preset.removesuffix("-softmax")])
    line = objective + ", automatic" * ("model__dynamic_interests" in options)
    return Cell(preset, {**OBJECTIVES[objective], **options}, at=(line, number))


def presets(*names: str) -> dict[str, Cell]:
    """Return cells of presets as they are."""
    return {name: cell(name) for name in names}


def both(ending: str, single: bool = True, **options: object) -> dict[str, Cell]:
    """Return both objectives with these options, of four interests and of one."""
    names = [name for pair in PAIRS.items() for name in pair[: 1 + single] if "cagcn" not in name]
    return {f"{name}, {ending}": cell(name, **options) for name in names}


def paired(cells: Mapping[str, Cell]) -> dict[str, str]:
    """Return which cells of several interests are to be compared with which of one."""
    found = {name: PAIRS[name.split(",")[0]] + name[len(name.split(",")[0]) :] for name in cells if "interest" in name}
    return {name: other for name, other in found.items() if other in cells}


def regularized(preset: str, weight: float, gamma: float) -> Cell:
    """Return a preset with the regularizer on alignment and uniformity beside its own; it compares whole batches."""
    compared = component("losses", "AlignmentUniformity", gamma=gamma)
    given = regularizers((1e-4, component("losses", "EmbeddingNorm")), (weight, compared))
    return cell(preset, **given, loader__batch_size=2048, trainer__learning_rate=0.01)


BOTH = presets("lightgcn", "interest-gcn", "lightgcn-softmax", "interest-gcn-softmax")
BACKBONES = {**presets("cagcn", "interest-cagcn"), **BOTH}
NUMBER = {
    **BOTH,
    **{name: one for k in (2, 3, 6, 8) for name, one in both(f"K={k}", single=False, model__num_interests=k).items()},
    **both("K=8, automatic", single=False, model__num_interests=8, model__dynamic_interests=True),
}
SHARING = {
    **BOTH,
    **{
        f"{name}, 4 separate": cell(name, model="SeparateInterestGCN", model__num_interests=4)
        for name in PAIRS.values()
        if name != "cagcn"
    },
    **{f"{name}, d=256": cell(name, model__embedding_dim=256) for name in ("lightgcn", "lightgcn-softmax")},
}
ALIGNMENT = {
    f"{name}, weight {weight:g}" + f", gamma {gamma:g}" * bool(weight): regularized(name, weight, gamma)
    for name in ("lightgcn", "interest-gcn")
    for weight, gamma in ((0.0, 0.0), *PENALTIES)
}
DRIFT = both("drift", split="LeaveOneOut", groups__measure="drift")
TIME = {name: one for ending, split in SPLITS.items() for name, one in both(ending, split=split).items()}
LENGTHS = (1, 2, 3, 5, 10, 20, 50)
LATEST = {
    **{name: replace(one, at=()) for name, one in TIME.items() if "softmax" in name and "per user" in name},
    **{
        f"{preset}, latest {n}": replace(
            cell(preset, split="LeaveOneOut", model__max_length=n), at=(f"{number} interest{'s' * (number > 1)}", n)
        )
        for preset, number in {"lightgcn-softmax": 1, "interest-gcn-softmax": 4}.items()
        for n in LENGTHS
    },
}


def options(preset: str, base: Options) -> dict[str, Cell]:
    """Return the reconstruction with one change at a time."""
    changes = {f"{name}={one}": {f"model__{name}": one} for name, several in CHOICES.items() for one in several}
    return {f"{preset}, {name}": cell(preset, **{**base, **change}) for name, change in changes.items()}


DEFAULT = "interest-gcn-softmax, reconstruction"
OPTIONS = {DEFAULT: cell("interest-gcn-softmax", **RECONSTRUCTION), **options("interest-gcn-softmax", RECONSTRUCTION)}
OPTIONS_BPR = {**presets("interest-gcn"), **options("interest-gcn", {})}
USED = (
    *(
        f"interest-gcn{objective}{ending}"
        for objective in ("", "-softmax")
        for ending in ("", ", K=8", ", K=8, automatic")
    ),
    *(name for name in SHARING if "separate" in name),
    DEFAULT,
)
DATA = ("ml-100k", "amazon-toys", "amazon-beauty")

STUDY = Study(
    "gnn",
    {
        "backbones": Question(
            "Do several interests serve users of high diversity better?", BACKBONES, PAIRS, BY_DIVERSITY, data=DATA
        ),
        "options": Question(
            "Which choices of the reconstruction matter, under the softmax?",
            {**OPTIONS, **presets("lightgcn-softmax", "interest-gcn-softmax")},
            DEFAULT,
            (*BY_DIVERSITY[:3], *OF_INTERESTS[:2]),
        ),
        "options-bpr": Question(
            "Which choices of the reconstruction matter, under BPR?",
            {**OPTIONS_BPR, **presets("lightgcn")},
            "interest-gcn",
            (*BY_DIVERSITY[:3], *OF_INTERESTS[:2]),
        ),
        "number": Question(
            "How many interests?",
            NUMBER,
            {name: PAIRS[name.split(",")[0]] for name in NUMBER if "interest" in name},
            (METRIC, "spread", "interests/effective@10", "kept", "seconds"),
            figure=lines(METRIC, "number of interests"),
        ),
        "evenness": Question(
            "How evenly do more interests serve?",
            NUMBER,
            columns=("spread", "spread, plain", "lowest group", "highest group"),
            figure=lines("spread", "number of interests"),
        ),
        "interests": Question(
            "Do users of high diversity use more interests?",
            {name: {**NUMBER, **SHARING, **OPTIONS}[name] for name in USED},
            columns=(*OF_INTERESTS, "kept-diversity correlation"),
        ),
        "sharing": Question(
            "Should interests share their parameters?",
            SHARING,
            {name: name.split(",")[0] for name in SHARING if "," in name},
            (METRIC, "recall@20", "spread", "parameters", "seconds"),
        ),
        "alignment": Question(
            "Do alignment and uniformity help as a regularizer?",
            ALIGNMENT,
            {name: f"{name.split(',')[0]}, weight 0" for name in ALIGNMENT if "gamma" in name},
            (METRIC, "recall@20", "spread", "seconds", "interests/alignment", "interests/uniformity"),
        ),
        "time": Question(
            "Do several interests help to tell what comes later?", TIME, paired(TIME), BY_DIVERSITY, data=DATA
        ),
        "latest": Question(
            "By how many of the latest items should a user be read, where the next one is asked for?",
            LATEST,
            paired(LATEST)
            | {name: f"{name.split(',')[0]}, per user" for name in LATEST if name.startswith("lightgcn-softmax, l")},
            ("valid", METRIC, "recall@20", "spread", "highest group", "seconds"),
            figure=lines(METRIC, "latest items", log=True),
        ),
        "drift": Question(  # its groups go from steady to drifting users
            "Do several interests help users whose taste drifts?", DRIFT, paired(DRIFT), BY_DIVERSITY, data=DATA
        ),
    },
    small={
        "split": "RandomSplit",
        "model__embedding_dim": 64,
        "trainer__epochs": 30,
        "trainer__validate_every": 2,
        "trainer__patience": 4,
    },
    full={"trainer__epochs": 300, "trainer__patience": 15},
    measure=kept,
)

if __name__ == "__main__":
    sys.exit(main(STUDY, __doc__))
