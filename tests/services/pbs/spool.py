"""The jobs of the stand-in, each a file of JSON; one lock for all changes."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SERVER = "pbs.example"

Job = dict[str, Any]
"""`id`, `array` (id of the whole), `name`, `state`, `exit_status`, `cpus`, and what the runner needs."""


class Spool:
    """Reads and writes them."""

    def __init__(self, at: Path) -> None:
        self.at = at

    @contextmanager
    def locked(self) -> Iterator[None]:
        with (self.at / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def number(self) -> int:
        """The next job's; to be asked for with the lock held."""
        path = self.at / "next"
        number = int(path.read_text()) if path.exists() else 1
        path.write_text(str(number + 1))
        return number

    def path(self, job: str) -> Path:
        return self.at / "jobs" / f"{job}.json"

    def write(self, job: Job) -> None:
        unfinished = self.path(job["id"]).with_suffix(".tmp")
        unfinished.write_text(json.dumps(job))
        unfinished.replace(self.path(job["id"]))

    def job(self, job: str) -> Job:
        """One of them."""
        found: Job = json.loads(self.path(job).read_text())
        return found

    def change(self, job: str, **more: Any) -> None:
        """Change one of them; with the lock held."""
        self.write(self.job(job) | more)

    def jobs(self) -> list[Job]:
        """All there ever were."""
        found = [json.loads(path.read_text()) for path in (self.at / "jobs").glob("*.json")]
        return sorted(found, key=lambda job: (job["number"], job["index"]))

    def named(self, word: str) -> list[Job]:
        """The jobs that an identifier means: one, or those of a whole array."""
        return [job for job in self.jobs() if word in (job["id"], job["array"])]
