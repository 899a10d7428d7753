"""Tasks as the orders that capsules carry out: what one job of a batch system is to do.

Owns the head's spelling of `hepflow.capsule.orders`. Must never know a batch system.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from hepflow.model.site import Runtime as Kind
from hepflow.model.site import Site, Staging
from hepflow.model.task import Attempt, Call, Container, Task
from hepflow.model.values import File
from hepflow.wire.commands import Shells
from hepflow.wire.containers import Runtime, contained
from hepflow.wire.spelling import call_parts, command_task, contained_task, encode
from hepflow.wire.variables import for_cpus

RUNTIMES: Final = {
    Kind.PODMAN: Runtime("podman", ("podman",), rootless=True),
    Kind.PODMAN_HPC: Runtime("podman", ("podman-hpc",), rootless=True),
    Kind.DOCKER: Runtime("docker", ("docker",)),
    Kind.APPTAINER: Runtime("apptainer", ("apptainer",)),
    Kind.SHIFTER: Runtime("shifter", ("shifter",)),
}
"""What starts an image on a worker node, by the site's word for it."""


class Orders:
    """Spells tasks for one site.

    Args:
        site: where they run.
        python: the interpreter for Python calls there.
        fetch: scheme of a URL -> words of a command there that fetches it.
        grace_s: seconds a task that must end may take.
    """

    def __init__(
        self,
        site: Site,
        python: str,
        fetch: dict[str, list[str]] | None = None,
        grace_s: float = 10.0,
    ) -> None:
        self._site = site
        self._python = python
        self._fetch = fetch or {}
        self._grace_s = grace_s
        self._env = {**os.environ, **site.env}
        # What modules and setup lines do to shells nobody knows: bash then means bash.
        unknown = {"BASH_ENV": ""} if site.modules or site.setup else {}
        self._shells = Shells({**self._env, **unknown})

    def entry(self, attempt: Attempt, number: int) -> dict[str, Any]:
        """One task of an order.

        Raises:
            ValueError: it cannot be spelt, or cannot run at this site; a sentence.
        """
        task = attempt.task
        env: dict[str, str] = dict(task.env)
        if not task.confined:
            env = {**self._site.env, **for_cpus(task.resources.cpus, self._env), **env}
        said: dict[str, Any] = {"number": number}
        if isinstance(task.command, Call):
            said["call"] = call_parts(task, self._python)
            spelt = command_task(attempt, 0, lambda _command, _env: (0, []))
        elif task.container is not None:
            wrapped = contained(self._with_image(attempt), self._runtime(), env, _gpus(task))
            env = wrapped.env
            spelt = contained_task(attempt, 0, wrapped)
        else:
            spelt = command_task(attempt, 0, self._shells.route)
        spelt[3] = env
        said["task"] = spelt
        if self._site.staging is Staging.CAPSULE:
            said["digests"] = _digests(task)
        if task.checkpoint and attempt.checkpoint:
            said["checkpoint"] = [attempt.checkpoint, list(task.checkpoint)]
        return said

    def text(
        self,
        entries: Sequence[str],
        results: str,
        limit_s: float = 0.0,
        parallel: int = 1,
        share_s: float = 0.0,
    ) -> str:
        """An order as the capsule reads it.

        Args:
            entries: tasks, each spelt by ``encode``.
            results: the folder for results, as the node sees it.
            limit_s: seconds the job may run; 0 for no limit.
            parallel: tasks at a time.
            share_s: seconds in which it may take what waits for other jobs of its array.
        """
        head = encode(
            {
                "results": results,
                "scratch": self._site.scratch,
                "grace_s": self._grace_s,
                "limit_s": limit_s,
                "parallel": parallel,
                "copy": self._site.staging is Staging.CAPSULE,
                "fetch": self._fetch,
                "share_s": share_s,
            }
        )
        return f'{head[:-1]},"tasks":[{",".join(entries)}]}}'

    def _runtime(self) -> Runtime:
        kind, options = self._site.container.runtime, self._site.container.options
        known = RUNTIMES.get(kind)
        if known is None:
            raise ValueError(
                f"site '{self._site.name}' starts no container images with '{kind.value}'; say"
                f" 'container: {{runtime: ...}}' in its file, one of"
                f" {', '.join(word.value for word in RUNTIMES)}"
            )
        return Runtime(known.kind, known.words, options, known.rootless)

    def _with_image(self, attempt: Attempt) -> Attempt:
        container = attempt.task.container
        assert container is not None
        spelt = Container(
            self._site.container.spell(container.image), container.folder, container.network
        )
        return attempt._replace(task=replace(attempt.task, container=spelt))


def _gpus(task: Task) -> tuple[str, ...]:
    """The accelerators a container is given: all that the batch system gives the job."""
    return ("all",) if task.resources.gpus else ()


def _digests(task: Task) -> dict[str, str]:
    return {
        item.what.location: item.what.digest
        for item in task.stage
        if isinstance(item.what, File) and item.what.location and item.what.digest
    }
