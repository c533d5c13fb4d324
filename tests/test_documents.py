"""The code of the README and the examples run as they are shown."""

import inspect
import re
import runpy
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch

from graphmi.commands.parts import SECTIONS, members
from graphmi.losses import Objective, Regularizer
from graphmi.nn import EdgeWeight, Encoder, Extractor, Readout, Selector
from graphmi.samplers import Sampler

ROOT = Path(__file__).parent.parent


def python_blocks(path):
    return re.findall(r"```python\n(.*?)```", path.read_text(), re.DOTALL)


def test_the_layer_of_the_readme():
    layer, _ = python_blocks(ROOT / "README.md")
    names = {"items": torch.randn(5, 64), "users": torch.randn(3, 64), "edge_index": torch.tensor([[0, 4], [1, 2]])}
    exec(layer, names)
    assert names["virtual"].shape == (3, 4, 64)
    assert names["center"].shape == (3, 64)


def test_the_training_of_the_readme(capsys):
    _, training = python_blocks(ROOT / "README.md")
    small = training.replace('"ml-100k"', '"planted:num_users=100"').replace("range(20)", "range(2)")
    assert small.count("planted") == small.count("range(2)") == 1
    exec("import torch\n" + small, {})
    assert 0 < float(capsys.readouterr().out) <= 1


@pytest.mark.parametrize(
    "command",
    [["layer_in_your_gnn.py", "--epochs", "2"], ["quickstart.py", "--data", "planted:num_users=100", "--epochs", "2"]],
)
def test_examples_run(command, tmp_path):
    script, *words = command
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / script), *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"0\.\d{4}", done.stdout)


PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "tuning" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]


def links(page):
    """Return the links of a page to files of the repository, with their anchors."""
    found = re.findall(r"\]\(([^)\s]*)\)", page.read_text())
    return [link for link in found if not link.startswith(("http:", "https:"))]


def anchors(page):
    """Return what GitHub makes of the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_all_results_and_images_are_shown():
    shown = {(page.parent / link.partition("#")[0]).resolve() for page in PAGES for link in links(page)}
    files = [*(ROOT / "docs" / "results").glob("*"), *(ROOT / "docs" / "images").rglob("*.png")]
    assert files
    assert not [file.name for file in files if file.resolve() not in shown]


def test_the_page_of_parts_is_that_of_the_docstrings():
    namespace = runpy.run_path(str(ROOT / "docs" / "parts.py"))
    assert (ROOT / "docs" / "parts.md").read_text(encoding="utf-8") == namespace["page"](), "run: python docs/parts.py"


@pytest.mark.parametrize("kind", [EdgeWeight, Encoder, Extractor, Objective, Readout, Regularizer, Sampler, Selector])
def test_all_of_a_kind_are_in_one_section(kind):
    parts = [(title, part) for title in SECTIONS for _, part in members(title) if inspect.isclass(part)]
    assert len({title for title, part in parts if issubclass(part, kind)}) == 1


@pytest.mark.parametrize("package", sorted({package for each in SECTIONS.values() for package in each.packages}))
def test_all_public_parts_are_on_the_page(package):
    module = import_module(f"graphmi.{package}")
    page = (ROOT / "docs" / "parts.md").read_text(encoding="utf-8")
    parts = [(name, getattr(module, name)) for name in module.__all__]
    own = [name for name, part in parts if getattr(part, "__module__", "").startswith("graphmi.")]
    assert own
    assert not [name for name in own if f"[`{name}`]" not in page and f"[`{package}.{name}`]" not in page]
