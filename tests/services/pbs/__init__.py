"""A stand-in for PBS, whose servers cannot be had here: `qsub`, `qstat` and `qdel` of its own on PATH.

All of it is made up, after the manual pages of Torque 6 and OpenPBS: what `qsub` takes in a submit file
and refuses, what `qstat -f` prints, how jobs end. Jobs run on this machine, as many as eight cores hold.
So it shows that hepflow writes submit files that follow those pages and reads what they show; it shows
nothing of a real scheduler, nor of the wording of a real server's complaints.

    submit.py    a submit file becomes jobs, or is refused
    spool.py     the jobs, as files
    runner.py    one process for each submission: starts its jobs when there is room, and ends them
    tools.py     the commands

Stricter than the real one: a directive it does not know is refused, even where a site might add it.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.services.daemons import succeeds, wait_until

from .spool import Spool

COMMANDS = ("qsub", "qstat", "qdel")
ROOT = Path(__file__).resolve().parents[3]

COMMAND = """\
#!{python}
# A stand-in for PBS's command: see tests/services/pbs in hepflow.
import sys
sys.path.insert(0, {root!r})
from pathlib import Path
from tests.services.pbs.tools import main
sys.exit(main(Path({at!r}), {name!r}, sys.argv[1:]))
"""


@dataclass(frozen=True, slots=True)
class PBSStandIn:
    """What a test does to a PBS beyond what any user could do."""

    at: Path

    @property
    def env(self) -> dict[str, str]:
        return {"PATH": f"{self.at}/bin{os.pathsep}{os.environ.get('PATH', os.defpath)}"}

    def be(self, flavour: str) -> None:
        """Be ``torque`` or ``pbspro`` from now on."""
        (self.at / "flavour").write_text(flavour)

    def away(self, away: bool = True) -> None:
        """Have commands answer as they do while the server is restarted, or not any more."""
        (self.at / "away").touch() if away else (self.at / "away").unlink(missing_ok=True)

    def submitted(self) -> int:
        """How many jobs were ever taken on; each element of an array is one."""
        return len(Spool(self.at).jobs())

    def lose(self, job: str) -> None:
        """Have a running job vanish with its node."""
        spool = Spool(self.at)
        with spool.locked():
            spool.change(job, lose=True)

    def clear(self) -> None:
        """Leave no job, and be Torque."""
        self.away(False)
        self.be("torque")
        spool = Spool(self.at)
        for job in spool.jobs():
            if job["state"] != "C":
                succeeds(self.at / "bin" / "qdel", job["id"])  # or it has just ended
        wait_until(lambda: all(job["state"] == "C" for job in spool.jobs()), "no job left")


def start(at: Path) -> dict[str, str]:
    """Put the commands into ``at/bin``."""
    for name in ("bin", "jobs"):
        (at / name).mkdir()
    for name in COMMANDS:
        text = COMMAND.format(python=sys.executable, root=str(ROOT), at=str(at), name=name)
        (at / "bin" / name).write_text(text)
        (at / "bin" / name).chmod(0o755)
    stand_in = PBSStandIn(at)
    stand_in.be("torque")
    return stand_in.env
