"""A matplotlib figure as an SVG for a web page: it takes its colors and font from the page, in light and in dark."""

import io
import re
from xml.etree import ElementTree

from markupsafe import Markup
from matplotlib.figure import Figure

from graphmi.report.panel import COLORS, MARKERS, marker, save

__all__ = ["SHAPES", "mark", "to_svg"]

# The markers of the figures, about 2 wide around the origin, for text and for the page's script.
SHAPES = (
    "M1 0A1 1 0 1 1-1 0A1 1 0 1 1 1 0Z",
    "M-.9-.9H.9V.9H-.9Z",
    "M0-1.1L1.05 .9H-1.05Z",
    "M0-1.2L1.1 0L0 1.2L-1.1 0Z",
    "M0 1.1L1.05-.9H-1.05Z",
    "M-.4-1.1H.4V-.4H1.1V.4H.4V1.1H-.4V.4H-1.1V-.4H-.4Z",
    "M-1.1-.6L-.6-1.1L0-.5L.6-1.1L1.1-.6L.5 0L1.1 .6L.6 1.1L0 .5L-.6 1.1L-1.1 .6L-.5 0Z",
)

_SVG, _XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"
# Black becomes the color of the text, the others variables of the page's style.
_PAGE_COLORS = {"#000000": "currentColor", "#b0b0b0": "var(--grid)"} | {
    color.lower(): f"var(--series-{index})" for index, color in enumerate(COLORS[:-1])
}


def to_svg(figure: Figure, name: str, title: str, description: str) -> Markup:
    """Return the figure as an ``<svg>`` element that stands on its own in a page.

    Args:
        figure: The figure; its background becomes transparent.
        name: Begins all ids, so that they are unique in the page.
        title: What it is called, for screen readers.
        description: What it shows, for screen readers.
    """
    figure.patch.set_visible(False)
    for ax in figure.axes:
        ax.patch.set_visible(False)
    file = io.BytesIO()
    save(figure, file, "svg")
    root = ElementTree.fromstring(file.getvalue())  # noqa: S314
    _remove_metadata(root)
    for element in root.iter():
        _adapt(element, name)
    _label(root, name, title, description)
    ElementTree.register_namespace("", _SVG[1:-1])
    text = ElementTree.tostring(root, encoding="unicode").replace(f' xmlns="{_SVG[1:-1]}"', "", 1)
    return Markup(text)  # noqa: S704  (the writer escapes what it is given)


def mark(index: int) -> Markup:
    """Return the marker and color of the run of this number, for a line of text."""
    color = "currentColor" if COLORS[index % len(COLORS)] == "#000000" else f"var(--series-{index % len(COLORS)})"
    shape = SHAPES[MARKERS.index(marker(index))]
    start = Markup(
        '<svg class="mark" viewBox="-1.3 -1.3 2.6 2.6" aria-hidden="true"><path style="fill: {}" d="{}"/></svg>'
    )
    return start.format(color, shape)


def _remove_metadata(root: ElementTree.Element) -> None:
    for child in list(root):
        if child.tag in (f"{_SVG}metadata", f"{_SVG}defs") and child.find(f"{_SVG}clipPath") is None:
            root.remove(child)


def _adapt(element: ElementTree.Element, name: str) -> None:
    """Make ids unique, links plain and colors those of the page; leave out white space."""
    if element.tag != f"{_SVG}text":
        element.text = None
    element.tail = None
    if element.tag == f"{_SVG}g":
        element.attrib.pop("id", None)
    for key, value in list(element.attrib.items()):
        if key == "id":
            element.set("id", f"{name}-{value}")
        elif key == f"{_XLINK}href":
            del element.attrib[key]
            element.set("href", f"#{name}-{value.removeprefix('#')}")
        elif key == "clip-path":
            element.set(key, value.replace("url(#", f"url(#{name}-"))
        elif key == "style":
            element.set(key, _style(value))
        elif key == "d":
            element.set(key, _shorter(value))


def _style(style: str) -> str:
    style = re.sub(r"font-family: [^;]*;? ?|font: [^;]*;? ?", _font_size, style)
    return re.sub(r"#[0-9a-f]{6}", lambda found: _PAGE_COLORS.get(found[0], found[0]), style)


def _font_size(found: re.Match[str]) -> str:
    size = re.match(r"font: ([\d.]+px)", found[0])
    return f"font-size: {size[1]}; " if size else ""


def _shorter(path: str) -> str:
    """Two decimals are a hundredth of a point."""
    return re.sub(r"-?\d+\.\d{3,}", lambda number: f"{float(number[0]):.2f}", " ".join(path.split()))


def _label(root: ElementTree.Element, name: str, title: str, description: str) -> None:
    for key in ("width", "height", "version"):
        root.attrib.pop(key, None)
    root.set("role", "img")
    root.set("aria-labelledby", f"{name}-title {name}-desc")
    for position, (tag, text) in enumerate((("title", title), ("desc", description))):
        element = ElementTree.Element(f"{_SVG}{tag}", id=f"{name}-{tag}")
        element.text = text
        root.insert(position, element)
