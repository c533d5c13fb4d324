"""REMI: hard negatives, routing regularization, and where they help.

Xie et al., Rethinking Multi-Interest Learning for Candidate Matching in Recommender Systems, RecSys 2023,
https://arxiv.org/abs/2302.14532, adds two parts to ComiRec-SA: negatives weighted by exp(beta score), and a penalty on
the variance of the routing weights. Which of them does what, how strong should each be, does a single interest gain as
much, and on what data?

    python examples/studies/remi.py [QUESTION ...] [--data ml-100k] [--seeds 3] [--full]

All cells train on all prefixes against shared uniform negatives. Beta acts on those that are drawn, so what is best
depends on their number.
"""

import sys
from collections.abc import Mapping

import torch
from ask import main
from components import component, regularizers
from figures import curves, gains, lines
from question import COLUMNS, METRIC, Cell, Options, Question, Study

from graphmi.asking import device_of, evaluating, question
from graphmi.data import Dataset, Histories
from graphmi.experiment import Experiment, Trained
from graphmi.losses import MultiInterestLoss

BETA, PENALTY = 1.0, 12800.0  # of the preset
PARTS = {"ComiRec-SA": (0.0, 0.0), "hard negatives": (BETA, 0.0), "routing": (0.0, PENALTY), "REMI": (BETA, PENALTY)}
# What SubSample keeps, and the size of batches of as many steps as all of MovieLens-100K makes.
SAMPLES: dict[str, tuple[Options, int]] = {
    "50% of interactions": ({"share": 0.5}, 1024),
    "25% of interactions": ({"share": 0.25}, 512),
    "last 20": ({"last": 20}, 384),
    "last 5": ({"last": 5}, 96),
    "short half": ({"users": "short"}, 320),
    "long half": ({"users": "long"}, 1728),
    "narrow half": ({"users": "narrow"}, 1024),
    "broad half": ({"users": "broad"}, 1024),
}
INTERESTS = ("interests/cosine", "interests/collapse", "interests/routing entropy")


def remi(beta: float = BETA, penalty: float = PENALTY, line: str = "", **options: object) -> Cell:
    """Return the preset with this beta and this weight of the routing regularization."""
    parts = {"loss__weighting__beta": beta, **regularizer("RoutingVariance", penalty, norm=64.0)}
    line = line or ("regularized" if penalty else "not regularized")
    return Cell("remi", {**parts, **options}, at=(line, beta))


def regularizer(name: str, weight: float, **arguments: object) -> Options:
    """Return the options of a loss with this regularizer alone."""
    return regularizers((weight, component("losses", name, **arguments)))


def parts(ending: str = "", **options: object) -> dict[str, Cell]:
    """Return a model with and without each of the two parts."""
    return {f"{name}{ending}": remi(*part, **options) for name, part in PARTS.items()}


def without(cells: Mapping[str, Cell], ending: str = "") -> dict[str, str]:
    """Return the pairs of each of :func:`parts` and the one that has neither part."""
    return {name: f"ComiRec-SA{ending}" for name in cells if name != f"ComiRec-SA{ending}"}


@torch.no_grad()
def measure(experiment: Experiment, dataset: Dataset, trained: Trained) -> Mapping[str, float]:
    """Return how training ended, and how much of the negatives' weight is on an item that is none.

    The validation item chooses an interest, as a positive does in training; all other items are its negatives, and
    the test item is a false one. ``false negatives`` is how much weight it has, and ``in the loss`` how much of the
    softmax, both in shares of uniform weights. At most about a thousand users are asked.
    """
    model, loss, valid = trained.model, experiment.loss, [row[METRIC] for row in trained.history.rows if METRIC in row]
    assert isinstance(loss, MultiInterestLoss)  # noqa: S101 (for the type checker)
    positive, false = torch.zeros(2, dataset.num_users, dtype=torch.int64)
    positive[dataset.valid.user], false[dataset.test.user] = dataset.valid.item, dataset.test.item
    users = dataset.test.user[:: max(1, len(dataset.test) // 1000)]
    positive, false, row = positive[users], false[users], torch.arange(len(users))
    with evaluating(model):
        out = model(question(model, users, Histories(dataset.known("valid")), device_of(model)))
    interests, items = out.interests.cpu(), out.items.cpu()
    chosen = (interests @ items[positive].unsqueeze(-1)).squeeze(-1).argmax(1)
    scores = interests[row, chosen] @ items.T  # [num_users, num_items]
    others = torch.ones_like(scores, dtype=torch.bool).index_put_((row, positive), torch.tensor(False))
    weights = loss.weighting(scores, valid=others)
    return {
        "interactions per user": len(dataset.train) / dataset.num_users,
        "interactions per item": len(dataset.train) / dataset.num_items,
        "final loss": trained.history.rows[-1]["loss/SampledSoftmaxLoss"],
        "fall": max(valid) - valid[-1],
        **{
            name: float(logits.softmax(1)[row, false].mean()) * (dataset.num_items - 1)
            for name, logits in {"false negatives": weights, "in the loss": scores + weights}.items()
        },
    }


FOUR = parts()
SOFT = parts(", drawn", loss__readout__selector="SampledSelector")
SINGLE = parts(", one interest", model__extractor__num_interests=1)
BETAS = {
    **{f"beta {beta:g}": remi(beta) for beta in (0.01, 0.1, 3.0, 10.0, 100.0)},
    **{
        f"beta {beta:g}, detached": remi(beta, line="detached", loss__weighting__detach_importance=True)
        for beta in (1.0, 10.0)
    },
}
PENALTIES = {
    "REMI" if weight == PENALTY else f"penalty {weight:g}": remi(penalty=weight)
    for weight in (128.0, 1280.0, PENALTY, 128e3)
}
OTHERS = {
    **{f"dropout {share:g}": remi(penalty=0.0, model__dropout=share) for share in (0.2, 0.5)},
    **{f"weight decay {decay:g}": remi(penalty=0.0, trainer__weight_decay=decay) for decay in (1e-5, 1e-4)},
    **{f"norm {weight:g}": remi(**regularizer("EmbeddingNorm", weight)) for weight in (1e-2, 1e-1)},
    **{f"repulsion {weight:g}": remi(**regularizer("InterestRepulsion", weight)) for weight in (1e-2, 1e-1)},
}
SUBSAMPLES = {
    f"{name}, {sample}": remi(
        *PARTS[name],
        split={"class_path": "subsamples.SubSample", "init_args": arguments},
        loader__batch_size=batch_size,
    )
    for sample, (arguments, batch_size) in SAMPLES.items()
    for name in ("ComiRec-SA", "REMI")
}

STUDY = Study(
    "remi",
    {
        "parts": Question(
            "What do hard negatives and routing regularization add, alone and together?",
            FOUR,
            against="ComiRec-SA",
            columns=(*COLUMNS, *INTERESTS),
            data=("ml-100k", "ml-1m", "amazon-toys"),
        ),
        "soft": Question(
            "Do they add as much where the interest that is trained is drawn, as in BaM?",
            {**FOUR, **SOFT},
            against={**without(FOUR), **without(SOFT, ", drawn"), "ComiRec-SA, drawn": "ComiRec-SA"},
            columns=(METRIC, "recall@20", *INTERESTS),
        ),
        "beta": Question(
            "How strong should hard negatives be, and do they push away what users like?",
            {**FOUR, **BETAS},
            against="routing",
            columns=(METRIC, "recall@20", "final loss", "fall", "false negatives", "in the loss", "best epoch"),
            figure=lines("false negatives", "beta", log=True),
        ),
        "single": Question(
            "Does a single interest gain as much?",
            {**FOUR, **SINGLE},
            against={**{name: f"{name}, one interest" for name in FOUR}, **without(SINGLE, ", one interest")},
        ),
        "routing": Question(
            "How do routing weights develop, and how strong should their regularization be?",
            {"ComiRec-SA": FOUR["ComiRec-SA"], "hard negatives": FOUR["hard negatives"], **PENALTIES},
            against="hard negatives",
            columns=(METRIC, "recall@20", *INTERESTS, "best epoch"),
            curves=("interests/collapse", "interests/routing entropy", METRIC),
            figure=curves("interests/routing entropy"),
        ),
        "regularizers": Question(
            "Is routing regularization better than other regularizers of the same loss?",
            {"hard negatives": FOUR["hard negatives"], "REMI": FOUR["REMI"], **OTHERS},
            against="REMI",
            columns=(METRIC, "recall@20", *INTERESTS),
        ),
        "subsamples": Question(
            "How does the gain depend on sparsity, the length of histories and the diversity of tastes?",
            {"ComiRec-SA": FOUR["ComiRec-SA"], "REMI": FOUR["REMI"], **SUBSAMPLES},
            against={name: name.replace("REMI", "ComiRec-SA") for name in ("REMI", *SUBSAMPLES) if "REMI" in name},
            columns=(METRIC, "interactions per user", "interactions per item", "interests/collapse"),
            figure=gains(METRIC),
        ),
    },
    small={
        "loader": "PrefixLoader",
        "loader__batch_size": 2048,
        "sampler__num_negatives": 256,
        "trainer__learning_rate": 0.003,
        "trainer__validate_every": 1,
        "trainer__epochs": 12,
        "trainer__patience": 4,
        "replicates": 200,
    },
    full={"sampler__num_negatives": 1280, "trainer__learning_rate": 0.001, "trainer__epochs": 100},
    measure=measure,
)


if __name__ == "__main__":
    sys.exit(main(STUDY, __doc__))
