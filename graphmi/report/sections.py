"""The sections of the page that show figures: what they are called, how to read them, and their panels."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from graphmi.report.groups import group_panels, spread_panels
from graphmi.report.interests import diversity_panels, heat_map_panels
from graphmi.report.panel import Panel, draw
from graphmi.report.summary import Summary
from graphmi.report.svg import to_svg
from graphmi.report.training import collapse_panels, training_panels

__all__ = ["Picture", "Section", "sections"]


@dataclass(frozen=True)
class Picture:
    """A panel and its drawing."""

    panel: Panel
    svg: Markup


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        name: Its anchor.
        short: Its name in the list of sections.
        heading: Its heading.
        how: How to read it.
        nothing: What is said where there is no picture.
        pictures: Its figures.
    """

    name: str
    short: str
    heading: str
    how: str
    nothing: str
    pictures: tuple[Picture, ...]


def sections(summary: Summary) -> Iterator[Section]:
    """Yield the sections of models whose runs may be compared, their figures drawn."""
    models, metric = summary.models, summary.metric
    means = over = lines = users = whose = levelled = ""
    if any(run.epochs and run.result.get("valid_metrics") for run in summary.runs):
        levelled = "The validation metric should have levelled off at the end. "
    if summary.averaged:
        means, over = f" Means over seeds ({summary.seeds}).", " over the seeds"
        lines, whose = f" Each seed has a line in the color of its model ({summary.seeds}).", ", over its seeds"
        users = f", and over seeds ({summary.seeds}); bars are 95 % intervals over the users"
    yield _section(
        "spread",
        "Accuracy and spread",
        "Accuracy against spread between users",
        "Up is more accurate, left is more even between users of narrow and broad taste: a model above and to the left "
        f"of another is better at both. Lines are 95 % intervals of each model alone{whose}; models whose lines "
        "overlap can still differ, as they were tested on the same users: the table and the text above say whether "
        f"they do.{means}",
        "The runs have no user groups.",
        spread_panels(models, metric),
    )
    yield _section(
        "groups",
        "User groups",
        f"{metric} by diversity of taste",
        "The users of the test are sorted by how diverse their training items are and cut into equal groups; a flat "
        "line serves all alike. Active users are often diverse users too: in the figure at equal activity every group "
        "has the same mix of active and inactive users, so what is left there belongs to diversity itself. Bars are "
        f"95 % intervals{over}.{means}",
        "The runs have no user groups.",
        group_panels(models, metric),
    )
    yield _section(
        "training",
        "Training",
        "Training",
        f"{levelled}Losses of different objectives cannot be compared with each other.{lines}",
        "Nothing was trained.",
        training_panels(models, metric),
    )
    yield _section(
        "interests",
        "Interests",
        "Which interests fill the list",
        "Of 100 recommendations at a rank, how many come from each interest, the interests of every user sorted by "
        "what they give. One dark column: one interest recommends nearly everything. Even columns: all are in use."
        f"{means}",
        "No run has several interests, or none recorded which of them filled the list.",
        heat_map_panels(models),
    )
    yield _section(
        "breadth",
        "Interests and taste",
        "Do broad users get more interests?",
        "A rising line means that the model draws on more interests for users of broad taste. A flat one means that "
        "the number of interests in use has nothing to do with the user. Active users have broader taste and longer "
        "histories: what does not rise at equal activity comes from activity. Points are means of equal parts of the "
        f"users{users}.",
        "No run has several interests and user groups.",
        diversity_panels(models),
    )
    yield _section(
        "routing",
        "Over the epochs",
        "Interests over the epochs",
        "Interests have collapsed where they rest on one item each, and are copies of each other where their cosine is "
        f"near 1. Not every model has routing weights; graph models show the cosine only.{lines}",
        "No run recorded its interests during training.",
        collapse_panels(models),
    )


def _section(name: str, short: str, heading: str, how: str, nothing: str, panels: Sequence[Panel]) -> Section:
    pictures = []
    for n, panel in enumerate(panels):
        figure = draw([panel], titles=False, size=(4.4, 3.3))
        pictures.append(Picture(panel, to_svg(figure, f"{name}-{n}", panel.title, panel.description)))
    return Section(name, short, heading, how, nothing, tuple(pictures))
