"""Does a multi-interest graph model beat its single-interest backbone? MovieLens-100K, random 80/10/10 split.

Four arms, each tuned in the same ranges by Optuna (TPE) on *validation* NDCG@20, then trained anew with
five seeds and tested once: LightGCN and its multi-interest form, with BPR as published, and with a full softmax on
cosines.

    python examples/studies/random_split.py tune ARM --trials 16    # resumes; an arm at a time, or several at once
    python examples/studies/random_split.py test ARM                # the best configuration, five seeds
    python examples/studies/random_split.py table                   # accuracy, spread, paired tests

``--train``, ``--valid`` and ``--test`` name the files of a given split (columns user_id, item_id); without them the
split is drawn anew with seed 0. Everything is kept under ``--out``.
"""

import sys

import optuna
from components import component, regularizers
from question import Options
from steps import parser, runs_of, step
from tuned import Arm, Space, TunedComparison

from graphmi.cli import answer


def softmax(trial: optuna.Trial) -> Options:
    """Ranges of the softmax arms."""
    return {
        "model__embedding_dim": trial.suggest_categorical("model__embedding_dim", [64, 128, 256]),
        "model__num_layers": trial.suggest_int("model__num_layers", 1, 3),
        "loss__objective__temperature": trial.suggest_float("loss__objective__temperature", 0.12, 0.25),
        "loss__user_balance": trial.suggest_float("loss__user_balance", 0.0, 1.0),
        "loader__users_per_batch": trial.suggest_categorical("loader__users_per_batch", [32, 64, 128]),
        "trainer__learning_rate": trial.suggest_float("trainer__learning_rate", 2e-3, 1e-2, log=True),
    }


def bpr(trial: optuna.Trial) -> Options:
    """Ranges of the BPR arms; the penalty is the first regularizer of the presets."""
    penalty = trial.suggest_float("penalty", 1e-5, 1e-2, log=True)
    return {
        "model__num_layers": trial.suggest_int("model__num_layers", 2, 4),
        **regularizers((penalty, component("losses", "EmbeddingNorm"))),
        "trainer__learning_rate": trial.suggest_float("trainer__learning_rate", 1e-3, 2e-2, log=True),
        "loader__batch_size": 8192,
        "trainer__epochs": 150,
        "trainer__validate_every": 2,
        "trainer__patience": 8,
    }


def interests(trial: optuna.Trial) -> Options:
    """Ranges that only a multi-interest model has."""
    return {
        "model__num_interests": trial.suggest_categorical("model__num_interests", [2, 4, 8]),
        "model__temperature": trial.suggest_float("model__temperature", 0.1, 0.5, log=True),
        "model__center": trial.suggest_categorical("model__center", ["sum", "node_dot"]),
        "model__rescale": True,
    }


def both(*spaces: Space) -> Space:
    """Return the ranges of several spaces together."""
    return lambda trial: {name: value for space in spaces for name, value in space(trial).items()}


ARMS = {
    "lightgcn": Arm("lightgcn", bpr),
    "interest-gcn": Arm("interest-gcn", both(bpr, interests)),
    "lightgcn-softmax": Arm("lightgcn-softmax", softmax),
    "interest-gcn-softmax": Arm("interest-gcn-softmax", both(softmax, interests)),
}
ASKS = "Does a multi-interest graph model beat its single-interest backbone?"
PAIRS = {"interest-gcn": "lightgcn", "interest-gcn-softmax": "lightgcn-softmax"}


def main() -> int:
    words, files = parser(__doc__, ARMS, trials=16), ("train", "valid", "test")
    for part in files:
        words.add_argument(f"--{part}", metavar="FILE")
    arguments = words.parse_args()
    split: Options = {"split": "RandomSplit"}
    if all(getattr(arguments, part) for part in files):
        split = {"split": "GivenSplit", **{f"split__{part}": getattr(arguments, part) for part in files}}
    return step(TunedComparison(ASKS, ARMS, PAIRS, runs_of("random-split", arguments, split)), arguments)


if __name__ == "__main__":
    sys.exit(answer(main))
