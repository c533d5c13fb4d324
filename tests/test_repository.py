"""What keeps the repository consistent: dependencies in step, layers of imports, light imports."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import pytest
import yaml

ROOT = Path(__file__).parent.parent
CONDA_NAMES = {"pytorch": "torch", "pytorch_geometric": "torch-geometric", "pytorch_scatter": "torch-scatter"}
EXTRAS = ("train", "tuning", "scatter")


def pyproject():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_environment_is_in_step_with_pyproject():
    project = pyproject()
    wanted = [*project["dependencies"]]
    for extra in EXTRAS:
        wanted += [d for d in project["optional-dependencies"][extra] if not d.startswith("graphmi[")]
    listed = []
    for entry in yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]:
        listed += entry["pip"] if isinstance(entry, dict) else [entry]
    listed = [re.sub(r"^[\w-]+", lambda name: CONDA_NAMES.get(name[0], name[0]), entry) for entry in listed]
    extra = {f"python{project['requires-python']}", "pip", "--editable ."}
    assert set(listed) - extra == set(wanted)


def test_constraints_pin_every_dependency():
    project = pyproject()
    pinned = {
        re.split("==", line)[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    wanted = [*project["dependencies"]]
    for extra in ("train", "tuning", "dev"):
        wanted += project["optional-dependencies"][extra]
    names = {re.match(r"[\w-]+", entry)[0].lower().replace("_", "-") for entry in wanted} - {"graphmi"}
    assert names <= pinned, names - pinned


# Part -> the parts of graphmi it may import. DESIGN: no two of models, losses, samplers, metrics and retrieval know
# one another; nn knows tensors only; neighbors knows graphs; data knows no model.
ALLOWED = {
    "kernels": {"kernels"},
    "nn": {"kernels", "nn", "ranges", "sorting"},
    "neighbors": {"neighbors"},
    "models": {"edges", "models", "neighbors", "nn", "ranges", "typing"},
    "losses": {"kernels", "losses", "nn", "ranges", "sorting", "typing"},
    "samplers": {"edges", "ranges", "samplers", "typing"},
    "metrics": {"metrics", "ranges", "typing"},
    "retrieval": {"nn", "ranges", "retrieval", "typing"},
    "data": {"data", "edges", "ranges", "seeds", "sorting", "typing"},
    "edges": set(),
    "ranges": set(),
    "seeds": set(),
    "sorting": set(),
    "typing": set(),
}


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "graphmi":
            yield from (f"graphmi.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module


@pytest.mark.parametrize("part", list(ALLOWED))
def test_parts_import_only_what_they_may(part):
    files = sorted((ROOT / "graphmi" / part).rglob("*.py")) or [ROOT / "graphmi" / f"{part}.py"]
    for path in files:
        used = {name.split(".")[1] for name in imports(path) if re.match(r"graphmi\.\w", name)}
        assert used <= ALLOWED[part], f"{path.relative_to(ROOT)} imports {used - ALLOWED[part]}"


def test_examples_and_benchmarks_use_public_names_only():
    for path in [p for folder in ("examples", "benchmarks", "tuning") for p in (ROOT / folder).rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "super()":
                assert not re.match("_[a-z]", node.attr), f"{path.relative_to(ROOT)} takes {node.attr} of another class"
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("graphmi."):
                package = import_module(node.module)
                modules = {module.name for module in iter_modules(getattr(package, "__path__", ()))}
                private = {alias.name for alias in node.names} - modules - {*getattr(package, "__all__", ())}
                assert not private, f"{path.relative_to(ROOT)} imports {private} of {node.module}"


def loaded_after(statement, names):
    code = f"import sys; {statement}; print([n for n in {names!r} if n in sys.modules])"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_import_graphmi_loads_nothing_heavy():
    assert loaded_after("import graphmi", ["torch", "torch_geometric", "polars", "scipy", "rich"]) == "[]"


def test_layers_need_torch_and_pyg_only():
    heavy = ["polars", "lightning_fabric", "jsonargparse", "rich", "safetensors", "matplotlib"]
    assert loaded_after("from graphmi.nn import MultiInterestConv", heavy) == "[]"


def test_readers_of_data_do_not_wait_for_pyg():
    assert loaded_after("import graphmi.data", ["torch_geometric"]) == "[]"
