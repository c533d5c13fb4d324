"""Vectors of the items' texts as features: written once as a table, and then read by any model beside its own vectors.

The text here is the title, and the vector is what three characters in a row say of it, brought to a few numbers by a
singular value decomposition. In place of ``embed``, use a language model, or the vectors that another model left
(``graphmi export RUN --out FOLDER`` writes such a table as items.parquet).

    python examples/item_vectors.py [--data ml-100k] [--preset sasrec-softmax] [--epochs 30] [--out vectors.parquet]

The command reads the table like this:

    graphmi train sasrec-softmax --data ml-100k --columns.attributes vectors.parquet --model.item_tower FeatureSum
"""

import argparse
import math
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.sparse import csr_array
from scipy.sparse.linalg import svds

from graphmi.cli import answer
from graphmi.config import experiment
from graphmi.data import open_data


def embed(texts: Sequence[str], size: int = 64) -> NDArray[np.float32]:
    """Return a vector for each text, ``[len(texts), size]``."""
    counts = [Counter(f" {text.lower()} "[start:][:3] for start in range(len(text))) for text in texts]
    spread = Counter(gram for each in counts for gram in each)  # in how many texts
    place = {gram: index for index, gram in enumerate(gram for gram, number in spread.items() if number > 1)}
    cells = [
        (row, place[gram], (1 + math.log(number)) * math.log(len(texts) / spread[gram]))
        for row, each in enumerate(counts)
        for gram, number in each.items()
        if gram in place
    ]
    rows, columns, weights = zip(*cells, strict=True)
    matrix = csr_array((weights, (rows, columns)), shape=(len(texts), len(place)))
    left, values, _ = svds(matrix, k=min(size, *(side - 1 for side in matrix.shape)), v0=np.ones(min(matrix.shape)))
    return np.float32(left * values)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="planted:num_users=300", help="a name of 'graphmi data list', or a file")
    parser.add_argument("--preset", default="sasrec-softmax", help="a model with 'item_tower'")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path("vectors.parquet"))
    arguments = parser.parse_args()
    data = open_data(arguments.data)
    vectors = embed(data.titles or [f"item {item}" for item in data.items.ids])
    kind = pl.Array(pl.Float32, vectors.shape[1])
    pl.DataFrame({"item_id": data.items.ids, "vector": pl.Series(vectors, dtype=kind)}).write_parquet(arguments.out)

    table = Table("item vectors", "parameters", "ndcg@20", "recall@20", title=f"{arguments.preset}, {arguments.data}")
    for name, tower in (("their own", None), ("their own, and features", "FeatureSum")):
        run = experiment(
            arguments.preset,
            arguments.data,
            columns__attributes=str(arguments.out),
            model__item_tower=tower,
            trainer__epochs=arguments.epochs,
            replicates=0,
        )
        trained = run.train(run.dataset())
        metrics = (f"{trained.test.metrics[name]:.4f}" for name in ("ndcg@20", "recall@20"))
        table.add_row(name, f"{sum(each.numel() for each in trained.model.parameters()):,}", *metrics)
    Console().print(table)
    Console().print(f"vectors: {arguments.out}")


if __name__ == "__main__":
    sys.exit(answer(main))
