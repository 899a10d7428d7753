"""yadage: a scatter of a packtivity beside the same scatter in a native recipe.

The peer is not yadage itself, which begins nothing of a wide scatter in minutes, but what hepflow does with
its own language: what is between the two is the translation, and the folders that yadage's users look for.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from bench.measure import must_run
from bench.scenarios import aside, fresh
from bench.tools import hepflow_command

YADAGE: Final = {
    "stages": [
        {
            "name": "map",
            "dependencies": ["init"],
            "scheduler": {
                "scheduler_type": "multistep-stage",
                "parameters": {
                    "number": {"step": "init", "output": "numbers"},
                    "out": "{workdir}/out.txt",
                },
                "scatter": {"method": "zip", "parameters": ["number"]},
                "step": {
                    "process": {
                        "process_type": "string-interpolated-cmd",
                        "cmd": "echo {number} > {out}",
                    },
                    "environment": {"environment_type": "localproc-env"},
                    "publisher": {"publisher_type": "frompar-pub", "outputmap": {"out": "out"}},
                },
            },
        }
    ]
}

NATIVE: Final = {
    "hepflow": "v1",
    "inputs": {"numbers": {"type": "int[]"}},
    "steps": {
        "map": {
            "scatter": {"number": "inputs.numbers"},
            "command": "echo {{ number }} > {{ outputs.out }}",
            "outputs": {"out": "out.txt"},
        }
    },
    "outputs": {"out": "map.out"},
}

LANGUAGES: Final[Mapping[str, tuple[str, object]]] = {
    "native recipe": ("native.yaml", NATIVE),
    "yadage": ("flow.json", YADAGE),
}


def yadage_page(
    folder: Path, sizes: Sequence[int], repeats: int, tell: Callable[[str], None]
) -> Iterator[str]:
    """The report, line by line as it is measured.

    Args:
        folder: where to run.
        sizes: numbers of elements to scatter over.
        repeats: turns; the languages alternate within each.
    """
    yield "### yadage: a scatter, start to exit"
    yield ""
    yield "| elements | language | first file after, s | run, s | nodes/s | CPU, s |"
    yield "|---:|---|---:|---:|---:|---:|"
    for size in sizes:
        found: dict[str, list[tuple[float, float, float]]] = {}
        for turn in range(repeats):
            for language in LANGUAGES:
                tell(f"yadage, {size}, {turn + 1} of {repeats}: {language}")
                found.setdefault(language, []).append(_run(language, size, folder / "turn"))
        for language, times in found.items():
            first, whole, cpu = (statistics.median(each) for each in zip(*times, strict=True))
            rate = size / whole
            yield f"| {size:,} | {language} | {first:.2f} | {whole:.1f} | {rate:,.0f} | {cpu:.1f} |"
    yield ""


def _run(language: str, size: int, folder: Path) -> tuple[float, float, float]:
    """Seconds until the first node had made its file, until all was done, and of work."""
    name, document = LANGUAGES[language]
    fresh(folder)
    (folder / name).write_text(json.dumps(document))
    (folder / "inputs.json").write_text(json.dumps({"numbers": list(range(size))}))
    began = time.time()
    cost = must_run([*hepflow_command(), "run", "--quiet", name, "inputs.json"], folder)
    first = min(path.stat().st_mtime for path in (folder / "results").rglob("*out.txt"))
    aside(folder)
    return first - began, cost.wall_s, cost.cpu_s
