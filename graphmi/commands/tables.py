"""Results as tables for the terminal, from the dictionaries of ``result.json``."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = [
    "LISTS",
    "bar",
    "group_names",
    "interests_table",
    "lists_table",
    "metrics_table",
    "number",
    "result_tables",
    "say",
]

_EIGHTHS = " ▏▎▍▌▋▊▉"
LISTS = {
    "coverage": "share of the items anyone sees",
    "gini": "1: few items are all that is seen",
    "novelty": "bits; one more: half as popular",
    "entropy": "of categories in a list, nats",
    "calibration": "0: the mixture of the history",
}
_INTERESTS = {
    "collapse": "share resting on one item, 0 is good",
    "routing entropy": "0: one item, 1: mean of the history",
    "cosine": "1: all interests of a user are one",
    "balance": "1: all give equal parts of a list",
    "effective": "interests that a list comes from",
    "idle": "share of a user's that give no item",
    "dead": "share that give no item to anybody",
    "alignment": "distance to the targets, low is good",
    "uniformity": "low: spread over all directions",
    "effective-diversity correlation": "1: broader taste, more interests",
    "effective-diversity correlation, controlled": "the same at equal activity",
}


def result_tables(result: Mapping[str, Any], metric: str) -> Iterator[Table]:
    """Yield what there is to say of an evaluation beside its metrics.

    Args:
        result: What ``result.json`` holds.
        metric: The metric that is shown by user group.
    """
    tables = (
        _groups_table(result["groups"], metric),
        lists_table(result.get("lists", {})),
        interests_table(result.get("interests", {})),
    )
    yield from (table for table in tables if table is not None)


def metrics_table(title: str, parts: Mapping[str, Mapping[str, float]]) -> Table:
    """Return one row per metric, and for every part (such as the test) one column per length of the lists."""
    first = next(iter(parts.values()))
    names = list(dict.fromkeys(key.partition("@")[0] for key in first))
    lengths = list(dict.fromkeys(key.partition("@")[2] for key in first))
    table = Table(title=Text(title, "table.title"))
    table.add_column("metric")
    for part in parts:
        for length in lengths:
            table.add_column(f"{part}\n@{length}", justify="right")
    for name in names:
        table.add_row(name, *(number(values[f"{name}@{k}"]) for values in parts.values() for k in lengths))
    return table


def _groups_table(groups: Mapping[str, Any], metric: str) -> Table | None:
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
        table.add_row(_group(index, size), *(_interval_text(kind, str(index)) for kind in kinds.values()))
    table.add_section()
    for spread in ("std", "gap", "cv"):
        table.add_row(spread, *(_interval_text(kind, spread) for kind in kinds.values()))
    return table


def lists_table(lists: Mapping[str, float | None]) -> Table | None:
    """Return what the lists are like, one column per length; ``None`` where nothing is known of them."""
    if not lists:
        return None
    lengths = list(dict.fromkeys(key.partition("@")[2] for key in lists))
    table = Table(title="lists beyond accuracy")
    table.add_column("")
    for length in lengths:
        table.add_column(f"@{length}", justify="right")
    table.add_column("how to read it", style="dim")
    for name in dict.fromkeys(key.partition("@")[0] for key in lists):
        table.add_row(name, *(number(lists[f"{name}@{k}"]) for k in lengths), LISTS.get(name, ""))
    return table


def interests_table(interests: Mapping[str, float | None]) -> Table | None:
    """Return what several interests do; ``None`` for a model with one."""
    if not interests:
        return None
    table = Table(title="interests")
    table.add_column("")
    table.add_column("", justify="right")
    table.add_column("how to read it", style="dim")
    for key, value in interests.items():
        label = key.replace("-", ",\n")  # narrow enough for 80 columns
        table.add_row(label, number(value), _INTERESTS.get(key.partition("@")[0], ""))
    return table


def group_names(groups: Mapping[str, Any]) -> Sequence[str]:
    """Return the kinds of groups: what stands before the slash of the keys."""
    return list(dict.fromkeys(key.rpartition("/")[0] for key in groups))


def _interval_text(kind: Mapping[str, Any], name: str) -> str:
    """Return a number of a group result with its interval."""
    value = kind["mean"][int(name)] if name.isdigit() else kind[name]
    interval = kind["intervals"].get(name)
    return f"{number(value)} [dim]\\[{number(interval[0])}, {number(interval[1])}][/dim]" if interval else number(value)


def number(value: float | None) -> str:
    """Return four decimals, or a dash for no value."""
    return "-" if value is None else f"{value:.4f}"


def say(text: str) -> None:
    """Print a sentence as it stands: paths are neither broken nor coloured."""
    Console().print(text, highlight=False, markup=False, soft_wrap=True)


def bar(share: float, width: int) -> str:
    """Return a bar of block characters, ``width`` wide for a share of 1, in steps of an eighth, or of #."""
    if Console().options.ascii_only:
        return "#" * round(share * width)
    full, eighths = divmod(round(share * width * 8), 8)
    return "█" * full + (_EIGHTHS[eighths] if eighths else "")


def _group(index: int, size: int) -> str:
    return f"{index + 1} (lowest)" if index == 0 else f"{index + 1} (highest)" if index == size - 1 else str(index + 1)
