"""Do several interests beat the best single one on sequences? Leave-one-out, all arms with the same number of trials.

Two arms are searched by Optuna (TPE) on *validation* NDCG@20: a self-attentive extractor with one interest, and with
several, however they are selected in training. Both train on all prefixes with a full softmax on cosines. The best of
each is trained anew with several seeds and tested once. The presets of the papers are trained as published, for
comparison.

    python examples/studies/sequences.py tune single --data ml-100k --trials 12    # and: tune several
    python examples/studies/sequences.py test single --data ml-100k                # and: test several
    python examples/studies/sequences.py test comirec-sa --data ml-100k --seeds 1  # presets are not searched
    python examples/studies/sequences.py table --data ml-100k

``--data`` is a name of ``graphmi data list`` or a file, with ``--option NAME=VALUE`` for its columns or for any option
of ``graphmi train`` (two underscores for a dot). Started again it goes on where it was interrupted. Everything is kept
under ``--out``.
"""

import argparse
from pathlib import Path

import optuna
from study import Arm, Options, Study, both

from graphmi.config import experiment

PUBLISHED = (
    "popularity", "comirec-sa", "comirec-dr", "mind", "remi", "bam", "bam-linear", "bam-long", "mtmi",
    "sasrec", "gsasrec", "gru4rec", "youtube-dnn",
)  # fmt: skip
FIXED: Options = {
    "loader": "PrefixLoader",
    "sampler": "AllItemsSampler",
    "model__normalize": True,
    "loss__objective": "SampledSoftmaxLoss",
    "trainer__epochs": 40,
    "trainer__validate_every": 2,
    "trainer__patience": 4,
}


def training(trial: optuna.Trial) -> Options:
    """Ranges that do not depend on the number of interests."""
    return {
        **FIXED,
        "model__embedding_dim": trial.suggest_categorical("embedding_dim", [64, 128]),
        "model__dropout": trial.suggest_float("dropout", 0.2, 0.6),
        "loss__objective__temperature": trial.suggest_float("temperature", 0.06, 0.16),
        "loader__batch_size": trial.suggest_categorical("batch_size", [256, 512, 1024]),
        "trainer__learning_rate": trial.suggest_float("learning_rate", 1e-3, 5e-3, log=True),
        "sampler__reject_known": trial.suggest_categorical("reject_known", [True, False]),
    }


def one_interest(trial: optuna.Trial) -> Options:
    """One interest needs no selection."""
    return {"model__extractor__num_interests": 1, "loss__readout__anchor": "candidate"}


def several_interests(trial: optuna.Trial) -> Options:
    """How many interests, and how they are selected in training."""
    temperature = trial.params["temperature"]  # that of the loss, so that interests compete as items do
    options: Options = {"model__extractor__num_interests": trial.suggest_categorical("num_interests", [2, 4])}
    match trial.suggest_categorical("selection", ["drawn", "best", "log-sum-exp", "mixture"]):
        case "drawn":
            options["loss__readout__selector"] = "SampledSelector"
            options["loss__readout__selector__temperature"] = 1 / temperature
        case "best":
            options["loss__readout__anchor"] = "candidate"
        case "log-sum-exp":
            options["loss__readout"] = "LogSumExpReadout"
            options["loss__readout__temperature"] = temperature
        case "mixture":
            options["loss__readout"] = "MixtureReadout"
            options["loss__readout__embedding_dim"] = trial.params["embedding_dim"]
    return options


FIRST: Options = {
    "embedding_dim": 64,
    "dropout": 0.3,
    "temperature": 0.1,
    "batch_size": 512,
    "learning_rate": 2e-3,
    "reject_known": True,
}
ARMS = {
    "single": Arm("comirec-sa", both(training, one_interest), FIRST),
    "several": Arm(
        "comirec-sa", both(training, several_interests), {**FIRST, "num_interests": 4, "selection": "drawn"}
    ),
    **{preset: Arm(preset, lambda trial: {}) for preset in PUBLISHED},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("step", choices=("tune", "test", "table"))
    parser.add_argument("arm", choices=tuple(ARMS), nargs="?")
    parser.add_argument("--data", default="ml-100k")
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    out = arguments.out or Path("runs/sequences") / Path(arguments.data).name.split(".")[0]
    given = dict(option.split("=", 1) for option in arguments.option)
    study = Study(
        title=f"{out.name}, leave-one-out",
        arms=ARMS,
        make=lambda arm, options: experiment(ARMS[arm].preset, arguments.data, **{**options, **given}),
        out=out,
        pairs=(("several", "single"),),
        also=("recall@20", "ndcg@10", "recall@10"),
    )
    if arguments.step == "table":
        study.table()
    elif arguments.arm is None:
        parser.error(f"name an arm: {', '.join(ARMS)}")
    elif arguments.step == "tune":
        study.tune(arguments.arm, arguments.trials)
    elif arguments.arm in PUBLISHED:
        for seed in range(arguments.seeds):
            study.run(arguments.arm, seed, {})
    else:
        study.test(arguments.arm, arguments.seeds)


if __name__ == "__main__":
    main()
