"""Documents that were loaded before: found again as long as no file of theirs has changed.

Reading a document takes the library, its schemas and their checks; a workflow that was made of the
very same files needs none of that again.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from hepflow.model.workflow import Workflow
from hepflow_cwl import cache
from hepflow_cwl.setup import Setup


@dataclass(frozen=True, slots=True)
class _Entry:
    """A loaded document: the workflow, and each file it was made of with the digest of that."""

    files: dict[str, str]
    workflow: Workflow


class Seen:
    """What is kept of one document, read with one target and setup."""

    def __init__(self, path: Path, target: str, setup: Setup) -> None:
        self._name = cache.key(str(path.absolute()), target, setup)

    def find(self) -> Workflow | None:
        """The workflow, if the document was loaded before and is as it was."""
        entry = cache.read(self._name)
        if not isinstance(entry, _Entry):
            return None
        same = all(_digest(path) == digest for path, digest in entry.files.items())
        return entry.workflow if same else None

    def keep(self, workflow: Workflow, files: Collection[str] | None) -> None:
        """Remember a workflow.

        Args:
            files: paths of all files it was made of; ``None`` when some of it came from elsewhere,
                where nobody can see cheaply whether it has changed.
        """
        if files is None:
            return
        digests = {path: _digest(path) for path in files}
        cache.write(self._name, _Entry(digests, workflow))


def _digest(path: str) -> str:
    try:
        return sha256(Path(path).read_bytes()).hexdigest()
    except OSError:
        return ""
