r"""Do several interests serve accounts that several people share? Real people, put together at random.

Users of a data set are drawn into accounts of ``--people``, who take turns: the rows of an account are ordered by how
far each person has come in the own history, item by item or with ``--at-a-time`` some of them. So breadth is known and
can be turned up, where in other data it is guessed. The last item of every person is test, the one before it
validation; an item counts once per account, for who met it first. ``make`` writes the interactions and the three parts,
for any model; accounts of one person are the data set itself, leave-one-out. ``people`` compares runs on them: how well
each person is served, who has most items first (recall@20), as a picture too, and how many items before a target are
nearest to the interest that it is nearest to, of its own person and of the others. Runs in one folder are seeds of one
arm, the first folder is what the others are compared with.

    python examples/studies/accounts.py make --data ml-100k --people 4 --out accounts
    graphmi train PRESET --data accounts/interactions.csv --split GivenSplit --split.train accounts/train.csv \
      --split.valid accounts/valid.csv --split.test accounts/test.csv --out runs/four/0
    python examples/studies/accounts.py people runs/one/* runs/four/*
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch
from answers import wide_console
from apart import compared, table
from arms import Seeds, by_folder
from ask import given_options
from figures import lines, save
from question import METRIC

from graphmi.asking import question
from graphmi.cli import answer
from graphmi.data import Histories, Interactions, open_data
from graphmi.recommender import Recommender
from graphmi.restore import Restored, restore
from graphmi.result import versions
from graphmi.retrieval import best_interest
from graphmi.run import RunFolder
from graphmi.usage import UsageError

LENGTH = 20  # of the lists that people are served with
PERSON = "person "
SHARES = {"as own items": True, "as others'": False}


def accounts(interactions: Interactions, people: int, seed: int = 0, at_a_time: int = 1) -> pl.DataFrame:
    """Return ``user_id`` (the account), ``item_id``, ``time`` (the order), ``person`` and ``part`` of each row.

    Args:
        interactions: Of single people.
        people: How many share an account; people who are left over are left out.
        seed: Seed of the draw, and of whose turn it is where two are equally far.
        at_a_time: How many items of a person follow each other, at least 1.

    Raises:
        UsageError: If no account can be filled, or nothing comes at a time.
    """
    rng = np.random.default_rng(seed)
    order = np.arange(len(interactions)) if interactions.time is None else interactions.time.numpy()
    rows = pl.DataFrame({"person": interactions.user.numpy(), "item": interactions.item.numpy(), "order": order})
    found = rows["person"].unique().sort().to_numpy()
    if not 1 <= people <= len(found):
        raise UsageError(f"'--people' must be from 1 to {len(found)}, all that there are (got {people})")
    if at_a_time < 1:
        raise UsageError(f"'--at-a-time' must be at least 1 (got {at_a_time})")
    number = len(found) // people * people
    drawn = pl.DataFrame({"person": rng.permutation(found)[:number], "luck": rng.random(number)})
    place, count = pl.int_range(pl.len()).over("person"), pl.len().over("person")
    table = (
        rows.join(drawn.with_columns(user_id=pl.int_range(number) // people), on="person")
        .sort("order", maintain_order=True)
        .with_columns(share=(place // at_a_time * at_a_time + 0.5) / count)
        .sort("user_id", "share", "luck", maintain_order=True)
        .unique(["user_id", "item"], keep="first", maintain_order=True)
        .with_columns(left=count - place, time=pl.int_range(pl.len()).over("user_id"))
    )
    part = pl.col("left").replace_strict({1: "test", 2: "valid"}, default="train")
    item = interactions.items.ids.gather(table["item"])
    return table.select("user_id", item_id=item, time="time", person="person", part=part)


def nearest(run: Restored, person: pl.DataFrame, pairs: Interactions) -> pl.DataFrame:
    """Return pairs with their person and the interest that scores best on each."""
    known = Histories(run.dataset.known("test"))
    items = Histories(pairs)
    parts = []
    with torch.no_grad():
        for users in pairs.user.unique().split(1024):
            out = run.model(question(run.model, users, known, torch.device("cpu")))
            ids, real = items.read(users, int(items.length[users].max()))
            nearest = best_interest(out.interests, out.items, ids, interest_mask=out.interest_mask)
            at = real.nonzero()[:, 0]
            parts.append(
                pl.DataFrame(
                    {
                        "user_id": pairs.users.ids.gather(users[at].numpy()),
                        "item_id": pairs.items.ids.gather(ids[real].numpy()),
                        "interest": nearest[real].numpy(),
                    }
                )
            )
    return pl.concat(parts).join(person, on=["user_id", "item_id"])


def told_apart(targets: pl.DataFrame, history: pl.DataFrame) -> dict[str, float]:
    """Return how many items before a target are nearest to the same interest, of its own person and of the others."""
    pairs = targets.join(history, on="user_id", suffix=" before").with_columns(
        same=pl.col("interest") == pl.col("interest before"), own=pl.col("person") == pl.col("person before")
    )
    shares = (
        pairs.group_by("user_id", "person", "own").agg(pl.col("same").mean()).group_by("own").agg(pl.col("same").mean())
    )
    found = dict(shares.iter_rows())
    return {name: found[own] for name, own in SHARES.items() if own in found}


def people(run: Restored, quota: int | None = None) -> dict[str, float]:
    """Return what a run says of the people of its accounts.

    Args:
        run: A model that was trained on accounts.
        quota: Most items of a list that an interest may bring.

    Raises:
        UsageError: If its data has no people.
    """
    path = Path(run.experiment.data)
    person = pl.read_csv(path, infer_schema=False) if path.is_file() else pl.DataFrame()  # "007" is no 7
    if "person" not in person.columns:
        raise UsageError(f"'{run.experiment.data}' has no people: write accounts with 'accounts.py make'")
    train = run.dataset.train
    dtypes = {"user_id": train.users.ids.dtype, "item_id": train.items.ids.dtype, "person": pl.Int64()}
    person = person.select(*dtypes).cast(dtypes)
    recommender = Recommender(run.dataset.known("test"), run.model, LENGTH, quota=quota)
    lists = recommender.table().select("user_id", "item_id", "rank")
    targets, history = (
        nearest(run, person, pairs) for pairs in (run.dataset.targets("test"), run.dataset.known("test"))
    )
    rows = person.group_by("user_id", "person").len("rows")
    place = pl.struct("rows", "person").rank("ordinal", descending=True).over("user_id")
    found = targets.join(lists, on=["user_id", "item_id"], how="left").join(rows, on=["user_id", "person"])
    hit = found.group_by(place.alias("place")).agg(pl.col("rank").is_not_null().mean()).sort("place")
    return {**{f"{PERSON}{number}": share for number, share in hit.iter_rows()}, **told_apart(targets, history)}


@dataclass(frozen=True)
class Arm(Seeds):
    """Seeds, and what they say of people.

    Attributes:
        people: What each says of people.
    """

    people: Sequence[Mapping[str, float]]

    def numbers(self) -> dict[str, list[float]]:
        """Return what the table shows, a list each."""
        accuracy = {name: [run.result["metrics"][name] for run in self.runs] for name in (METRIC, "recall@20")}
        valid = [run.result["valid_metrics"][METRIC] for run in self.runs]
        return {"valid": valid, **accuracy, **{name: [one[name] for one in self.people] for name in self.people[0]}}


def picture(arms: Sequence[Arm], path: Path) -> None:
    """Draw how well each person is served, a line per arm."""
    cells = {
        f"{arm.name}, {name}": {
            "at": (arm.name, int(name.removeprefix(PERSON))),
            "values": {"recall@20": [one[name] for one in arm.people]},
        }
        for arm in arms
        for name in arm.people[0]
        if name.startswith(PERSON)
    }
    save(lines("recall@20", "person of the account, who has most items first"), "Who is served", cells, path)


def show(folders: Sequence[Path], quota: int | None, out: Path) -> None:
    """Print a row for the runs of each folder, and write all numbers and a picture."""
    found = [
        Arm(name, runs, [people(restore(run.folder), quota) for run in runs])
        for name, runs in by_folder(folders).items()
    ]
    tests = compared(found)
    wide_console().print(table(found, tests))
    content = {
        "versions": versions(),
        "arms": {arm.name: arm.numbers() for arm in found},
        "seconds": {arm.name: [run.result["timings"]["train_seconds"] for run in arm.runs] for arm in found},
        f"less {found[0].name}": tests,
    }
    RunFolder(out.parent).write_text(out.name, json.dumps(content, indent=1) + "\n")
    picture(found, out.with_suffix(".png"))


def make(table: pl.DataFrame, out: Path) -> None:
    """Write the interactions and the three parts."""
    folder = RunFolder(out)
    folder.write_text("interactions.csv", table.drop("part").write_csv())
    for part in ("train", "valid", "test"):
        folder.write_text(f"{part}.csv", table.filter(part=part).select("user_id", "item_id").write_csv())
    print(f"{table['user_id'].n_unique():,} accounts with {len(table):,} interactions are in '{out}'")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    steps = parser.add_subparsers(dest="step", required=True)
    making = steps.add_parser("make", help="write accounts")
    making.add_argument("--data", required=True, help="name of 'graphmi data list', or a file")
    making.add_argument(
        "--option", action="append", default=[], metavar="NAME=VALUE", help="for a file: time=..., format=..."
    )
    making.add_argument("--people", type=int, default=2, help="people per account")
    making.add_argument("--at-a-time", type=int, default=1, help="items of a person that follow each other")
    making.add_argument("--seed", type=int, default=0)
    making.add_argument("--out", type=Path, required=True, help="folder for the files")
    asking = steps.add_parser("people", help="say how the people of accounts are served")
    asking.add_argument("runs", type=Path, nargs="+", help="run folders of 'graphmi train' on accounts")
    asking.add_argument("--quota", type=int, help="most items of a list that an interest may bring")
    asking.add_argument("--out", type=Path, default=Path("runs/people.json"), help="file of the numbers")
    arguments = parser.parse_args()
    if arguments.step == "people":
        show(arguments.runs, arguments.quota, arguments.out)
        return 0
    options = given_options(arguments.option)
    data = open_data(arguments.data, **options)
    make(accounts(data, arguments.people, arguments.seed, arguments.at_a_time), arguments.out)
    return 0


if __name__ == "__main__":
    sys.exit(answer(main))
