import importlib.util
from pathlib import Path

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from graphmi.config import preset_texts, read_config
from graphmi.presets import preset_names
from graphmi.tuning import get_option, with_options
from graphmi.usage import UsageError

_path = Path(__file__).parents[2] / "tuning" / "space.py"
_spec = importlib.util.spec_from_file_location("space", _path)
space = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(space)


def test_every_preset_with_parameters_has_a_space():
    assert set(space.SPACES) == set(preset_names()) - {"popularity"}
    with pytest.raises(UsageError, match="did you mean lightgcn"):
        space.space_of("lightgnc")


@pytest.mark.parametrize("preset", space.SPACES)
def test_ranges_hold_the_values_of_the_preset_and_their_ends_can_be_built(preset):
    values = read_config(*preset_texts(preset), arguments=["--data", "planted"]).to_dict()
    ends = {}
    for name, range_ in space.SPACES[preset].items():
        own = get_option(values, name)
        if isinstance(range_, CategoricalDistribution):
            assert own in range_.choices, name
            ends[name] = range_.choices[-1]
        else:
            assert range_.low <= own <= range_.high, name
            ends[name] = range_.high
            assert not isinstance(range_, FloatDistribution) or range_.log == (range_.high > 9 * range_.low > 0), name
    built = read_config(__import__("yaml").safe_dump(with_options(values, ends)))
    built.experiment()
    assert all(get_option(built.to_dict(), name) == value for name, value in ends.items())
