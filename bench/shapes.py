"""The shapes of work, each told once and written out for every tool that is measured.

Every task makes one file. In hepflow's recipes each command carries its own number, because equal
work would be done once only, however often a recipe asks for it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

NOOP_MODULE = '''"""The work of a Python task: none."""


def nothing(i):
    pass


def follow(i, **before):
    return {"value": i}
'''


@dataclass(frozen=True, slots=True)
class Shape:
    """So many tasks, depending on one another in one of three ways.

    Args:
        name: ``wide`` (one scattered step), ``chain`` or ``layered``.
        tasks: how many.
        kind: ``shell`` (a program and its arguments), ``redirect`` (needs a shell's own
            syntax), or ``python`` (a function that does nothing).
    """

    name: str
    tasks: int
    kind: str = "shell"

    @property
    def width(self) -> int:
        """Tasks that may run at the same time."""
        if self.name == "chain":
            return 1
        if self.name == "wide":
            return self.tasks
        return max(2, min(1000 if self.tasks >= 50_000 else 50, self.tasks // 4))

    def depends_on(self, task: int) -> tuple[int, ...]:
        """The earlier tasks whose files one task needs."""
        if self.name == "wide" or task < self.width:
            return ()
        if self.name == "chain":
            return (task - 1,)
        layer, place = divmod(task, self.width)
        above = (layer - 1) * self.width
        return (above + place, above + (place + 1) % self.width)

    def edges(self) -> Iterator[tuple[int, tuple[int, ...]]]:
        return ((task, self.depends_on(task)) for task in range(self.tasks))


def write_apart(write: Callable[[Shape, Path], object], shape: Shape, folder: Path) -> None:
    """Have a shape written by a process of its own, so that this one stays small.

    A spawned program begins with the peak memory of the process that spawned it, so a bench that
    had held 100,000 steps itself would report its own peak for everybody else's.

    Raises:
        OSError: it could not be written; the child has said why.
    """
    child = os.fork()
    if child == 0:
        status = 1
        try:
            write(shape, folder)
            status = 0
        finally:
            os._exit(status)
    if os.waitpid(child, 0)[1]:
        raise OSError(f"could not write {shape} into {folder}")


def write_recipe(shape: Shape, folder: Path) -> str:
    """hepflow's recipe, as JSON: what a program would write for so many steps."""
    folder.mkdir(parents=True, exist_ok=True)
    if shape.kind == "python":
        (folder / "noop.py").write_text(NOOP_MODULE)
    steps = _scattered(shape) if shape.name == "wide" else _explicit(shape)
    recipe = {"hepflow": "v1", "name": shape.name, **steps}
    (folder / "recipe.json").write_text(json.dumps(recipe))
    return "recipe.json"


def _scattered(shape: Shape) -> dict[str, object]:
    work: dict[str, object] = {"scatter": {"i": "{{ range(inputs.n) }}"}}
    work |= {"python": "noop:nothing"} if shape.kind == "python" else _shell_work(shape, "{{ i }}")
    return {"inputs": {"n": shape.tasks}, "steps": {"work": work}}


def _shell_work(shape: Shape, number: str) -> dict[str, object]:
    if shape.kind == "redirect":
        command = f"echo {number} > {{{{ outputs.out }}}}"
    else:
        command = f"touch -d @{number} {{{{ outputs.out }}}}"
    return {"command": command, "outputs": {"out": "x"}}


def _explicit(shape: Shape) -> dict[str, object]:
    python = shape.kind == "python"
    port = "value" if python else "out"
    steps: dict[str, object] = {}
    for task, before in shape.edges():
        inputs: dict[str, object] = {f"b{n}": f"s{other}.{port}" for n, other in enumerate(before)}
        if python:
            step: dict[str, object] = {"python": "noop:follow", "outputs": ["value"]}
            inputs["i"] = task
        else:
            step = _shell_work(shape, str(task))
        steps[f"s{task}"] = step | ({"inputs": inputs} if inputs else {})
    return {"steps": steps}


def write_makefile(shape: Shape, folder: Path) -> None:
    """The same files for ``make``, which starts ``touch`` without a shell."""
    (folder / "o").mkdir(parents=True, exist_ok=True)
    with (folder / "Makefile").open("w") as file:
        targets = " ".join(f"o/{task}" for task in range(shape.tasks))
        file.write(f".SUFFIXES:\nMAKEFLAGS += -r\nall: {targets}\n")
        for task, before in shape.edges():
            needs = " ".join(f"o/{other}" for other in before)
            file.write(f"o/{task}: {needs}\n\t@touch o/{task}\n")


def write_ninja(shape: Shape, folder: Path) -> None:
    """The same files for ``ninja``, which starts every command through ``sh -c``."""
    (folder / "o").mkdir(parents=True, exist_ok=True)
    with (folder / "build.ninja").open("w") as file:
        file.write("rule t\n  command = touch $out\n")
        for task, before in shape.edges():
            file.write(f"build o/{task}: t {' '.join(f'o/{other}' for other in before)}\n")


def write_snakefile(shape: Shape, folder: Path) -> None:
    """The same files for Snakemake: one rule with a wildcard, as its users write it."""
    folder.mkdir(parents=True, exist_ok=True)
    table = {str(task): [f"o/{n}" for n in before] for task, before in shape.edges() if before}
    (folder / "edges.json").write_text(json.dumps(table))
    (folder / "Snakefile").write_text(
        "import json\n"
        "edges = json.load(open('edges.json'))\n"
        f"rule all:\n    input: expand('o/{{n}}', n=range({shape.tasks}))\n"
        "rule work:\n"
        "    input: lambda w: edges.get(w.n, [])\n"
        "    output: 'o/{n}'\n"
        "    shell: 'touch {output}'\n"
    )
