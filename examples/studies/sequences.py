"""Do several interests beat the best single one on sequences? Leave-one-out, all arms with the same number of trials.

Two arms are searched by Optuna (TPE) on *validation* NDCG@20: models with one interest, of whatever architecture is
best, and models with several, over the same architectures and however their interests are selected in training. Both
train on all prefixes with a full softmax on cosines. The best of each is trained anew with several seeds and tested
once. The presets of the papers are trained as published, for comparison.

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
    "trainer__validate_every": 2,
    "trainer__patience": 5,
}


def training(trial: optuna.Trial) -> Options:
    """Ranges that do not depend on the number of interests."""
    encoder = trial.suggest_categorical("encoder", ["IdentityEncoder", "TransformerEncoder", "GRUEncoder"])
    dropout = trial.suggest_float("dropout", 0.2, 0.6)
    options: Options = {**FIXED, "model__encoder": encoder, "model__dropout": dropout}
    if encoder != "IdentityEncoder":
        options["model__encoder__dropout"] = dropout
    if encoder == "TransformerEncoder":  # it drops its input itself
        options["model__dropout"] = 0.0
    options["model__embedding_dim"] = trial.suggest_categorical("model__embedding_dim", [64, 128])
    options["loss__objective__temperature"] = trial.suggest_float("loss__objective__temperature", 0.06, 0.16)
    options["loader__batch_size"] = trial.suggest_categorical("loader__batch_size", [1024, 2048])
    options["trainer__learning_rate"] = trial.suggest_float("trainer__learning_rate", 5e-4, 4e-3, log=True)
    options["sampler__reject_known"] = trial.suggest_categorical("sampler__reject_known", [True, False])
    return options


def one_interest(trial: optuna.Trial) -> Options:
    """How one interest is read."""
    extractor = trial.suggest_categorical("extractor", ["SelfAttentiveExtractor", "LastPosition"])
    single: Options = {"model__extractor": extractor, "loss__readout__anchor": "candidate"}
    return {**single, "model__extractor__num_interests": 1} if extractor == "SelfAttentiveExtractor" else single


def several_interests(trial: optuna.Trial) -> Options:
    """How several interests are read and selected."""
    temperature = 1 / trial.params["loss__objective__temperature"]
    readout = trial.suggest_categorical("readout", ["drawn", "best", "log-sum-exp"])
    options: Options = {
        "model__extractor": "SelfAttentiveExtractor",
        "model__extractor__num_interests": trial.suggest_categorical("num_interests", [2, 4, 8]),
    }
    if readout == "drawn":
        options["loss__readout__selector"] = "SampledSelector"
        options["loss__readout__selector__temperature"] = temperature
    elif readout == "best":
        options["loss__readout__anchor"] = "candidate"
    else:
        options["loss__readout"] = "LogSumExpReadout"
        options["loss__readout__temperature"] = 1 / temperature
    return options


ARMS = {
    "single": Arm("comirec-sa", both(training, one_interest)),
    "several": Arm("comirec-sa", both(training, several_interests)),
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
