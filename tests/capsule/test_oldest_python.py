"""The capsule runs with nothing but an old Python: held against the source, and by `test_capsule`."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

OLDEST = "3.6"


def test_it_uses_nothing_newer_than_the_oldest_python(root: Path) -> None:
    program = str(Path(sys.executable).with_name("vermin"))
    words = [f"-t={OLDEST}-", "--no-tips", "--violations", "hepflow/capsule"]
    done = subprocess.run([program, *words], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert f"Minimum required versions: {OLDEST}" in done.stdout


def test_it_imports_the_standard_library_and_itself(root: Path) -> None:
    files = sorted((root / "hepflow" / "capsule").glob("*.py"))
    assert len(files) > 10
    imported = {
        name
        for file in files
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        for name in _modules(node)
    }
    own = {name for name in imported if name.startswith("hepflow.capsule")}
    assert own
    assert {name.partition(".")[0] for name in imported - own} <= sys.stdlib_module_names | {
        "_sha2"
    }


def _modules(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else []
