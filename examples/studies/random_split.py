"""Does a multi-interest graph model beat its single-interest backbone? MovieLens-100K, random 80/10/10 split.

Four arms, each tuned with the same number of trials by Optuna (TPE) on *validation* NDCG@20, then trained anew with
five seeds and tested once: LightGCN and its multi-interest form, with BPR as published, and with a full softmax on
cosines.

    python examples/studies/random_split.py tune ARM --trials 16    # resumes; an arm at a time, or several at once
    python examples/studies/random_split.py test ARM                # the best configuration, five seeds
    python examples/studies/random_split.py table                   # accuracy, spread, paired tests

``--train``, ``--valid`` and ``--test`` name the files of a given split (columns user_id, item_id); without them the
split is drawn anew with seed 0. Everything is kept under ``--out``.
"""

import argparse
from pathlib import Path

import optuna
from study import Arm, Options, Study, both

from graphmi.config import experiment
from graphmi.experiment import Experiment

SEEDS = 5


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
        "loss__regularizers": [{"weight": penalty, "regularizer": {"class_path": "EmbeddingNorm"}}],
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


ARMS = {
    "lightgcn": Arm("lightgcn", bpr),
    "interest-gcn": Arm("interest-gcn", both(bpr, interests)),
    "lightgcn-softmax": Arm("lightgcn-softmax", softmax),
    "interest-gcn-softmax": Arm("interest-gcn-softmax", both(softmax, interests)),
}
PAIRS = (("interest-gcn", "lightgcn"), ("interest-gcn-softmax", "lightgcn-softmax"))


def make(arm: str, arguments: argparse.Namespace, options: Options) -> Experiment:
    """Return the experiment of an arm on the split that was asked for."""
    given = {part: getattr(arguments, part) for part in ("train", "valid", "test")}
    split: Options = {"split": "RandomSplit"}
    if all(given.values()):
        split = {"split": "GivenSplit", **{f"split__{part}": str(file) for part, file in given.items()}}
    return experiment(ARMS[arm].preset, "ml-100k", **split, **options)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("step", choices=("tune", "test", "table"))
    parser.add_argument("arm", choices=tuple(ARMS), nargs="?")
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--out", type=Path, default=Path("runs/random-split"))
    for part in ("train", "valid", "test"):
        parser.add_argument(f"--{part}", type=Path)
    arguments = parser.parse_args()
    title = "MovieLens-100K, random split"
    study = Study(title, ARMS, lambda arm, options: make(arm, arguments, options), arguments.out, PAIRS)
    if arguments.step == "table":
        study.table()
    elif arguments.arm is None:
        parser.error(f"name an arm: {', '.join(ARMS)}")
    elif arguments.step == "tune":
        study.tune(arguments.arm, arguments.trials)
    else:
        study.test(arguments.arm, SEEDS)


if __name__ == "__main__":
    main()
