"""Do several interests beat the best single one on sequences? Leave-one-out, all arms searched in the same ranges.

Five arms are searched by Optuna (TPE) on *validation* NDCG@20: a self-attentive extractor over a transformer, with one
interest, and with four that are selected by a draw (as BaM) or by log-sum-exp, the latter also with interests that
repel each other; and one interest without an encoder. All train on all prefixes with a full softmax on cosines. The
best of each is trained anew with several seeds and tested once. The presets of the papers are trained as published,
for comparison.

    python examples/studies/sequences.py tune single --data ml-100k --trials 12    # and: tune drawn
    python examples/studies/sequences.py test single --data ml-100k                # and: test drawn
    python examples/studies/sequences.py test comirec-sa --data ml-100k --seeds 1  # presets are not searched
    python examples/studies/sequences.py table --data ml-100k

``--data`` is a name of ``graphmi data list`` or a file, with ``--option NAME=VALUE`` for its columns or for any option
of ``graphmi train`` (two underscores for a dot). Started again it goes on where it was interrupted. Everything is kept
under ``--out``.
"""

import sys

import optuna
from components import component, regularizers
from question import Options
from steps import parser, runs_of, step
from tuned import Arm, TunedComparison

from graphmi.cli import answer

PUBLISHED = (
    "popularity", "comirec-sa", "comirec-dr", "mind", "remi", "bam", "bam-linear", "bam-long", "mtmi",
    "sasrec", "gsasrec", "gru4rec", "youtube-dnn",
)  # fmt: skip
FIXED: Options = {
    "loader": "PrefixLoader",
    "loader__batch_size": 512,
    "sampler": "AllItemsSampler",
    "sampler__reject_known": True,
    "model__encoder": "TransformerEncoder",
    "model__encoder__num_layers": 1,
    "model__normalize": True,
    "loss__objective": "SampledSoftmaxLoss",
    "trainer__epochs": 40,
    "trainer__validate_every": 2,
    "trainer__patience": 3,
}


def training(trial: optuna.Trial) -> Options:
    """Ranges that do not depend on the number of interests."""
    return {
        **FIXED,
        "model__encoder__dropout": trial.suggest_float("dropout", 0.3, 0.7),
        "loss__objective__temperature": trial.suggest_float("temperature", 0.07, 0.14),
        "trainer__learning_rate": trial.suggest_float("learning_rate", 7e-4, 4e-3, log=True),
    }


def one_interest(trial: optuna.Trial) -> Options:
    """One interest needs no selection."""
    return {**training(trial), "model__extractor__num_interests": 1, "loss__readout__anchor": "candidate"}


def no_encoder(trial: optuna.Trial) -> Options:
    """One interest from the items themselves."""
    options = one_interest(trial)
    options["model__dropout"] = options.pop("model__encoder__dropout")
    del options["model__encoder__num_layers"]
    return {**options, "model__encoder": "IdentityEncoder"}


def drawn(trial: optuna.Trial) -> Options:
    """Four interests; the one that is trained is drawn, at the temperature of the loss."""
    options = training(trial)
    return {
        **options,
        "model__extractor__num_interests": 4,
        "loss__readout__selector": "SampledSelector",
        "loss__readout__selector__temperature": 1 / trial.params["temperature"],
    }


def log_sum_exp(trial: optuna.Trial) -> Options:
    """Four interests; all are trained, the best most, at the temperature of the loss."""
    options = training(trial)
    return {
        **options,
        "model__extractor__num_interests": 4,
        "loss__readout": "LogSumExpReadout",
        "loss__readout__temperature": trial.params["temperature"],
    }


def repelled(trial: optuna.Trial) -> Options:
    """As :func:`log_sum_exp`, and the interests of a user are pushed apart."""
    weight = trial.suggest_float("repulsion", 0.03, 0.3, log=True)
    return {**log_sum_exp(trial), **regularizers((weight, component("losses", "InterestRepulsion")))}


FIRST: Options = {"dropout": 0.4, "temperature": 0.1, "learning_rate": 2e-3}
ARMS = {
    "single": Arm("comirec-sa", one_interest, FIRST),
    "single-plain": Arm("comirec-sa", no_encoder, {**FIRST, "dropout": 0.3}),
    "drawn": Arm("comirec-sa", drawn, FIRST),
    "log-sum-exp": Arm("comirec-sa", log_sum_exp, FIRST),
    "repelled": Arm("comirec-sa", repelled, {**FIRST, "repulsion": 0.1}),
    **{preset: Arm(preset) for preset in PUBLISHED},
}


ASKS = "Do several interests beat the best single one on sequences?"
PAIRS = dict.fromkeys(("single-plain", "drawn", "log-sum-exp", "repelled"), "single")


def main() -> int:
    arguments = parser(__doc__, ARMS, trials=12).parse_args()
    runs = runs_of("sequences", arguments)
    return step(TunedComparison(ASKS, ARMS, PAIRS, runs, also=("recall@20", "ndcg@10", "recall@10")), arguments)


if __name__ == "__main__":
    sys.exit(answer(main))
