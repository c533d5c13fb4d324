"""Does a multi-interest graph model beat its single-interest backbone at the last item of every user?

Leave-one-out, as sequence models are tested, and as ``random_split.py`` asks it of a random split: a full softmax on
cosines with one interest and with four, the same ranges searched by Optuna (TPE) on
*validation* NDCG@20, then trained anew with several seeds and tested once. Users are read by all of their training
items, or (``-latest``) by the few latest that are known. Small models, made for small data.

    python examples/studies/last_item.py tune ARM --trials 30
    python examples/studies/last_item.py test ARM
    python examples/studies/last_item.py table
"""

import sys

import optuna
from question import Options
from steps import parser, runs_of, step
from tuned import Arm, TunedComparison

from graphmi.cli import answer

FIXED: Options = {
    "split": "LeaveOneOut",
    "model__embedding_dim": 64,
    "loader__users_per_batch": 128,
    "trainer__epochs": 100,
    "trainer__validate_every": 2,
    "trainer__patience": 4,
}


def softmax(trial: optuna.Trial) -> Options:
    """Ranges of both arms: of training, and the number of layers."""
    return {
        "model__num_layers": trial.suggest_int("num_layers", 1, 3),
        "loss__objective__temperature": trial.suggest_float("temperature", 0.08, 0.3, log=True),
        "loss__user_balance": trial.suggest_float("user_balance", 0.0, 1.0),
        "trainer__learning_rate": trial.suggest_float("learning_rate", 1e-3, 3e-2, log=True),
    }


def latest(trial: optuna.Trial) -> Options:
    """As :func:`softmax`, and in evaluation a user is read by so many of its latest items."""
    return {**softmax(trial), "model__max_length": trial.suggest_int("max_length", 2, 20, log=True)}


FIRST: Options = {"num_layers": 2, "temperature": 0.18, "user_balance": 0.6, "learning_rate": 0.01}
PRESETS = ("lightgcn-softmax", "interest-gcn-softmax")
ARMS = {name: Arm(name, softmax, FIRST) for name in PRESETS} | {
    f"{name}-latest": Arm(name, latest, {**FIRST, "max_length": 5}) for name in PRESETS
}
PAIRS = {
    "interest-gcn-softmax": "lightgcn-softmax",
    "lightgcn-softmax-latest": "lightgcn-softmax",
    "interest-gcn-softmax-latest": "lightgcn-softmax-latest",
}
ASKS = "Does a multi-interest graph model beat its backbone at the last item?"


def main() -> int:
    arguments = parser(__doc__, ARMS, trials=30).parse_args()
    runs = runs_of("last-item", arguments, FIXED)
    return step(TunedComparison(ASKS, ARMS, PAIRS, runs), arguments)


if __name__ == "__main__":
    sys.exit(answer(main))
