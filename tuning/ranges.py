"""Ranges that are given on the command line, and the combinations of those that are lists."""

import itertools
import math
from contextlib import suppress
from typing import Any

import yaml
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from graphmi.config import Config, read_config
from graphmi.tuning import Space, get_option, require_searchable, with_options
from graphmi.usage import UsageError

WORDS = {"true": True, "false": False, "null": None}


def read_range(word: str) -> tuple[str, BaseDistribution]:
    """Return the name of an option and its range.

    Args:
        word: ``NAME=LOW:HIGH`` with two numbers, a range of integers where both are; ``NAME=LOW:HIGH:log`` for steps
            that are ratios; or ``NAME=VALUE,VALUE``, a list.

    Raises:
        UsageError: If it is none of these.
    """
    name, _, text = word.partition("=")
    try:
        if not name or not all(text.split(",")):
            raise ValueError
        return name, _between(text) if ":" in text else _list(text)
    except ValueError:
        raise UsageError(
            f"'--range {word}' is no range: write NAME=LOW:HIGH with rising numbers, NAME=LOW:HIGH:log with those "
            "above 0, or NAME=VALUE,VALUE"
        ) from None


def fitting(config: Config, space: Space) -> dict[str, BaseDistribution]:
    """Return ranges that suit their options: one that is a number with decimals has more than whole ones in between.

    Raises:
        UsageError: If there is no such option, or it cannot be searched.
    """
    values = config.to_dict()
    require_searchable(values, space)
    return {
        name: FloatDistribution(found.low, found.high, log=found.log)
        if isinstance(found, IntDistribution) and isinstance(get_option(values, name), float)
        else found
        for name, found in space.items()
    }


def there(config: Config, space: Space) -> Space:
    """Return the ranges of options that the configuration has: those of a preset whose parts may be others now."""
    values = config.to_dict()

    def has(name: str) -> bool:
        with suppress(UsageError):
            get_option(values, name)
            return True
        return False

    return {name: found for name, found in space.items() if has(name)}


def require_values(config: Config, space: Space) -> None:
    """Check that the configuration takes the ends of ranges and the values of lists, before a trial fails of them.

    Raises:
        UsageError: If it does not; the message names the option.
    """
    values = config.to_dict()
    for name, found in space.items():
        for value in found.choices if isinstance(found, CategoricalDistribution) else (found.low, found.high):
            read_config(yaml.safe_dump(with_options(values, {name: value})))


def combinations(space: Space) -> list[dict[str, Any]]:
    """Return all combinations of the values of lists; the last option changes first.

    Raises:
        UsageError: If a range is no list.
    """
    for name, found in space.items():
        if not isinstance(found, CategoricalDistribution):
            raise UsageError(f"'--grid' goes over lists, and the range of '{name}' is none: write {name}=VALUE,VALUE")
    return [dict(zip(space, values, strict=True)) for values in itertools.product(*(r.choices for r in space.values()))]


def _between(text: str) -> BaseDistribution:
    low, high, *scale = text.split(":")
    if scale not in ([], ["log"]):
        raise ValueError
    ends = _number(low), _number(high)
    kind = IntDistribution if all(isinstance(end, int) for end in ends) else FloatDistribution
    return kind(*ends, log=bool(scale))


def _list(text: str) -> BaseDistribution:
    return CategoricalDistribution([_value(one) for one in text.split(",")])


def _value(text: str) -> Any:
    try:
        return _number(text)
    except ValueError:
        return WORDS.get(text, text)


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        if math.isfinite(number := float(text)):
            return number
        raise
