import pytest

from graphmi.tuning import get_option, with_options
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


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("trainer.epoch", "did you mean epochs"),
        ("loss.regularizers.Nrm.weight", "did you mean Norm"),
        ("trainer.epochs.of", "it has none"),
        ("modle.dim", "did you mean model"),
    ],
)
def test_unknown_options_get_the_nearest_name(name, hint):
    with pytest.raises(UsageError, match=hint):
        get_option(values(), name)
