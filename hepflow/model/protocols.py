"""The doors for plug-ins: a language, an executor, an exporter, a tracker. (What a language's products must offer,
``Tool`` and ``Expression``, stands beside the workflow they are part of.)"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol, TypeAlias, runtime_checkable

from hepflow.model.events import ExecutorEvent
from hepflow.model.portable import Graph
from hepflow.model.record import RunRecord
from hepflow.model.site import Extent, Site
from hepflow.model.task import Attempt, Task, Usage
from hepflow.model.values import Directory, File, Values
from hepflow.model.workflow import Workflow


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """What a user may change about a file without editing it.

    Args:
        profiles: names of the file's own variants to apply, in order.
        settings: dotted path -> text (``steps.train.resources.cpus`` -> ``4``).
        target: the part of the file to run (CWL's ``#id``); empty for its main part.
    """

    profiles: Sequence[str] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    target: str = ""


class Language(Protocol):
    """Reads files of one workflow language.

    Its class is called with one argument, a ``Loader`` for files of other languages, so that a step
    may use them.
    """

    name: str

    def claims(self, path: Path) -> bool:
        """Whether a file is of this language, by its name and at most its first kilobytes."""
        ...

    def load(self, path: Path, options: LoadOptions) -> Workflow:
        """The workflow in a file.

        Raises:
            RecipeError: with every fault found, each at its line and column.
        """
        ...


Loader: TypeAlias = Callable[[Path, LoadOptions], Workflow]


class Exporter(Protocol):
    """Writes a native recipe in another language."""

    def export(
        self, recipe: Graph, inputs: Values, locate: Callable[[File | Directory], str]
    ) -> Mapping[str, str]:
        """The documents, name -> text; the first is the one to run.

        Args:
            inputs: the values there are; inputs that are required may be missing.
            locate: the reference under which the documents name a file.

        Raises:
            RecipeError: at every place of the recipe that has no exact counterpart.
        """
        ...


@runtime_checkable
class Frame(Protocol):
    """Writes a native recipe by another exporter, and a document that names what that one wrote.

    Attributes:
        inner: the name of that exporter.
    """

    inner: str

    def around(
        self, documents: Sequence[str], files: Sequence[str], directories: Sequence[str]
    ) -> tuple[str, str]:
        """The name and the text of the document to run.

        Args:
            documents: the names of what the inner exporter wrote, the one to run first.
            files, directories: what else the folder holds, by relative paths.
        """
        ...


class Done(NamedTuple):
    """A task that has run, and what it left.

    Args:
        usage: what it used, when it ran.
        where: the host, and what finds it there.
        after: the steps that its own step takes values from, by paths without indices.
    """

    name: str
    task: Task
    outputs: Values
    usage: Usage = Usage()
    where: str = ""
    after: tuple[str, ...] = ()


@runtime_checkable
class RunExporter(Protocol):
    """Writes a run down for another system to run again."""

    def export_run(
        self, name: str, tasks: Sequence[Done], outputs: Values, folder: Path
    ) -> Sequence[str]:
        """Put all that is needed into a folder that is empty; returns the files' names, the one to run first.

        Args:
            tasks: in an order in which they can run.
            outputs: of the workflow, where the tasks left them.

        Raises:
            ValueError: it cannot be written down faithfully; a sentence.
        """
        ...


class Sink(Protocol):
    """The runner, as an executor sees it."""

    def put(self, events: Sequence[ExecutorEvent]) -> None:
        """Tell what happened; may be called from any thread."""
        ...

    def watch(self, fileno: int, callback: Callable[[], None]) -> None:
        """Have ``callback`` called, on the runner's thread, whenever ``fileno`` is readable."""
        ...

    def unwatch(self, fileno: int) -> None:
        """End a watch."""
        ...

    def call_at(self, when: float, callback: Callable[[], None]) -> None:
        """Have ``callback`` called once, on the runner's thread, at a ``time.monotonic()``."""
        ...


class Executor(Protocol):
    """Runs attempts somewhere. Never blocks, never retries, never decides: it classifies.

    Its class is an ``ExecutorClass``. Where it writes submit files it also
    ``Submits``; where it knows how large its site is, it is ``Measured``.

    Attributes:
        capacity: attempts worth having submitted at a time.
    """

    capacity: int

    def start(self, sink: Sink) -> None:
        """Get ready; events go to ``sink`` from now on."""
        ...

    def submit(self, attempts: Sequence[Attempt]) -> None:
        """Take attempts; each is answered by Accepted or Rejected, and later Finished or Lost.

        Accepted may be left out where no handle would outlive the head.
        """
        ...

    def cancel(self, attempts: Collection[str]) -> None:
        """End attempts by id; each is answered by Finished with the reason CANCELLED."""
        ...

    def recover(self, attempts: Mapping[str, str]) -> Collection[str]:
        """Find attempts (id -> handle, empty if unknown) of an earlier head again.

        Returns the ids that are still alive or have a result to tell; their events follow.
        """
        ...

    def close(self, *, settled: bool = False) -> None:
        """End everything of this executor's that cannot outlive the head.

        Args:
            settled: the store has all that was told, so nothing need be kept for a recovery.
        """
        ...


class ExecutorClass(Protocol):
    """How every executor is made: from a folder of its own and the site.

    Making one starts nothing, writes nothing and asks no server; ``start`` does. What is wrong with
    the site's settings is a ``ValueError`` with one sentence for the user.

    Attributes:
        settings: the names ``Site.settings`` may have for it, each with what it means; any other
            name is refused with the nearest of these.
    """

    settings: Mapping[str, str]

    def __call__(self, workdir: Path, *, site: Site) -> Executor:
        """One executor.

        Args:
            workdir: absolute path of a folder for one run and one site, not yet made.
        """
        ...


class Tracker(Protocol):
    """Keeps a record of runs somewhere else."""

    def track(self, run: RunRecord) -> None:
        """Bring the record there up to date: called when a run has begun and when it has ended, also
        of one that is resumed. Whatever it raises is told once, and costs the run nothing."""
        ...


class TrackerClass(Protocol):
    """How every tracker is made. Making one asks no server and loads no large library.

    What is wrong with its settings is a ``ValueError`` with one sentence for the user; a library that
    is missing is an ``ImportError``.

    Attributes:
        settings: the names that its settings may have, each with what it means.
    """

    settings: Mapping[str, str]

    def __call__(self, folder: Path, settings: Mapping[str, str]) -> Tracker:
        """One tracker.

        Args:
            folder: an absolute path below the project's store, not yet made, for what it keeps here.
        """
        ...


@runtime_checkable
class Measured(Protocol):
    """An executor that knows how much its site has; of any other only the config is known."""

    @property
    def extent(self) -> Extent:
        """What it has, known before ``start``."""
        ...


@runtime_checkable
class Submits(Protocol):
    """An executor that can show what it would submit."""

    def sample(self, attempts: Sequence[Attempt]) -> str:
        """The exact text of the submit files for these attempts; nothing is written or sent.

        Raises:
            ValueError: no queue takes them; a sentence for the user.
        """
        ...
