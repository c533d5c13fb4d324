"""An explanation as tables for the terminal, readable at 80 columns; colours repeat what numbers say."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from graphmi.commands.tables import bar

__all__ = ["print_explanation"]

_COLORS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9")  # Okabe and Ito: safe for colour-blind
_LATEST, _CATEGORIES, _CAUSES = 8, 8, 3
_BAR = 24
_LEAST = 0.0005  # smaller shares would read 0.0%
_WIDTH = 110  # wider rows are hard to follow

Names = Mapping[str, Any]


def print_explanation(console: Console, found: Names) -> None:
    """Print what a model makes of a user.

    Args:
        console: Where to.
        found: What :func:`graphmi.commands.explain.explain` returns.
    """
    tables = [_interests(found), _recommendations(found)]
    if found["categories"]:
        tables.insert(0, _categories(found["categories"]))
    if found["history"]:
        tables.insert(0, _history(found["history"]))
    console.print(_header(found))
    for table in tables:
        console.print(table, width=min(console.width, _WIDTH))
        console.print()


def _header(found: Names) -> Text:
    title = Text.assemble((f"User {found['user']}", "bold"), f" in {found['run']}, {found['split']}\n")
    title.append("; ".join(_facts(found)) + "\n")
    if found.get("typical"):
        title.append(
            f"Chosen as typical; --user {found['narrow']} has a narrow taste, --user {found['broad']} a broad one\n"
        )
    if found["note"]:
        title.append(found["note"] + "\n", "bold")
    return title


def _facts(found: Names) -> Iterator[str]:
    known, read = len(found["history"]), found["max_length"]
    yield f"{known:,} known item{'s' * (known > 1)}" if known else "no known items"
    if read is not None and known > read:
        yield f"the model reads the latest {read}"
    if found["diversity"] is not None:
        yield f"diversity {found['diversity']:.2f}"
    if found["group"] is not None:
        yield f"diversity group {found['group']} of {found['num_groups']}"
    hits, targets = sum(one["hit"] for one in found["recommendations"]), len(found["targets"])
    listed = f"in the list of {len(found['recommendations'])}"
    yield f"{hits} of {targets} targets {listed}" if targets else f"no targets in the {found['split']} split"


def _history(history: Sequence[Names]) -> Table:
    table = _plain(f"Latest {_LATEST} of {len(history):,} known items" if len(history) > _LATEST else "Known items")
    table.add_column(ratio=3, no_wrap=True)
    table.add_column(ratio=2, no_wrap=True)
    for item in reversed(history[-_LATEST:]):
        table.add_row(Text(item["title"]), Text(", ".join(item["categories"]), "dim"))
    return table


def _categories(counts: Mapping[str, int]) -> Table:
    rest = len(counts) - _CATEGORIES
    table = _plain("Known items by category" + (f", and {rest} more" if rest > 0 else ""), expand=False)
    table.add_column(max_width=30, no_wrap=True)
    table.add_column(min_width=_BAR)
    table.add_column(justify="right")
    for name, count in list(counts.items())[:_CATEGORIES]:
        table.add_row(Text(name), bar(count / max(counts.values()), _BAR), f"{count:,}")
    return table


def _interests(found: Names) -> Table:
    source = found["source"]
    table = Table(title="Interests", expand=True, title_justify="left", show_lines=True, caption=_CAPTIONS[source])
    table.add_column("#", width=2, justify="right")
    table.add_column("of the list", width=11)
    table.add_column("nearest items", ratio=1, no_wrap=True)
    if source != "none":
        table.add_column(f"from, in the {source}", ratio=1, no_wrap=True)
    for interest in found["interests"]:
        nearest = Text("\n").join(Text(item["title"]) for item in interest["nearest"])
        row = [_number(interest["number"]), _share(interest), nearest]
        table.add_row(*row, *([_causes(interest["causes"])] if source != "none" else []))
    return table


_CAPTIONS = {
    "history": "%: how much of the interest comes from the item",
    "graph": "%: share of the interest that came through the neighbour",
    "none": "this model does not say which items an interest comes from",
}


def _share(interest: Names) -> Text:
    if not interest["active"]:
        return Text("inactive", "dim")
    return Text(f"{interest['share']:.0%}\n{bar(interest['share'], 10)}", _style(interest["number"]))


def _recommendations(found: Names) -> Table:
    because = found["source"] != "none"
    caption = "✓: was to be found; by: the interest" + ("; %: share of all that speaks for the item" if because else "")
    table = Table(title="Recommendations", expand=True, title_justify="left", show_lines=True, caption=caption)
    table.add_column("#", width=2, justify="right")
    table.add_column("item", ratio=1, no_wrap=True)
    table.add_column("score", min_width=5, justify="right", no_wrap=True)
    table.add_column("by", width=2, justify="right")
    if because:
        table.add_column("because of", ratio=1, no_wrap=True)
    for one in found["recommendations"]:
        title = Text.assemble(("✓ " if one["hit"] else "", "bold green"), (one["title"], "bold" if one["hit"] else ""))
        detail = ", ".join(one["categories"])
        if one["title"] != str(one["item"]):
            detail = f"{one['item']}{': ' if detail else ''}{detail}"
        item = Text.assemble(title, "\n", (detail, "dim"))
        row = [Text(str(one["rank"])), item, Text(_score(one["score"])), _number(one["interest"])]
        table.add_row(*row, *([_causes(one["causes"][:_CAUSES])] if because else []))
    return table


def _causes(causes: Sequence[Names]) -> Text:
    lines = (
        Text.assemble((f"{_percent(one['share']):>5} ", "cyan"), one["title"])
        for one in causes
        if one["share"] >= _LEAST
    )
    return Text("\n").join(lines)


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.1 else f"{share:.1%}"


def _score(score: float) -> str:
    return f"{score:.3f}" if abs(score) < 100 else f"{score:.6g}"


def _number(number: int) -> Text:
    return Text(str(number), _style(number))


def _style(number: int) -> str:
    return f"bold {_COLORS[(number - 1) % len(_COLORS)]}"


def _plain(title: str, *, expand: bool = True) -> Table:
    return Table(title=title, box=None, show_header=False, title_justify="left", expand=expand, pad_edge=False)
