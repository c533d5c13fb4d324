"""What the numbers of models say, in words."""

from collections.abc import Iterator, Mapping, Sequence

from graphmi.comparison import Model, has_seeds
from graphmi.estimates import Estimate, GroupEstimates
from graphmi.metrics import PairedResult
from graphmi.report.summary import Summary, around, excludes_zero, in_use, is_significant, of_interests, p_text, signed

__all__ = ["findings", "lead"]


def findings(summary: Summary) -> Iterator[str]:
    """Yield what stands out, a sentence each."""
    yield from _groups(summary)
    yield from _interests(summary)
    if summary.averaged:
        tests = " Differences and p-values are of users' means over these seeds, and say nothing of others."
        yield (
            "Numbers are means over seeds. Their intervals, wide for two or three seeds, say how much depends on the "
            f"seed, not on the users.{tests * (len(summary.models) > 1)}"
        )
        return
    if has_seeds(summary.runs):
        yield (
            "Some runs differ in nothing but the seed, and are taken for models of their own here, in tests, in "
            "corrections and in what is called best: --seeds takes them together."
        )
    yield ("Every run is one training with one seed: the intervals say how much depends on the users, not on the seed.")


def lead(summary: Summary) -> str:
    """Return what the models are, and which is the most accurate."""
    return " ".join([_what(summary), *_accuracy(summary)])


def _what(summary: Summary) -> str:
    test = f"{_users(len(summary.first.first.per_user['user']))} with items to find in the test"
    size = f"{summary.data_name}, {_users(summary.data['users'])} and {summary.data['items']:,} items"
    kind, count = "model" if summary.averaged else "run", len(summary.models)
    subject = f"the {kind} {summary.first.name}" if count == 1 else f"{count} {kind}s side by side"
    if summary.averaged:
        subject, test = f"{subject} ({summary.seeds})", f"seeds and the {test}"
    else:
        test = f"the {test}"
    return f"This page shows {subject} on {size}. Every number is a mean over {test}, ranked among all items."


def _accuracy(summary: Summary) -> Iterator[str]:
    highest = max(summary.accuracy, key=lambda one: one.value)
    best = summary.models[summary.accuracy.index(highest)]
    over = "over users" if not summary.averaged else f"over {best.seeds}:"
    value = f"{highest.value:.4f}" + (f" (95 % interval {over} {around(highest)})" if highest.interval else "")
    if len(summary.models) == 1:
        yield f"It reaches a test {summary.metric} of {value}."
        return
    yield f"{best.name} has the highest test {summary.metric}: {value}."
    for verdict, found in _by_verdict(summary.differences).items():
        yield f"{', '.join(found)} {verdict[len(found) > 1]} {summary.first.name}."


def _groups(summary: Summary) -> Iterator[str]:
    if summary.grouping is None or max(len(group.present) for group in summary.groups) < 2:
        return
    if any(count == 1 for group in summary.groups for count in group.count):
        return  # one user of a group says nothing of the others: the interval has no width
    at = " at equal activity" if summary.grouping == "diversity-controlled" else ""
    few = len(summary.models) < 4
    for model, group in zip(summary.models, summary.groups, strict=True) if few else ():
        yield _ends(model, group, at)
    if len(summary.models) == 1:
        return
    for model, tests, _ in summary.group_differences if few else ():
        yield _by_group(summary.first, model, tests, at)
    yield _spread(summary, at)


def _by_group(first: Model, model: Model, tests: Mapping[str, PairedResult], at: str) -> str:
    differ = [
        f"group {int(name) + 1} ({test.difference:+.4f})"
        for name, test in tests.items()
        if name != "all" and is_significant(test)
    ]
    if not differ:
        return f"In no diversity group{at} is the difference between {model.name} and {first.name} significant."
    return f"By diversity group{at}, {model.name} differs significantly from {first.name} in {', '.join(differ)}."


def _interests(summary: Summary) -> Iterator[str]:
    for model in summary.models:
        if (found := in_use(model)) is None:
            continue
        used, number, length = found
        key = "effective-diversity correlation"
        rho, controlled = of_interests(model, key), of_interests(model, f"{key}, controlled")
        rest = " (effective number, a mean)"
        rest += "" if rho is None else f"; {_correlation(rho)}"
        if rho is not None and controlled is not None:
            rest += f", at equal activity {controlled:+.2f}"
        yield f"The top {length} of {model.name} draws on {used:.1f} of {number} interests{rest}."
    if not summary.one_length:
        yield "A longer list can draw on more interests: these numbers are not compared, as the lengths differ."


def _by_verdict(differences: Sequence[tuple[Model, PairedResult]]) -> dict[tuple[str, str], list[str]]:
    """Return the models by what is to be said of them, of one and of several."""
    found: dict[tuple[str, str], list[str]] = {}
    for model, test in differences:
        verdict = ("does not differ significantly from", "do not differ significantly from")
        if is_significant(test):
            better = "better" if test.difference > 0 else "worse"
            verdict = (f"is significantly {better} than", f"are significantly {better} than")
        found.setdefault(verdict, []).append(f"{model.name} ({signed(test)}, {p_text(test.wilcoxon_holm)})")
    return found


def _ends(model: Model, group: GroupEstimates, at: str) -> str:
    """Say whether the broad are served worse than the narrow."""
    present = list(group.present.values())
    narrow, broad = present[0], present[-1]
    values = f"{narrow.value:.4f} in the group of the narrowest taste and {broad.value:.4f} in that of the broadest{at}"
    if not _of_users(narrow, broad):
        return f"{model.name} reaches {values}."
    if narrow.line.low <= broad.line.high and broad.line.low <= narrow.line.high:
        return f"{model.name} reaches {values}; the intervals overlap, so this is no clear difference."
    return f"{model.name} serves users of broad taste {'better' if broad.value > narrow.value else 'worse'}: {values}."


def _of_users(*estimates: Estimate) -> bool:
    """Tell whether all intervals are over users: those over seeds do not say how much depends on who is in a group."""
    return all(one.interval and not one.of_seeds for one in estimates)


def _spread(summary: Summary, at: str) -> str:
    """Say which model is the most even, and which differ from the first by the paired bootstrap."""
    spread = {model.name: group.std.value for model, group in zip(summary.models, summary.groups, strict=True)}
    best, first = min(spread, key=lambda name: spread[name]), summary.first.name
    found: dict[str, list[str]] = {}
    for model, _, one in summary.group_differences:
        word = "less" if one.difference < 0 else "more"
        verdict = f"clearly {word} spread than" if excludes_zero(one.interval) else "no clear difference in spread from"
        found.setdefault(verdict, []).append(f"{model.name} ({signed(one)})")
    said = "; ".join(f"{verdict} {first}: {', '.join(models)}" for verdict, models in found.items())
    return (
        f"The smallest spread between groups{at} is that of {best} (standard deviation {spread[best]:.4f}). With the "
        f"users of each group drawn anew for both at once, {said} (difference, 95 % interval)."
    )


def _correlation(rho: float) -> str:
    if abs(rho) < 0.1:
        return f"how many has next to nothing to do with how broad a user's taste is (rank correlation {rho:+.2f})"
    return f"{'more' if rho > 0 else 'fewer'} for users of broad taste (rank correlation {rho:+.2f})"


def _users(count: int) -> str:
    return "1 user" if count == 1 else f"{count:,} users"
