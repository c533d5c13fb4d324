"""BaM: which interest learns from an item, and what becomes of the others.

Towards True Multi-interest Recommendation: Enhanced Scheme for Balanced Interest Training, IEEE BigData 2024,
https://github.com/jlunits2/BaM, draws the interest that is trained in proportion to exp(temperature * fit) where
ComiRec takes the best. How evenly do the interests then serve users, on which backbone, at which temperature; is the
draw needed, or does the expectation of its loss do; and what does balance have to do with accuracy? A model with one
interest stands beside each backbone.

    python examples/studies/bam.py [QUESTION ...] [--data ml-100k] [--seeds 3] [--full]

All cells train on all prefixes against shared uniform negatives, with inner products as published. ``share n`` is the
part of a user's 10 best items that comes from the interest that gives the n-th most of them.
"""

import sys
from collections.abc import Mapping

from ask import main
from components import component
from figures import lines, scatter, stacked
from question import METRIC, Cell, Question, Study

from graphmi.data import Dataset
from graphmi.experiment import Experiment, Trained

BACKBONES = ("comirec-sa", "mind", "remi")
SELECTIONS = {"hard": "comirec-sa", "BaM-p": "bam", "BaM-l": "bam-linear"}  # presets, which differ in the selector
SHARES = tuple(f"share {place}" for place in range(1, 5))
BALANCE = ("interests/balance@10", "interests/effective@10", "interests/dead@10", "interests/cosine")
DRAWN = "comirec-sa, BaM-p"


def measure(experiment: Experiment, dataset: Dataset, trained: Trained) -> Mapping[str, float]:
    """Return the part of the 10 best items from each user's largest interest, the second largest, and so on."""
    share = trained.test.interest_share
    return {} if share is None else dict(zip(SHARES, share[:10].mean(0).tolist(), strict=False))


def softmax(similarity: str = "InnerProduct", *, detach: bool = False, **arguments: object) -> dict[str, object]:
    """Return the selector whose weights are the probabilities of BaM's draw, which learn unless they are detached."""
    affinity = component("nn", similarity, **arguments)
    return component("nn", "SoftmaxSelector", temperature=1.0, similarity=affinity, detach_weights=detach)


def expected(selector: Mapping[str, object]) -> dict[str, object]:
    """Return the readout whose loss is the expectation over the draw."""
    return component("nn", "ExpectedReadout", selector=selector)


SELECTED = {
    f"{backbone}, {name}": Cell(preset, backbone=backbone, at=(1.0,) if name == "BaM-p" else ())
    for backbone in BACKBONES
    for name, preset in SELECTIONS.items()
}
SELECTED |= {
    f"{backbone}, one interest": Cell("comirec-sa", {"model__extractor__num_interests": 1}, backbone)
    for backbone in BACKBONES
} | {"mind, label-aware": Cell("mind", backbone="mind")}
TEMPERATURES = {
    **{
        f"temperature {value:g}": Cell(
            "bam", {"loss__readout__selector__temperature": value}, "comirec-sa", at=(value,)
        )
        for value in (0.0, 0.1, 0.3, 3.0, 10.0)
    },
    DRAWN: SELECTED[DRAWN],
}
PROJECTED = softmax("ProjectedInnerProduct", embedding_dim=64, projected_dim=16)
LONG = component("nn", "JointReadout", readouts=[expected(softmax()), component("nn", "LogSumExpReadout")])
EXPECTED = {
    DRAWN: SELECTED[DRAWN],
    "BaM-p, expected": Cell("bam", {"loss__readout": expected(softmax())}),
    "BaM-p, expected, detached": Cell("bam", {"loss__readout": expected(softmax(detach=True))}),
    "comirec-sa, BaM-l": SELECTED["comirec-sa, BaM-l"],
    "BaM-l, expected": Cell("bam", {"loss__readout": expected(PROJECTED)}),
    "long": Cell("bam-long"),
    "long, expected": Cell("bam", {"loss__readout": LONG}),
}

STUDY = Study(
    "bam",
    {
        "selection": Question(
            "How much of the best 10 comes from each interest, by hard and by soft selection?",
            SELECTED,
            against={name: f"{name.split(', ')[0]}, hard" for name in SELECTED if not name.endswith("hard")},
            columns=(METRIC, "recall@20", *SHARES, *BALANCE, "seconds"),
            figure=stacked(SHARES),
            data=("ml-100k", "amazon-toys"),
        ),
        "temperature": Question(
            "How sharply should the interest be drawn?",
            TEMPERATURES,
            against=DRAWN,
            columns=(METRIC, "recall@20", "share 1", *BALANCE),
            figure=lines(METRIC, "temperature", log=True),
        ),
        "expected": Question(
            "Is the draw needed, or does the expectation of its loss do?",
            EXPECTED,
            against={
                "BaM-p, expected": DRAWN,
                "BaM-p, expected, detached": DRAWN,
                "BaM-l, expected": "comirec-sa, BaM-l",
                "long": DRAWN,
                "long, expected": "long",
            },
            columns=(METRIC, "recall@20", "share 1", *BALANCE, "seconds"),
        ),
        "balance": Question(
            "Is a model more accurate whose interests share the list more evenly?",
            {**SELECTED, **TEMPERATURES, **EXPECTED},
            columns=(METRIC, "interests/balance@10", "interests/effective@10"),
            figure=scatter("interests/balance@10", METRIC),
        ),
    },
    small={
        "loader": "PrefixLoader",
        "loader__batch_size": 1024,
        "model__max_length": 20,
        "sampler__num_negatives": 256,
        "trainer__learning_rate": 0.005,
        "trainer__validate_every": 2,
        "trainer__epochs": 8,
        "replicates": 200,
    },
    full={
        "model__max_length": 50,
        "sampler__num_negatives": 1280,
        "trainer__learning_rate": 0.001,
        "trainer__epochs": 100,
        "trainer__patience": 10,
    },
    measure=measure,
)


if __name__ == "__main__":
    sys.exit(main(STUDY, __doc__))
