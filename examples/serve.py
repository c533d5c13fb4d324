"""A model as a service: trained on all there is, written as a program, and asked with torch alone.

``interests_program`` turns the model into a program of ``torch.export``, from histories to interests. The service reads
it and the vectors of the items, and needs no graphmi. The program of a graph model takes everybody as a new user. At
the command line ``graphmi refit RUN --all`` and ``graphmi export RUN-all --out service --program`` do the same.

    python examples/serve.py [--preset lightgcn-latest] [--data ml-100k] [--epochs 50] [--out service]
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

import torch
from rich.console import Console
from torch import Tensor

from graphmi.cli import answer
from graphmi.config import experiment
from graphmi.data import Histories
from graphmi.program import interests_program
from graphmi.recommender import Recommender
from graphmi.vectors import vectors

K = 5


class Service:
    """What answers requests: a program, and the vectors of all items.

    Args:
        folder: Where both lie.
    """

    def __init__(self, folder: Path) -> None:
        self.interests = torch.export.load(folder / "interests.pt2").module()
        self.items: Tensor = torch.load(folder / "items.pt", weights_only=True)

    def __call__(self, history: Sequence[int]) -> Tensor:
        """Return the numbers of the best items for somebody with this history, the latest item last."""
        items = torch.tensor([history])
        interests = self.interests(items, torch.ones_like(items, dtype=torch.bool))[0]  # [num_interests, dim]
        scores = (interests @ self.items.T).amax(0)
        return scores.index_fill(0, items[0], -torch.inf).topk(K).indices


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="comirec-sa", help="a name of 'graphmi presets'")
    parser.add_argument("--data", default="planted:num_users=300", help="a name of 'graphmi data list', or a file")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path("service"))
    arguments = parser.parse_args()
    settings = {"trainer__epochs": arguments.epochs, "trainer__progress": False}
    run = experiment(arguments.preset, arguments.data, refit="all", **settings)
    data, dataset = run.interactions(), run.dataset()
    model = run.fit(dataset).model.cpu()
    arguments.out.mkdir(exist_ok=True)
    torch.export.save(interests_program(model), arguments.out / "interests.pt2")
    torch.save(torch.tensor(vectors(data, model)[1]["vector"].to_numpy()), arguments.out / "items.pt")

    service = Service(arguments.out)
    history = Histories(data).read(torch.tensor([2]), max_length=20)[0][0]
    start = perf_counter()
    found = data.items.decode(service(history.tolist()))
    seconds = perf_counter() - start
    [expected] = Recommender(data, model, K).for_histories([data.items.decode(history)])
    Console().print(f"The service recommends {', '.join(map(str, found))}, after {1000 * seconds:.2f} ms.")
    Console().print(f"The recommender of graphmi: {', '.join(str(one.item) for one in expected)}.")


if __name__ == "__main__":
    sys.exit(answer(main))
