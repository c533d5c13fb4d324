"""Hints at names, beside those that the command gives."""

import pytest

from graphmi.usage import nearest


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
    ],
)
def test_the_nearest_names_are_a_hint(name, names, hint):
    assert nearest(name, names) == hint
