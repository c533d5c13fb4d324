"""Where do several interests beat one? The next item against many targets, on the same backbone at the same budget.

A transformer of one layer under a self-attentive extractor, trained on all prefixes by a sampled softmax on cosines:
with one interest, with one whose vectors are larger, and with four that are selected in every way that the library
has. ``next`` asks for the next item of every user (leave-one-out), ``many`` for the last fifth of the histories of
held-out users, as ComiRec and REMI do, where a list has room for several tastes.

    python examples/studies/one_or_many.py                   # small: MovieLens-100K, three seeds
    python examples/studies/one_or_many.py many --data ml-1m
    python examples/studies/one_or_many.py many --data sequences.txt.gz --option columns__format=sequences
"""

import sys

from ask import main
from question import Cell, Options, Question, Study

TEMPERATURE = 0.1
FOUR = {"model__extractor__num_interests": 4}
DRAWN = {"loss__readout__selector": "SampledSelector", "loss__readout__selector__temperature": 1 / TEMPERATURE}
LOG_SUM_EXP = {"loss__readout": "LogSumExpReadout", "loss__readout__temperature": TEMPERATURE}
WAYS: dict[str, Options] = {
    "one interest": {"model__extractor__num_interests": 1, "loss__readout__anchor": "candidate"},
    "one interest of 128": {
        "model__extractor__num_interests": 1,
        "loss__readout__anchor": "candidate",
        "model__embedding_dim": 128,
    },
    "hard": FOUR,
    "drawn": {**FOUR, **DRAWN},
    "as served": {**FOUR, "loss__readout__anchor": "candidate"},
    "log-sum-exp": {**FOUR, **LOG_SUM_EXP},
    "log-sum-exp, repelled": {
        **FOUR,
        **LOG_SUM_EXP,
        "loss__regularizers": [{"weight": 0.1, "regularizer": {"class_path": "InterestRepulsion"}}],
    },
}
SPLITS = {"next": "LeaveOneOut", "many": "HeldOutUsers"}
COLUMNS = ("ndcg@20", "recall@20", "recall@50", "spread", "highest group", "interests/cosine", "seconds")


def question(name: str) -> Question:
    """Return the question of a split; its cells are named after it."""
    cells = {f"{way}, {name}": Cell("comirec-sa", {**options, "split": SPLITS[name]}) for way, options in WAYS.items()}
    return Question(
        f"Several interests or one, {SPLITS[name]}", cells, against=f"one interest, {name}", columns=COLUMNS
    )


STUDY = Study(
    "one_or_many",
    {name: question(name) for name in SPLITS},
    small={
        "model__encoder": "TransformerEncoder",
        "model__encoder__num_layers": 1,
        "model__encoder__dropout": 0.4,
        "model__normalize": True,
        "loader": "PrefixLoader",
        "loader__batch_size": 2048,
        "sampler": "UniformSampler",
        "sampler__num_negatives": 1024,
        "sampler__shared": True,
        "sampler__reject_known": False,
        "loss__objective": "SampledSoftmaxLoss",
        "loss__objective__temperature": TEMPERATURE,
        "trainer__learning_rate": 2e-3,
        "trainer__epochs": 12,
        "trainer__validate_every": 2,
        "trainer__patience": 3,
        "replicates": 200,
    },
    full={"trainer__epochs": 60, "trainer__patience": 5},
)

if __name__ == "__main__":
    sys.exit(main(STUDY, __doc__))
