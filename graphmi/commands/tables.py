"""Results as tables for the terminal, from the dictionaries of ``result.json``."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

__all__ = ["group_names", "groups_table", "interval_text", "metrics_table", "number"]


def metrics_table(title: str, parts: Mapping[str, Mapping[str, float]]) -> Table:
    """Return one row per metric, and for every part (such as the test) one column per length of the lists."""
    first = next(iter(parts.values()))
    names = list(dict.fromkeys(key.partition("@")[0] for key in first))
    lengths = list(dict.fromkeys(key.partition("@")[2] for key in first))
    table = Table(title=title)
    table.add_column("metric")
    for part in parts:
        for length in lengths:
            table.add_column(f"{part}\n@{length}", justify="right")
    for name in names:
        table.add_row(name, *(number(values[f"{name}@{k}"]) for values in parts.values() for k in lengths))
    return table


def groups_table(groups: Mapping[str, Any], metric: str) -> Table | None:
    """Return the metric by user group, one column per kind of group; ``None`` where there are no groups."""
    kinds = {name: groups[f"{name}/{metric}"] for name in group_names(groups) if f"{name}/{metric}" in groups}
    if not kinds:
        return None
    table = Table(title=f"{metric} by diversity of interests", caption="in brackets: 95 % bootstrap intervals")
    table.add_column("group")
    for name in kinds:
        table.add_column(name, justify="right")
    size = max(len(kind["mean"]) for kind in kinds.values())
    for index in range(size):
        table.add_row(_group(index, size), *(interval_text(kind, str(index)) for kind in kinds.values()))
    table.add_section()
    for spread in ("std", "gap", "cv"):
        table.add_row(spread, *(interval_text(kind, spread) for kind in kinds.values()))
    return table


def group_names(groups: Mapping[str, Any]) -> Sequence[str]:
    """Return the kinds of groups: what stands before the slash of the keys."""
    return list(dict.fromkeys(key.rpartition("/")[0] for key in groups))


def interval_text(kind: Mapping[str, Any], name: str) -> str:
    """Return a number of a group result with its interval."""
    value = kind["mean"][int(name)] if name.isdigit() else kind[name]
    interval = kind["intervals"].get(name)
    return f"{number(value)} [dim]\\[{number(interval[0])}, {number(interval[1])}][/dim]" if interval else number(value)


def number(value: float | None) -> str:
    """Return four decimals, or a dash for no value."""
    return "-" if value is None else f"{value:.4f}"


def _group(index: int, size: int) -> str:
    return f"{index + 1} (lowest)" if index == 0 else f"{index + 1} (highest)" if index == size - 1 else str(index + 1)
