"""Hints at names, and null in options of classes, beside what the command says."""

from contextlib import nullcontext

import pytest
from jsonargparse import ArgumentParser, Namespace

from graphmi.mistakes import explain, nearest
from graphmi.usage import UsageError, require_values


@pytest.mark.parametrize(
    ("name", "names", "hint"),
    [
        ("epoch", ["epochs", "patience", "epochs"], "did you mean epochs?"),
        ("BPRLos", ["BPRLoss", "BCELoss", "PRLoss"], "did you mean BPRLoss or PRLoss?"),
        ("bprloss", ["BPRLoss"], "did you mean BPRLoss?"),
        ("--ks", ["--k"], "did you mean --k?"),
        ("--x", ["--k"], "there are --k"),  # dashes make no likeness
        ("--model.sed", ["--seed", "--model.speed"], "did you mean --model.speed or --seed?"),  # the group comes first
        ("--model.xyz", ["--seed", "--model.score"], "there are --model.score"),
        ("--model.xyz", ["--seed"], "see --help"),
        ("xyz", [f"name{number}" for number in range(21)], "see --help"),
        ("xyz", [*"abcdefghijklmnopqrst"], f"there are {', '.join('abcdefghijklmnopqrst')}"),
        ("score", ["sorce", "scores"], "did you mean scores or sorce?"),
    ],
)
def test_the_nearest_names_are_a_hint(name, names, hint):
    assert nearest(name, names) == hint


def test_what_has_no_sentence_of_its_own_becomes_one_line():
    assert explain("Neither this\n  nor that\n", ArgumentParser(), []) == "Neither this nor that"


class Own:
    def __init__(self, rate: float, name: str, deep: bool, width: int = None, depth: int | None = 3, **others):  # noqa: RUF013
        """The width may be null, although it does not say so."""


@pytest.mark.parametrize(
    ("option", "kind"),
    [("rate", "float"), ("name", "str"), ("deep", "bool"), ("width", None), ("depth", None), ("more", None)],
)
def test_null_is_a_value_where_the_class_says_so(option, kind):
    values = Namespace({"model.class_path": f"{__name__}.Own", f"model.init_args.{option}": None})
    with pytest.raises(UsageError, match=f"'--model.{option}' must be {kind}") if kind else nullcontext():
        require_values(ArgumentParser(), values)
