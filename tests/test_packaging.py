"""Holds what is installed against what is in the tree: wheel, editable, entry points, the lock."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tomllib
import venv
import zipfile
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent


def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def tree(folder: str, under: str) -> set[str]:
    """The files of a folder by the names they have once installed."""
    base = ROOT / folder
    names = [path.relative_to(base).as_posix() for path in base.rglob("*") if path.is_file()]
    return {under + name for name in names if "__pycache__" not in name and "/." not in f"/{name}"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built by the backend that is installed: no network."""
    pytest.importorskip("hatchling", reason="the build backend comes with hepflow[dev]")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-index"]
    command += ["--no-build-isolation", "--quiet", "--wheel-dir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("hepflow-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that has this wheel and nothing of the checkout."""
    folder = tmp_path_factory.mktemp("installed") / "venv"
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    command += ["--no-deps", "--no-index", str(wheel)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return python


def ask(python: Path | str, code: str, folder: Path) -> Any:
    """What a line of Python prints as JSON, run away from the checkout."""
    done = subprocess.run(
        [str(python), "-c", code],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_the_wheel_holds_the_tree_and_nothing_else(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    expected = tree("hepflow", "hepflow/")
    for root in ("adapters", "workflows"):
        expected |= {name for name in tree(root, "") if "/" in name}
    expected |= tree("recipes", "hepflow/recipes/")
    expected |= tree("site-configs", "hepflow/site_configs/")
    assert names == expected


@pytest.mark.slow
def test_the_wheel_puts_no_foreign_name_at_the_top(wheel: Path) -> None:
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    # Snakemake finds an executor by the beginning of its package's name.
    named_by_others = {"snakemake_executor_plugin_hepflow"}
    assert {top for top in tops if not top.startswith("hepflow")} == named_by_others


@pytest.mark.slow
def test_the_wheel_installs_away_from_the_checkout(installed: Path, tmp_path: Path) -> None:
    code = "import hepflow, json; print(json.dumps([hepflow.__file__, hepflow.__version__]))"
    file, version = ask(installed, code, tmp_path)
    assert not Path(file).is_relative_to(ROOT)
    assert version == distribution("hepflow").version


@pytest.mark.slow
def test_a_program_of_the_sciences_is_importable_from_the_wheel(
    installed: Path, tmp_path: Path
) -> None:
    names = [path.name for path in (ROOT / "workflows").glob("hepflow_*")]
    code = (
        "import importlib.util as u, json;"
        f"print(json.dumps([n for n in {names!r} if u.find_spec(n) is None]))"
    )
    assert ask(installed, code, tmp_path) == []


# The wheel's environment has no libraries; it borrows this one's, but not this one's hepflow.
BUNDLED = """
import json, sys
sys.path += {libraries!r}
from hepflow import api
print(json.dumps(sorted(recipe.name for recipe in api.bundled_recipes())))
"""


def bundled(python: Path | str, folder: Path) -> list[str]:
    libraries = [path for path in sys.path if "site-packages" in path]
    found: list[str] = ask(python, BUNDLED.format(libraries=libraries), folder)
    return found


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("hepflow.api") is None, reason="no API yet")
def test_the_bundled_recipes_are_found_in_wheel_and_checkout_alike(
    installed: Path, tmp_path: Path
) -> None:
    recipes = {
        path.relative_to(ROOT / "recipes").with_suffix("").as_posix()
        for path in (ROOT / "recipes").rglob("*.yaml")
    }
    in_wheel, in_checkout = bundled(installed, tmp_path), bundled(sys.executable, tmp_path)
    assert in_wheel == in_checkout
    assert set(in_wheel) <= recipes
    assert in_wheel or not recipes


def test_entry_points_agree_with_the_table_of_what_is_built_in() -> None:
    plugins = pytest.importorskip("hepflow.plugins", reason="no plug-in table yet")
    declared = pyproject()["project"]["entry-points"]
    built_in: dict[str, dict[str, str]] = {}
    for group, names in plugins.BUILTIN.items():
        full = group if group.startswith("hepflow.") else f"hepflow.{group}"
        built_in[full] = dict(names)
    assert built_in == declared


def test_the_installed_entry_points_are_those_of_pyproject() -> None:
    """A stale editable installation is the commonest reason for 'no such language'."""
    declared = pyproject()["project"]["entry-points"]
    found: dict[str, dict[str, str]] = {}
    for point in distribution("hepflow").entry_points:
        if point.group.startswith("hepflow."):
            found.setdefault(point.group, {})[point.name] = point.value
    assert found == declared, "run: pip install -e ."


def test_the_lock_names_every_dependency_and_no_registry() -> None:
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert all(line.count("==") == 1 for line in pins)
    assert not [line for line in pins if "://" in line or " @ " in line or "+" in line]
    locked = {line.split("==")[0].lower().replace("_", "-") for line in pins}
    project = pyproject()["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    asked = [text for group in groups for text in group]
    names = {text.split(">")[0].split("[")[0].split("=")[0].lower() for text in asked}
    assert names - {"hepflow"} <= locked


def test_the_core_asks_for_few_libraries() -> None:
    assert len(pyproject()["project"]["dependencies"]) <= 5
