"""A stand-in for HTCondor, whose daemons cannot be had here: commands of its own on PATH.

What is real: the submit language, the ClassAds and the reader of event logs are the official
bindings' (`htcondor2`, `classad2`). What is made up: `condor_submit`, `condor_q`, `condor_history`,
`condor_rm`, `condor_hold`, `condor_release`, `condor_vacate_job`, `condor_evicted_files`, and the pool
behind them, one process that runs the jobs on this machine. So it shows that hepflow writes descriptions
that HTCondor can parse, and reads what HTCondor would log; it shows nothing of matchmaking among many
machines, of security, or of a real schedd's wording.

    submit.py    a description becomes job ads, or is refused
    pool.py      the queue: what waits, runs, is held, and how much room there is
    starter.py   one start of one job: folder, files in, process, files out
    userlog.py   the event log's text
    tools.py     the commands

Stricter than the real one: a name in a description that is neither a command nor used is refused,
where HTCondor warns. More lenient: a container's image is noted, and its command runs without.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.services.daemons import launch, run, wait_until

MODULES = ("classad2", "htcondor2")
COMMANDS = (
    "condor_submit",
    "condor_q",
    "condor_history",
    "condor_rm",
    "condor_hold",
    "condor_release",
    "condor_vacate_job",
    "condor_evicted_files",
)
ROOT = Path(__file__).resolve().parents[3]

COMMAND = """\
#!{python}
# A stand-in for HTCondor's command: see tests/services/condor in hepflow.
import os, sys
sys.path.insert(0, {root!r})
from pathlib import Path
from tests.services.condor.tools import main
sys.exit(main(Path({at!r}), {name!r}, sys.argv[1:]))
"""


@dataclass(frozen=True, slots=True)
class CondorStandIn:
    """What a test does to a pool beyond what any user could do."""

    at: Path

    @property
    def env(self) -> dict[str, str]:
        return environment(self.at)

    def call(self, *argv: str | Path, stdin: str = "", limit_s: float = 30) -> str:
        """What a command prints in this pool."""
        return run(*argv, env=self.env, stdin=stdin, limit_s=limit_s)

    def clear(self) -> None:
        """Leave no job."""
        self.call("condor_rm", "-all")
        wait_until(lambda: not self.call("condor_q", "-af", "ClusterId"), "empty queue")

    @contextmanager
    def away(self) -> Iterator[None]:
        """Meanwhile every command fails as it does while a schedd is restarted; jobs run on."""
        socket, hidden = self.at / "pool.socket", self.at / "pool.socket.hidden"
        socket.rename(hidden)
        try:
            yield
        finally:
            hidden.rename(socket)


def environment(at: Path) -> dict[str, str]:
    """What its users need: its commands first on PATH."""
    path = os.environ.get("PATH", os.defpath).split(os.pathsep)
    rest = [folder for folder in path if folder != f"{at}/bin"]
    return {"PATH": os.pathsep.join([f"{at}/bin", *rest])}


def start(at: Path) -> dict[str, str]:
    """Start the pool and write the commands."""
    (at / "bin").mkdir()
    for name in COMMANDS:
        command = at / "bin" / name
        command.write_text(
            COMMAND.format(python=sys.executable, root=str(ROOT), at=str(at), name=name)
        )
        command.chmod(0o755)
    launch(
        sys.executable,
        "-m",
        "tests.services.condor.pool",
        at,
        pid_file=at / "pool.pid",
        log=at / "pool.log",
        env={"PYTHONPATH": str(ROOT)},
    )
    wait_until((at / "pool.socket").exists, "the pool's socket")
    return environment(at)
