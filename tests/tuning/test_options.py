import pytest

from graphmi.tuning import get_option, with_options
from graphmi.tuning.options import difference
from graphmi.usage import UsageError


def values():
    return {
        "model": {"class_path": "somewhere.Model", "init_args": {"dim": 8}},
        "loss": {
            "class_path": "somewhere.Loss",
            "init_args": {
                "readout": {"class_path": "somewhere.First", "init_args": {"temperature": 2.0}},
                "regularizers": [
                    {"weight": 0.5, "regularizer": {"class_path": "somewhere.Norm", "init_args": {"power": 2}}},
                    {"weight": 3.0, "regularizer": {"class_path": "somewhere.Spread"}},
                ],
                "readouts": [{"class_path": "somewhere.First", "init_args": {"temperature": 1.0}}],
            },
        },
        "trainer": {"epochs": 5},
    }


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("trainer.epochs", 5),
        ("trainer", {"epochs": 5}),
        ("model.dim", 8),
        ("model", "Model"),
        ("loss.readout", "First"),
        ("loss.readout.temperature", 2.0),
        ("loss.regularizers.Norm.weight", 0.5),
        ("loss.regularizers.Spread.weight", 3.0),
        ("loss.regularizers.Norm.regularizer.power", 2),
        ("loss.readouts.First.temperature", 1.0),
    ],
)
def test_options_are_found_and_changed_by_name(name, expected):
    before = values()
    assert get_option(before, name) == expected
    new = "Other" if isinstance(expected, str) else 7
    changed = with_options(before, {name: new})
    assert get_option(changed, name) == new
    assert get_option(before, name) == expected, "the original is left as it was"


def test_a_class_takes_its_own_options_and_drops_those_of_the_other():
    changed = with_options(values(), {"loss.readout.alpha": 0.1, "loss.readout": "Second"})
    assert changed["loss"]["init_args"]["readout"] == {"class_path": "Second", "init_args": {"alpha": 0.1}}
    same = with_options(values(), {"loss.readout": "First"})
    assert get_option(same, "loss.readout.temperature") == 2.0
    assert get_option(with_options(values(), {"loss.readout": None}), "loss.readout") is None


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("trainer.epoch", "did you mean epochs"),
        ("loss.regularizers.Nrm.weight", "did you mean Norm"),
        ("trainer.epochs.of", "it has none"),
        ("trainer.epochs.of.it", "it has none"),
        ("loss.regularizers.Spread.regularizer.power", "it has none"),
        ("modle.dim", "did you mean model"),
    ],
)
def test_unknown_options_get_the_nearest_name(name, hint):
    with pytest.raises(UsageError, match=hint):
        get_option(values(), name)


def test_a_class_that_is_there_twice_has_no_name_of_its_own():
    twice = values()
    twice["loss"]["init_args"]["regularizers"] *= 2
    with pytest.raises(UsageError, match=r"'loss\.regularizers\.Norm\.weight': 2 entries are named 'Norm'"):
        get_option(twice, "loss.regularizers.Norm.weight")


@pytest.mark.parametrize(
    ("now", "name"),
    [
        ({}, None),
        ({"trainer": {"epochs": 6}}, "trainer.epochs"),
        ({"model": {"class_path": "somewhere.Model", "init_args": {"dim": 9}}}, "model.dim"),
        ({"model": {"class_path": "somewhere.Other", "init_args": {"dim": 8}}}, "model"),
        ({"trainer": {"epochs": 5, "patience": 2}}, "trainer.patience"),
        ({"seed": 1}, "seed"),
        ({"columns": {"num_users": "80"}}, None),  # once it was a number
        ({"columns": {"num_users": "90"}}, "columns.num_users"),
        ({"trainer": {"epochs": "5"}}, "trainer.epochs"),
        ({"seed": 1, "columns": {}, "trainer": {"patience": 2, "epochs": 6}}, "trainer.epochs"),  # as they stood before
    ],
)
def test_the_first_option_that_differs_is_named(now, name):
    before = {**values(), "columns": {"num_users": 80}}
    assert difference(before, {**before, **now}) == name
