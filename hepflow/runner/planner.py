"""What becomes of an invocation that is ready: taken from the store, or planned by its tool."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, NamedTuple

from hepflow.model.events import Answered, Event, Expanded, Invocation, Plan, Planned, Unplannable
from hepflow.model.task import Task, uncontained
from hepflow.model.values import Value, Values
from hepflow.model.workflow import PlanContext, SubWorkflow, Tool, at_site
from hepflow.runner.literals import Literals
from hepflow.runner.placing import NOTHING, Data, data_of
from hepflow.staging.checks import Memory, first_fault
from hepflow.store.codec import Expected, revive
from hepflow.store.database import LITERALS
from hepflow.store.records import step_of
from hepflow.store.results import Results, Stored

_IMAGE: Final = re.compile(r"^container=.*(\n|\Z)", re.MULTILINE)
"""The line of a fingerprint that names an image."""


class Identity(NamedTuple):
    """What an invocation is: its name, its fingerprint and the digest of that, its tool; and where its
    step wants it, and what it reads."""

    name: str
    what: str
    key: bytes
    tool: Tool
    cache: bool
    site: str = ""
    data: Data = NOTHING


@dataclass(frozen=True, slots=True)
class Rules:
    """Which results may stand in for running.

    Args:
        run: the run itself: its own results always may, so that resuming repeats nothing.
        reuse: whether those of other runs may.
        redo: steps (paths without indices) that must run again: only results of this run from
            attempt id ``redo_from`` on count for them.
        containers: whether tasks run in their images.
    """

    run: int = 0
    reuse: bool = True
    redo: frozenset[str] = frozenset()
    redo_from: int = 0
    containers: bool = True

    def allow(self, name: str, cache: bool, result: Stored) -> bool:
        """Whether a result may stand in for the invocation of that name."""
        own = result.run == self.run
        if self.redo and step_of(name) in self.redo:
            return own and result.id >= self.redo_from
        return (cache and (own or self.reuse)) or (own and result.task == name)


class Planner:
    """Answers Plan actions, many at a time.

    Args:
        results: what the store has.
        rules: what of it may be used. Without a run in them nothing is ever written.
        root: the folder stored paths are relative to, with a trailing slash.
        weigh: find out how much data each task reads.
    """

    def __init__(self, results: Results, rules: Rules, root: str, *, weigh: bool = False) -> None:
        self._weigh = weigh
        self._results = results
        self._rules = rules
        self._root = root
        literals = Literals(f"{root}{LITERALS}", write=bool(rules.run))
        self._context = PlanContext(literals.path_of)
        self.memory = Memory(results.digests)
        self.identities: dict[Invocation, Identity] = {}
        self.reused: list[tuple[str, int]] = []
        self.broken: list[tuple[str, int, str]] = []

    def answer(self, plans: Sequence[Plan]) -> list[Event]:
        """One event for each plan."""
        events: list[Event] = []
        ready: list[tuple[Plan, Values, Identity]] = []
        for plan in plans:
            try:
                inputs, identity = self._identify(plan)
            except ValueError as error:
                events.append(Unplannable(plan.invocation, str(error)))
            else:
                ready.append((plan, inputs, identity))
        found = self._results.find([identity.key for _, _, identity in ready if identity.what])
        for plan, inputs, identity in ready:
            stored = found.get(identity.key) if found and identity.what else None
            outputs = self.usable(identity, stored) if stored else None
            if outputs is not None:
                events.append(Answered(plan.invocation, outputs, reused=True))
            else:
                events.append(self._plan(plan, inputs, identity))
        return events

    def _identify(self, plan: Plan) -> tuple[Values, Identity]:
        inputs = plan.inputs
        what = plan.tool.fingerprint(inputs)
        if "file::" in what or "dir::" in what:
            # A file nobody has read yet: only those that come from outside.
            inputs = {port: self.memory.with_digests(value) for port, value in inputs.items()}
            what = plan.tool.fingerprint(inputs)
        if not self._rules.containers:
            # What ran on the machine itself must never stand in for what ran in an image.
            what = _IMAGE.sub("", what)
        key = blake2b(what.encode(), digest_size=16).digest() if what else b""
        data = data_of(inputs) if self._weigh else NOTHING
        return inputs, Identity(plan.name, what, key, plan.tool, plan.cache, plan.site, data)

    def usable(self, identity: Identity, stored: Iterable[Stored]) -> dict[str, Value] | None:
        """The outputs of the newest result that may be used and whose files are as they were."""
        for result in reversed(list(stored)):
            if not self._rules.allow(identity.name, identity.cache, result):
                continue
            expected: list[Expected] = []
            outputs = revive(result.outputs, self._root, expected)
            fault = first_fault(expected)
            if not fault:
                self.reused.append((identity.name, result.id))
                return outputs
            self.broken.append((identity.name, result.id, fault))
        return None

    def find(self, identity: Identity) -> dict[str, Value] | None:
        """The outputs of a usable result for one invocation, looked up now."""
        stored = self._results.find([identity.key]).get(identity.key)
        return self.usable(identity, stored) if stored else None

    def _plan(self, plan: Plan, inputs: Values, identity: Identity) -> Event:
        try:
            planning = plan.tool.plan(inputs, self._context)
        except ValueError as error:
            return Unplannable(plan.invocation, str(error))
        if isinstance(planning, Task):
            if not self._rules.containers:
                planning = uncontained(planning)
            self.identities[plan.invocation] = identity
            return Planned(plan.invocation, planning)
        if isinstance(planning, SubWorkflow):
            workflow = at_site(planning.workflow, plan.site) if plan.site else planning.workflow
            return Expanded(plan.invocation, workflow, planning.inputs)
        return Answered(plan.invocation, planning)
