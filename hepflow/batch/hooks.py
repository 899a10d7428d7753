"""What is particular to one batch system, as a table: its commands, its words, its submit files.

Owns the shape of that table. Must never run a command.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from hepflow.model.site import Queue, Site
from hepflow.model.task import Reason, Resources


class Witness(NamedTuple):
    """What a batch system says of one job.

    Args:
        name: the job's name.
        state: as in ``Hooks.ended``, or one of a job that is not over.
        node: where it runs or ran; empty where that is not said.
        why: the reason it waits or ended, in the system's words.
    """

    name: str
    state: str
    node: str = ""
    why: str = ""


Read: TypeAlias = Callable[[str], Iterable[tuple[str, Witness]]]
"""Jobs by handle out of what a command printed."""


class Question(NamedTuple):
    """A command that tells of jobs.

    Args:
        words: the command, for the numbers of the jobs in question.
        read: reads its answer.
        codes: exit codes with which it has answered: some do not know one of the jobs and say so.
    """

    words: Callable[[Sequence[str]], list[str]]
    read: Read
    codes: tuple[int, ...] = (0,)


class Programs(NamedTuple):
    """What runs a capsule on a node: the interpreter and the capsule's file."""

    python: str
    capsule: str


class Paper(NamedTuple):
    """What one submit file is about.

    Args:
        site, queue, resources: where to, and what each of the jobs asks for.
        elements: the attempts of each job, by id.
        folder: where the orders are, ``0.json`` and so on.
        name: of the job.
        programs: what runs a capsule.
        restarts: whether the system may start a job again that it has taken away or lost.
        shared: whether jobs may take what waits for others of their array.
    """

    site: Site
    queue: Queue
    resources: Resources
    elements: Sequence[Sequence[str]]
    folder: str
    name: str
    programs: Programs
    restarts: bool
    shared: bool

    @property
    def most(self) -> int:
        """Tasks of the longest job."""
        return max(map(len, self.elements))


@dataclass(frozen=True, slots=True)
class Hooks:
    """One batch system.

    Args:
        name: as messages call it.
        submit: the command that a submit file's path is added to.
        job_of: a job's number out of what that printed.
        handle: what the system calls one job: the number, the place in its array, and how many are in it.
        script: the text of a submit file.
        array: most tasks of an array where the site does not say.
        longest_name: characters of a job's name.
        cancel: the command that the handles of jobs to end are added to.
        queue: the question that is asked again and again.
        archive: questions about jobs that the queue does not show any more, in this order.
        ended: the states of a job that is over, and why an attempt in it that left no result ended.
        own_words: how the system ends a job whose capsule knows only that it was told to end, as a message.
        stuck: why a job waits that was started in vain and will not be started again.
        never: why a job waits that asks for what it cannot get here.
        passing: parts of complaints about a submission that may go through later.
        doubtful: parts of complaints after which a job may be there all the same.
        memory_signs: what the system writes into the log of a job it ended for its memory.
    """

    name: str
    submit: tuple[str, ...]
    job_of: Callable[[str], str]
    handle: Callable[[str, int, int], str]
    script: Callable[[Paper], str]
    array: int
    longest_name: int
    cancel: tuple[str, ...]
    queue: Question
    archive: tuple[Question, ...]
    ended: Mapping[str, Reason]
    own_words: Mapping[str, str]
    stuck: tuple[str, ...]
    never: frozenset[str]
    passing: tuple[str, ...]
    doubtful: tuple[str, ...]
    memory_signs: tuple[str, ...]
