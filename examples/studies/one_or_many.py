"""Where do several interests beat one? One transformer, read and trained in every way, at the same budget.

A transformer of one layer, trained on all prefixes by a sampled softmax on cosines. One interest is read by
self-attention or from the last position; several by self-attention, selected in every way that the library has, or
from the last positions (*recent*), one interest each; *routed* is self-attention with a prior that gives interests
different items (``routed.py``). ``next`` asks for the next item of every user (leave-one-out), ``many`` for the last
fifth of the histories of held-out users, as ComiRec and REMI do, where a list has room for several tastes.

    python examples/studies/one_or_many.py next            # small: MovieLens-100K, three seeds
    python examples/studies/one_or_many.py many --full --data ml-1m
    python examples/studies/one_or_many.py next --full --data sequences.txt.gz --option columns__format=sequences
"""

import sys

from ask import main
from components import component, regularizers
from question import Cell, Options, Question, Study

TEMPERATURE = 0.1
SERVED: Options = {"loss__readout__anchor": "candidate"}  # one interest needs no selection
LOG_SUM_EXP: Options = {"loss__readout": "LogSumExpReadout", "loss__readout__temperature": TEMPERATURE}
DRAWN: Options = {"loss__readout__selector": "SampledSelector", "loss__readout__selector__temperature": 1 / TEMPERATURE}
EXPECTED: Options = {  # of the draw; no gradient goes through its probabilities, as none goes through a draw
    "loss__readout": "ExpectedReadout",
    "loss__readout__selector": "SoftmaxSelector",
    "loss__readout__selector__temperature": 1 / TEMPERATURE,
    "loss__readout__selector__detach_weights": True,
}
REPULSION = regularizers((0.1, component("losses", "InterestRepulsion")))


def attention(num_interests: int, **options: object) -> Options:
    """Read the transformer by self-attention."""
    return {"model__extractor__num_interests": num_interests, **options}


def recent(num_interests: int) -> Options:
    """Read the last positions, all trained by log-sum-exp."""
    return {
        "model__extractor": "RecentPositions",
        "model__extractor__num_interests": num_interests,
        **LOG_SUM_EXP,
    }


WAYS: dict[str, Options] = {
    "one": attention(1, **SERVED),
    "one, last position": {"model__extractor": "LastPosition", **SERVED},
    "four, hard": attention(4),
    "four, drawn": attention(4, **DRAWN),
    "four, as served": attention(4, **SERVED),
    "four, log-sum-exp": attention(4, **LOG_SUM_EXP),
    "four, repelled": attention(4, **LOG_SUM_EXP, **REPULSION),
    "four, mixture": attention(4, loss__readout="MixtureReadout"),
    "four, expected": attention(4, **EXPECTED),
    **{f"{word}, log-sum-exp": attention(number, **LOG_SUM_EXP) for word, number in (("two", 2), ("eight", 8))},
    **{
        f"four, log-sum-exp at {temperature:g}": attention(
            4, **LOG_SUM_EXP | {"loss__readout__temperature": temperature}
        )
        for temperature in (0.05, 0.2)
    },
    "four, routed": attention(4, model__extractor="routed.RoutedExtractor", **LOG_SUM_EXP),
    **{f"recent {number}": recent(number) for number in (2, 4, 8)},
}
SPLITS = {"next": "LeaveOneOut", "many": "HeldOutUsers"}
COLUMNS = ("valid", "ndcg@20", "recall@10", "recall@50", "spread", "highest group", "interests/cosine", "seconds")


def question(name: str) -> Question:
    """Return the question of a split; its cells are named after it."""
    cells = {f"{way} ({name})": Cell("comirec-sa", {**options, "split": SPLITS[name]}) for way, options in WAYS.items()}
    return Question(f"Several interests or one ({SPLITS[name]})", cells, against=f"one ({name})", columns=COLUMNS)


STUDY = Study(
    "one_or_many",
    {name: question(name) for name in SPLITS},
    small={
        "model__encoder": "TransformerEncoder",
        "model__encoder__num_layers": 1,
        "model__encoder__dropout": 0.4,
        "model__normalize": True,
        "loader": "PrefixLoader",
        "loader__batch_size": 1024,
        "sampler": "UniformSampler",
        "sampler__num_negatives": 256,
        "sampler__shared": True,
        "sampler__reject_known": False,
        "loss__objective": "SampledSoftmaxLoss",
        "loss__objective__temperature": TEMPERATURE,
        "trainer__learning_rate": 2e-3,
        "trainer__epochs": 16,
        "trainer__validate_every": 2,
        "trainer__patience": 3,
        "replicates": 200,
    },
    full={"sampler__num_negatives": 2048, "loader__batch_size": 512, "trainer__epochs": 40},
)

if __name__ == "__main__":
    sys.exit(main(STUDY, __doc__))
