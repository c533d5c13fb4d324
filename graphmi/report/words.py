"""What the numbers of runs say, in words."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from graphmi.comparison import NamedRun, has_seeds, mean_interval
from graphmi.metrics import PairedResult
from graphmi.report.summary import Summary, bracketed, excludes_zero, in_use, is_significant, p_text, signed

__all__ = ["findings", "lead"]


def findings(summary: Summary) -> Iterator[str]:
    """Yield what stands out, a sentence each."""
    yield from _groups(summary)
    yield from _interests(summary)
    if has_seeds(summary.runs):
        yield (
            "Some runs differ in nothing but the seed, and are taken for models of their own here, in tests, in "
            "corrections and in what is called best: graphmi compare --seeds takes them together."
        )
    yield ("Every run is one training with one seed: the intervals say how much depends on the users, not on the seed.")


def lead(summary: Summary) -> str:
    """Return what the runs are, and which is the most accurate."""
    return " ".join([_what(summary), *_accuracy(summary)])


def _what(summary: Summary) -> str:
    test = f"{len(summary.runs[0].per_user['user']):,} users with items to find in the test"
    size = f"{summary.data_name}, {summary.data['users']:,} users and {summary.data['items']:,} items"
    subject = f"the run {summary.runs[0].name}" if len(summary.runs) == 1 else f"{len(summary.runs)} runs side by side"
    return f"This page shows {subject} on {size}. Every number is a mean over the {test}, ranked among all items."


def _accuracy(summary: Summary) -> Iterator[str]:
    best = max(summary.runs, key=lambda run: float(run.result["metrics"][summary.metric]))
    value = best.result["metrics"][summary.metric]
    interval = bracketed(mean_interval(best, summary.metric))
    if len(summary.runs) == 1:
        yield f"It reaches a test {summary.metric} of {value:.4f} (95 % interval over users {interval})."
        return
    yield f"{best.name} has the highest test {summary.metric}: {value:.4f} (95 % interval over users {interval})."
    for verdict, found in _by_verdict(summary.differences).items():
        yield f"{', '.join(found)} {verdict[len(found) > 1]} {summary.runs[0].name}."


def _groups(summary: Summary) -> Iterator[str]:
    if summary.grouping is None:
        return
    at = " at equal activity" if summary.grouping == "diversity-controlled" else ""
    for run in summary.runs if len(summary.runs) < 4 else ():
        yield _ends(run, run.result["groups"][f"{summary.grouping}/{summary.metric}"], at)
    if len(summary.runs) == 1:
        return
    for run, tests, _ in summary.group_differences if len(summary.runs) < 4 else ():
        yield _by_group(summary.runs[0], run, tests, at)
    yield _spread(summary, at)


def _by_group(first: NamedRun, run: NamedRun, tests: Mapping[str, PairedResult], at: str) -> str:
    differ = [
        f"group {int(name) + 1} ({test.difference:+.4f})"
        for name, test in tests.items()
        if name != "all" and is_significant(test)
    ]
    if not differ:
        return f"In no diversity group{at} is the difference between {run.name} and {first.name} significant."
    return f"By diversity group{at}, {run.name} differs significantly from {first.name} in {', '.join(differ)}."


def _interests(summary: Summary) -> Iterator[str]:
    for run in summary.runs:
        if (found := in_use(run)) is None:
            continue
        used, number, length = found
        interests, key = run.result["interests"], "effective-diversity correlation"
        rho, controlled = interests.get(key), interests.get(f"{key}, controlled")
        rest = " (effective number, a mean)"
        rest += "" if rho is None else f"; {_correlation(rho)}"
        if rho is not None and controlled is not None:
            rest += f", at equal activity {controlled:+.2f}"
        yield f"The top {length} of {run.name} draws on {used:.1f} of {number} interests{rest}."
    if not summary.one_length:
        yield "A longer list can draw on more interests: these numbers are not compared, as the lengths differ."


def _by_verdict(
    differences: Sequence[tuple[NamedRun, PairedResult]],
) -> dict[tuple[str, str], list[str]]:
    """Return the runs by what is to be said of them, of one and of several."""
    found: dict[tuple[str, str], list[str]] = {}
    for run, test in differences:
        verdict = ("does not differ significantly from", "do not differ significantly from")
        if is_significant(test):
            better = "better" if test.difference > 0 else "worse"
            verdict = (f"is significantly {better} than", f"are significantly {better} than")
        found.setdefault(verdict, []).append(f"{run.name} ({signed(test)}, {p_text(test.wilcoxon_holm)})")
    return found


def _ends(run: NamedRun, group: dict[str, Any], at: str) -> str:
    """Say whether the broad are served worse than the narrow."""
    present = [g for g, value in enumerate(group["mean"]) if value is not None]
    narrow, broad = (group["mean"][g] for g in (present[0], present[-1]))
    first, last = (group["intervals"].get(str(g)) for g in (present[0], present[-1]))
    values = f"{narrow:.4f} in the group of the narrowest taste and {broad:.4f} in that of the broadest{at}"
    if first is None or last is None:
        return f"{run.name} reaches {values}."
    if first[0] <= last[1] and last[0] <= first[1]:
        return f"{run.name} reaches {values}; the intervals overlap, so this is no clear difference."
    return f"{run.name} serves users of broad taste {'better' if broad > narrow else 'worse'}: {values}."


def _spread(summary: Summary, at: str) -> str:
    """Say which run is the most even, and which differ from the first by the paired bootstrap."""
    spread = {run.name: run.result["groups"][f"{summary.grouping}/{summary.metric}"]["std"] for run in summary.runs}
    best, first = min(spread, key=lambda name: float(spread[name])), summary.runs[0].name
    found: dict[str, list[str]] = {}
    for run, _, one in summary.group_differences:
        word = "less" if one.difference < 0 else "more"
        verdict = f"clearly {word} spread than" if excludes_zero(one.interval) else "no clear difference in spread from"
        found.setdefault(verdict, []).append(f"{run.name} ({signed(one)})")
    said = "; ".join(f"{verdict} {first}: {', '.join(runs)}" for verdict, runs in found.items())
    return (
        f"The smallest spread between groups{at} is that of {best} (standard deviation {spread[best]:.4f}). With the "
        f"users of each group drawn anew for both runs at once, {said} (difference, 95 % interval)."
    )


def _correlation(rho: float) -> str:
    if abs(rho) < 0.1:
        return f"how many has next to nothing to do with how broad a user's taste is (rank correlation {rho:+.2f})"
    return f"{'more' if rho > 0 else 'fewer'} for users of broad taste (rank correlation {rho:+.2f})"
