"""The program of a Snakefile's task: prepares a working directory, runs Snakemake there, fetches the targets.

The working directory stands in the project's ``.hepflow``, under the digest of all that goes in. It
outlives an attempt that was killed, so that the next one goes on where Snakemake was; when Snakemake has
succeeded, it is removed.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType
from typing import Final

from hepflow_snakemake.request import ANSWER, MADE, REQUEST

STORE: Final = ".hepflow"
LISTING: Final = ".targets.json"
JOBS: Final = "256"
"""Jobs that Snakemake hands over at a time; what runs at once is for hepflow to say."""


def main() -> int:
    """Runs what the request in the current folder asks for; Snakemake's exit status."""
    request = json.loads(Path(REQUEST).read_text(encoding="utf-8"))
    here = Path.cwd()
    project = next(folder.parent for folder in here.parents if folder.name == STORE)
    task = here.relative_to(project / STORE / "work")
    workdir = project / STORE / "snakemake" / request["key"]
    _mirror({**request["sources"], **request["files"]}, workdir)
    more = shlex.split(request["options"])
    words = [
        sys.executable, "-m", "snakemake", "--snakefile", request["snakefile"],
        "--executor", "hepflow", "--jobs", JOBS,
        "--hepflow-project", str(project), "--hepflow-within", task.parts[0],
        "--hepflow-listing", str(workdir / LISTING),
        # Nobody else works in this folder, and what was under way when a head was killed is made again.
        "--nolock", "--rerun-incomplete", "--nocolor",
        "--conda-prefix", str(project / STORE / "snakemake" / "conda"),
        *_configuration(request["config"], more, workdir), *more, "--", *request["targets"],
    ]  # fmt: skip
    (workdir / LISTING).unlink(missing_ok=True)
    status = _run(words, workdir)
    if status == 0 and not (workdir / LISTING).exists():
        # All was there already, so Snakemake had no need of an executor to tell it of its targets.
        forced = [*words[: words.index("--")], "--force", *words[words.index("--") :]]
        status = _run(forced, workdir)
    if status == 0:
        made = json.loads((workdir / LISTING).read_text(encoding="utf-8"))
        asked = {name: at for at, name in enumerate(request["targets"])}
        _fetch(sorted(made, key=lambda name: asked.get(name, len(asked))), workdir)
        shutil.rmtree(workdir, ignore_errors=True)
    return status


def _mirror(files: dict[str, str], workdir: Path) -> None:
    """Links to files under their own paths, in folders that can be written."""
    workdir.mkdir(parents=True, exist_ok=True)
    for name, source in files.items():
        target = workdir / name
        if not os.path.lexists(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(source)


def _configuration(config: dict[str, object], options: list[str], workdir: Path) -> list[str]:
    """The words that hand a configuration over: a file, but beside one of the user's own, entries."""
    if not config:
        return []
    if any(word.startswith("--configfile") for word in options):
        return ["--config", *(f"{name}={json.dumps(value)}" for name, value in config.items())]
    file = workdir / ".config.json"
    file.write_text(json.dumps(config), encoding="utf-8")
    return ["--configfile", str(file)]


def _run(words: list[str], workdir: Path) -> int:
    """Snakemake, which ends its jobs and itself when this program is asked to end."""
    with subprocess.Popen(words, cwd=workdir) as process:

        def interrupted(_number: int, _frame: FrameType | None) -> None:
            process.send_signal(signal.SIGINT)

        signal.signal(signal.SIGTERM, interrupted)
        return process.wait()


def _fetch(targets: list[str], workdir: Path) -> None:
    """All that was made, in this task's own folder, and the list of the targets."""
    made = Path(MADE)
    made.mkdir()
    for parent, folders, names in os.walk(workdir):
        top = Path(parent) == workdir
        folders[:] = [name for name in folders if not (top and name.startswith("."))]
        for name in names:
            source = Path(parent, name)
            if not source.is_symlink() and not (top and name.startswith(".")):
                _put(source, made / source.relative_to(workdir))
    found = []
    for target in targets:
        source = workdir / target
        name = os.path.relpath(source, workdir)
        if name.startswith(".."):  # an absolute path elsewhere
            name = source.name
        if not (made / name).exists():
            _put(source, made / name)
        found.append(name)
    Path(ANSWER).write_text(json.dumps(found), encoding="utf-8")


def _put(source: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, place, copy_function=_link)
    else:
        _link(str(source), str(place))


def _link(source: str, target: str) -> None:
    source = os.path.realpath(source)
    try:
        os.link(source, target)
    except OSError:  # on another disk
        shutil.copy2(source, target)


if __name__ == "__main__":
    sys.exit(main())
