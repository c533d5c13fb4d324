"""Where to search, for each preset: ranges beside the names of the options, log scales where steps are ratios.

The values of a preset itself lie inside its ranges, and are the first trial of every search. What decides on the cost
of a trial more than on its result (epochs, lengths of histories, batch sizes) is left to the command line.
"""

from collections.abc import Mapping

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from graphmi.tuning import Space
from graphmi.usage import require_name

RATE: Space = {"trainer.learning_rate": FloatDistribution(1e-4, 1e-2, log=True)}
DIM: Space = {"model.embedding_dim": CategoricalDistribution([32, 64, 128, 256])}
PENALTY: Space = {"loss.regularizers.EmbeddingNorm.weight": FloatDistribution(1e-6, 1e-2, log=True)}
TEMPERATURE: Space = {"loss.objective.temperature": FloatDistribution(0.05, 1.0, log=True)}
BALANCE: Space = {"loss.user_balance": FloatDistribution(0.0, 1.0)}
INTERESTS: Space = {"model.num_interests": IntDistribution(2, 8)}
ATTENTION: Space = {
    **INTERESTS,
    "model.rescale": CategoricalDistribution([False, True]),
    "model.share_interests": CategoricalDistribution([False, True]),
    "model.center": CategoricalDistribution(["node_dot", "node_norm", "sum"]),
}
WEIGHT: Space = {
    "model.weight.similarity": CategoricalDistribution(["jaccard", "salton", "lhn", "common"]),
    "model.weight.gamma": FloatDistribution(0.25, 4.0, log=True),
}
LAYERS: Space = {"model.num_layers": IntDistribution(1, 4)}
GRAPH: Space = {**RATE, **DIM, **LAYERS, **PENALTY}

DROPOUT: Space = {"model.dropout": FloatDistribution(0.0, 0.6)}
EXTRACTED: Space = {"model.extractor.num_interests": IntDistribution(2, 8)}
ENCODED: Space = {
    "model.encoder.num_layers": IntDistribution(1, 3),
    "model.encoder.dropout": FloatDistribution(0.1, 0.7),
}
SEQUENCE: Space = {**RATE, **DROPOUT, **TEMPERATURE}
BETA: Space = {"loss.weighting.beta": FloatDistribution(0.01, 10.0, log=True)}
ROUTING: Space = {"loss.regularizers.RoutingVariance.weight": FloatDistribution(1.0, 1e5, log=True)}
DRAW: Space = {"loss.readout.selector.temperature": FloatDistribution(0.1, 10.0, log=True)}
REPEL: Space = {
    "loss.readout.selector.alpha": FloatDistribution(0.1, 10.0, log=True),
    "loss.objective.margin": FloatDistribution(0.1, 1.0, log=True),
    "loss.regularizers.InterestRepulsion.weight": FloatDistribution(0.01, 1.0, log=True),
}
ROUTED: Space = {"model.extractor.num_iterations": IntDistribution(1, 5)}

SPACES: Mapping[str, Space] = {
    "mf": {**RATE, **DIM, **PENALTY},
    "ease": {"model.regularization": FloatDistribution(1.0, 1e4, log=True)},
    "item-knn": {
        "model.neighbors": IntDistribution(10, 1000, log=True),
        "model.shrinkage": FloatDistribution(1.0, 100.0, log=True),
    },
    "lightgcn": GRAPH,
    "cagcn": {**GRAPH, **WEIGHT},
    "lightgcn-softmax": {**RATE, **DIM, **LAYERS, **TEMPERATURE, **BALANCE},
    "lightgcn-latest": {
        **DIM,
        **LAYERS,
        **TEMPERATURE,
        **BALANCE,
        "model.max_length": IntDistribution(1, 20, log=True),
        "trainer.learning_rate": FloatDistribution(1e-3, 5e-2, log=True),
    },
    "interest-gcn": {**GRAPH, **ATTENTION},
    "interest-cagcn": {**GRAPH, **ATTENTION, **WEIGHT},
    "interest-gcn-softmax": {**RATE, **DIM, **LAYERS, **TEMPERATURE, **BALANCE, **ATTENTION},
    "interest-gcn-bam": {**GRAPH, **INTERESTS, **TEMPERATURE, **DRAW},
    "interest-gcn-remi": {**GRAPH, **INTERESTS, **TEMPERATURE, **BETA},
    "interest-gcn-mtmi": {**RATE, **DIM, **LAYERS, **INTERESTS, **REPEL},
    "youtube-dnn": SEQUENCE,
    "sasrec": {**RATE, **ENCODED},
    "sasrec-softmax": {
        **RATE,
        **DIM,
        **TEMPERATURE,
        **ENCODED,
        "model.encoder.num_heads": CategoricalDistribution([1, 2, 4]),
    },
    "gsasrec": {**RATE, **ENCODED, "loss.objective.calibration": FloatDistribution(0.0, 1.0)},
    "gru4rec": {**RATE, **DROPOUT, "model.encoder.num_layers": IntDistribution(1, 2)},
    "comirec-sa": {**SEQUENCE, **EXTRACTED},
    "comirec-dr": {**SEQUENCE, **EXTRACTED, **ROUTED},
    "mind": {
        **SEQUENCE,
        **EXTRACTED,
        **ROUTED,
        "loss.readout.selector.power": FloatDistribution(0.25, 16.0, log=True),
    },
    "remi": {**SEQUENCE, **EXTRACTED, **BETA, **ROUTING},
    "bam": {**SEQUENCE, **EXTRACTED, **DRAW},
    "bam-linear": {**SEQUENCE, **EXTRACTED, **DRAW},
    "bam-long": {
        **SEQUENCE,
        **EXTRACTED,
        "loss.readout.readouts.SelectReadout.selector.temperature": FloatDistribution(0.1, 10.0, log=True),
    },
    "mtmi": {**RATE, **DROPOUT, **EXTRACTED, **REPEL},
    "multi-interest-transformer": {
        **RATE,
        **TEMPERATURE,
        **EXTRACTED,
        **ENCODED,
        "loss.readout.temperature": FloatDistribution(0.05, 1.0, log=True),
    },
}


def space_of(preset: str) -> Space:
    """Return the ranges of a preset.

    Raises:
        UsageError: If there are none for this name.
    """
    require_name(preset, SPACES, "preset with a space")
    return SPACES[preset]
