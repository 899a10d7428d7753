"""What a service is to those who use it: a name, what it takes, how it starts and how it ends."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .daemons import SEARCH_PATH, Unavailable, end, process_of, tails

RECORD = "service.json"
"""In a service's folder while it runs: the variables that its users need."""


@dataclass(frozen=True, slots=True)
class Service:
    """Real servers, or a stand-in for them, in one folder."""

    name: str
    start: Callable[[Path], dict[str, str]]
    """Start in an empty folder, with each server's pid in a file ``*.pid`` and what they say in
    files ``*.log``; returns the environment variables that its users need."""
    stop: Callable[[Path], None] = lambda at: end(at.glob("*.pid"))
    """Stop what runs in that folder, also where only half of it started."""
    programs: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    """The Debian packages that have these programs."""
    modules: tuple[str, ...] = ()
    """What it imports, out of the extra ``services``."""

    @property
    def missing_programs(self) -> list[str]:
        """Those of its programs that are not installed here."""
        return [name for name in self.programs if not shutil.which(name, path=SEARCH_PATH)]

    @property
    def missing(self) -> str:
        """What is not installed here, and how to mend it; empty if it could start."""
        complaints = []
        if programs := self.missing_programs:
            complaints.append(
                f"not installed: {', '.join(programs)} (Debian: {' '.join(self.packages)})"
            )
        if modules := [name for name in self.modules if not importlib.util.find_spec(name)]:
            complaints.append(
                f"not importable: {', '.join(modules)} (pip install 'hepflow[services]')"
            )
        return "; ".join(complaints)

    @property
    def home(self) -> Path:
        """Where it runs when nobody says where."""
        return Path(tempfile.gettempdir()) / f"hepflow-services-{os.getuid()}" / self.name

    def up(self, at: Path) -> dict[str, str]:
        """Start it unless it runs there already; returns what its users need in the environment."""
        record = at / RECORD
        if record.exists() and all(map(process_of, at.glob("*.pid"))):
            environment: dict[str, str] = json.loads(record.read_text())
            return environment
        if self.missing:
            raise Unavailable(f"{self.name}: {self.missing}")
        self.down(at)  # what a crash left behind
        at.mkdir(parents=True)
        try:
            environment = self.start(at)
        except (Unavailable, OSError) as error:
            said = tails(at)
            self.down(at)
            raise Unavailable(f"{self.name} does not start: {error}\n{said}") from error
        record.write_text(json.dumps(environment))
        return environment

    def down(self, at: Path) -> None:
        """Stop it and remove its folder; nothing to do where it does not run."""
        if at.is_dir():
            self.stop(at)
            shutil.rmtree(at)
