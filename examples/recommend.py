"""From a trained model to lists: for users, for somebody new, with variety, and from an approximate index.

A graph model with several interests is trained, and asked in four ways: for users of the data; for somebody whom it has
never seen, by a few items; the same with at most two items of an interest, or with items of many categories; and by an
approximate search with faiss (``pip install ".[faiss]"`` in a checkout), which is what large catalogues need.

    python examples/recommend.py [--data ml-100k] [--epochs 30]
"""

import argparse
import sys
from collections.abc import Sequence
from importlib.util import find_spec

import torch
from rich.console import Console
from rich.table import Table

from graphmi.cli import answer
from graphmi.config import experiment
from graphmi.data import Histories, Interactions
from graphmi.recommendation import Recommendation
from graphmi.recommender import Recommender
from graphmi.retrieval import ExactIndex, FaissIndex

K = 5


def show(title: str, lists: dict[str, Sequence[Recommendation]], data: Interactions) -> None:
    """Print lists side by side: what is recommended, and by which interest."""
    table = Table("rank", *lists, title=title)
    for rank in range(max(map(len, lists.values()))):
        table.add_row(
            str(rank + 1), *(name(found[rank], data) if rank < len(found) else "" for found in lists.values())
        )
    Console().print(table)


def name(one: Recommendation, data: Interactions) -> str:
    """Return title, score and interest of a recommendation."""
    title = data.titles[int(data.items.encode([one.item]))] if data.titles else f"item {one.item}"
    return f"{title}  {one.score:.2f} by {one.interest + 1}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="planted:num_users=300", help="a name of 'graphmi data list', or a file")
    parser.add_argument("--epochs", type=int, default=10)
    arguments = parser.parse_args()
    run = experiment(
        "interest-gcn-softmax",
        arguments.data,
        model__embedding_dim=64,
        model__max_length=10,  # for what comes next, the latest items say most
        trainer__learning_rate=0.01,
        trainer__epochs=arguments.epochs,
        trainer__progress=False,
    )
    data, dataset = run.interactions(), run.dataset()
    model = run.fit(dataset).model

    users = data.users.ids[:2]
    found = Recommender(data, model, K)(users)
    show("Users of the data", {f"user {user}": one for user, one in zip(users, found, strict=True)}, data)

    history = data.items.decode(Histories(data).read(torch.tensor([2]), max_length=3)[0])
    ways = {
        "best": Recommender(data, model, K),
        "two of an interest": Recommender(data, model, K, quota=2),
        "many categories": Recommender(data, model, K, variety=0.2 if data.categories is not None else 0.0),
    }
    lists = {way: recommender.for_histories([history])[0] for way, recommender in ways.items()}
    show(f"Somebody new, who had {', '.join(map(str, history))}", lists, data)

    if find_spec("faiss") is not None:
        exact, found = (Recommender(data, model, K, index=index)(data.users.ids) for index in (ExactIndex, FaissIndex))
        pairs = [
            ({one.item for one in best}, {one.item for one in near}) for best, near in zip(exact, found, strict=True)
        ]
        shared = sum(len(best & near) for best, near in pairs) / sum(len(best) for best, _ in pairs)
        Console().print(f"The approximate index finds {shared:.2f} of the {K} best items of a user.")


if __name__ == "__main__":
    sys.exit(answer(main))
