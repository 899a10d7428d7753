"""The documents do what they say: every console block runs, every link leads somewhere.

What a document may hold:

- a fenced ``yaml``, ``python``, ``json`` or ``text`` block after ``<!-- file: NAME -->`` is written
  to that file;
- a ``console`` block is run line by line: ``$`` begins a command, the lines under it must come in
  what it prints, in order, where ``...`` stands for anything;
- ``<!-- exit: N -->`` before a console block: its last command ends with that status;
- ``<!-- not run: REASON -->`` before any block: it is only shown.

The blocks of one document share a folder and run in order.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
RUN = [path for path in DOCUMENTS if "```console" in path.read_text(encoding="utf-8")]
LINKED = [*DOCUMENTS, *ROOT.glob("*/README.md"), *ROOT.glob("workflows/*/README.md")]

DIRECTIVE = re.compile(r"^<!-- (file|exit|not run): (.+?) -->$")
LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block with what was said about it just before."""

    language: str
    line: int
    lines: tuple[str, ...]
    said: dict[str, str] = field(default_factory=dict)

    def commands(self) -> Iterator[tuple[str, list[str]]]:
        """Each command of a console block with the output shown under it."""
        command, shown = "", []
        for line in self.lines:
            if line.startswith("$ "):
                if command:
                    yield command, shown
                command, shown = line[2:], []
            else:
                shown.append(line)
        if command:
            yield command, shown


def blocks(path: Path) -> Iterator[Block]:
    """The fenced blocks of a document, in order."""
    said: dict[str, str] = {}
    inside: list[str] | None = None
    language, start = "", 0
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        directive = DIRECTIVE.match(line)
        if inside is None and line.startswith("```"):
            language, start, inside = line[3:].strip(), number, []
        elif inside is not None and line.startswith("```"):
            yield Block(language, start, tuple(inside), said)
            said, inside = {}, None
        elif inside is not None:
            inside.append(line)
        elif directive:
            said[directive[1]] = directive[2]
        elif line.strip():
            said = {}


def pattern(shown: list[str]) -> re.Pattern[str]:
    """The shown lines as a pattern: in this order, other lines between them allowed."""
    lines = [line.strip() for line in shown if line.strip() and line.strip() != "..."]
    parts = [r"[^\n]*".join(re.escape(piece) for piece in line.split("...")) for line in lines]
    return re.compile(r"\n(?:[^\n]*\n)*?".join(rf"[^\n]*{part}[^\n]*" for part in parts))


def call(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A command as its reader would type it, with this environment's hepflow first on the path."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env={**os.environ, "PATH": path, "COLUMNS": "100", "LC_ALL": "C.UTF-8"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        timeout=120,
        check=False,
    )


def carry_out(block: Block, document: Path, folder: Path) -> None:
    """Do what one block says, or fail with the line it stands on."""
    if "not run" in block.said:
        return
    if "file" in block.said:
        target = folder / block.said["file"]
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("\n".join(block.lines) + "\n", encoding="utf-8")
        return
    if block.language != "console":
        return
    commands = list(block.commands())
    for number, (command, shown) in enumerate(commands, 1):
        done = call(command, folder)
        last = number == len(commands)
        expected = int(block.said.get("exit", "0")) if last else 0
        at = f"{document.relative_to(ROOT)}:{block.line}: $ {command}"
        assert done.returncode == expected, f"{at}\nexit {done.returncode}\n{done.stdout}"
        text = "\n".join(line.rstrip() for line in done.stdout.splitlines())
        assert pattern(shown).search(text), f"{at}\nprints\n{text}\ninstead of\n" + "\n".join(shown)


@pytest.mark.slow
@pytest.mark.parametrize("document", RUN, ids=lambda path: path.stem)
def test_a_document_does_what_it_says(document: Path, tmp_path: Path) -> None:
    for block in blocks(document):
        carry_out(block, document, tmp_path)


def test_the_recipe_of_the_readme_runs(tmp_path: Path) -> None:
    (recipe,) = [block for block in blocks(ROOT / "README.md") if block.language == "yaml"]
    (tmp_path / "pi.yaml").write_text("\n".join(recipe.lines) + "\n", encoding="utf-8")
    done = call("hepflow run --quiet pi.yaml points=2000", tmp_path)
    assert done.returncode == 0, done.stdout
    name, value = done.stdout.split()
    assert name == "pi"
    assert 2.5 < float(value) < 3.8
    again = call("hepflow run pi.yaml points=2000 shards=10", tmp_path)
    assert "3 tasks run, 8 reused" in again.stdout


@pytest.mark.parametrize("document", LINKED, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_between_documents_leads_somewhere(document: Path) -> None:
    text = re.sub(r"```.*?```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in LINK.findall(text):
        if "://" in target or target.startswith("mailto:"):
            continue
        name, _, anchor = target.partition("#")
        there = (document.parent / name) if name else document
        assert there.exists(), f"{document.name} links to {target}"
        if anchor:
            assert anchor in anchors(there), f"{document.name} links to {target}"


def anchors(document: Path) -> set[str]:
    """The names headings can be linked by."""
    heads = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), flags=re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", head.lower()).strip() for head in heads]
    return {head.replace(" ", "-") for head in plain}
