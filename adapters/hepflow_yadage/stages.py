"""Stages as tools: planning one looks at what is there, and answers with its nodes.

A stage of one node is that node's task, or its sub-workflow. A stage of many answers with a workflow whose
only step is scattered over the nodes' parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from hepflow.model.task import Outcome, Task
from hepflow.model.values import Directory, File, Value, Values
from hepflow.model.workflow import PlanContext, Planning, SubWorkflow, Workflow
from hepflow_yadage.packtivities import (
    WORKDIR,
    fingerprint,
    node_of,
    published_only,
    runs,
    task_of,
)
from hepflow_yadage.paths import Known
from hepflow_yadage.publishing import located
from hepflow_yadage.queries import first_of_jq
from hepflow_yadage.reading import INIT
from hepflow_yadage.scheduling import Node, nodes_of
from hepflow_yadage.selecting import may_begin
from hepflow_yadage.specs import JSON, Body, Kind, Packtivity, Scope, Stage
from hepflow_yadage.view import View

NODES: Final = "nodes"
"""The port of a stage with all that it has made, as ``view`` has it; ``None`` where it was passed over."""

NODE: Final = "node"
"""The port with one of these."""

GIVEN: Final = "given"
"""The port with what a node is given: ``parameters``, and the ``folders`` they come from."""

Translate = Callable[[Scope], Workflow]
"""Makes the workflow of a scope; the same one each time."""


class Chosen(NamedTuple):
    """What a node turned out to be.

    Args:
        spec: ``None`` where no case held.
        node: what it is given.
    """

    spec: Packtivity | Scope | None
    node: Node

    def fingerprint(self) -> str:
        """As ``Tool.fingerprint``."""
        if isinstance(self.spec, Packtivity) and runs(self.spec):
            return fingerprint(self.spec, self.node.parameters)
        return ""

    def plan(self, translate: Translate) -> Task | SubWorkflow | Value:
        """A task, a sub-workflow, or (it runs nothing) the node as it is at once.

        Raises:
            ValueError: it cannot be planned; a sentence.
        """
        if self.spec is None:
            return None
        if isinstance(self.spec, Scope):
            return SubWorkflow(translate(self.spec), {GIVEN: given(self.node)})
        if runs(self.spec):
            return task_of(self.spec, *self.node)
        return published_only(self.spec, self.node.parameters)


def choose(body: Body, node: Node) -> Chosen:
    """What a node is: of several cases the first that holds.

    Raises:
        ValueError: a condition failed; a sentence.
    """
    if not isinstance(body, tuple):
        return Chosen(body, node)
    texts = Known().texts(node.parameters)
    for case in body:
        if first_of_jq(case.condition, texts) not in (None, False):
            return choose(case.body, node)
    return Chosen(None, node)


def given(node: Node) -> Value:
    """A node to be, as a value."""
    return {"parameters": node.parameters, "folders": list(node.folders)}


def _node(value: Value) -> Node:
    assert isinstance(value, Mapping)
    folders = value["folders"]
    assert isinstance(folders, (list, tuple))
    return Node(value["parameters"], tuple(map(str, folders)))


@contextmanager
def _told(where: str) -> Iterator[None]:
    """Has an error say which stage it is about."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


@dataclass(frozen=True, slots=True)
class StageTool:
    """A stage.

    Args:
        stage: what it says.
        values: the registered expressions of its scope by name, each with the stage that registers it.
        where: its name and place, for messages.
        translate: for a sub-workflow.
        many: the workflow for several nodes; it takes the array ``given`` and gives the array ``nodes``.
    """

    stage: Stage
    values: Mapping[str, tuple[str, JSON]]
    where: str
    translate: Translate
    many: Workflow

    def fingerprint(self, inputs: Values) -> str:
        """That of its only node; empty where it has none, or may have several."""
        if self.stage.scheduler.kind is not Kind.SINGLE:
            return ""
        with _told(self.where):
            nodes = self._nodes(inputs)
            return choose(self.stage.scheduler.body, nodes[0]).fingerprint() if nodes else ""

    def plan(self, inputs: Values, context: PlanContext) -> Planning:
        with _told(self.where):
            nodes = self._nodes(inputs)
            if not nodes:
                return {NODES: None if nodes is None else []}
            if self.stage.scheduler.kind is not Kind.SINGLE:
                return SubWorkflow(self.many, {GIVEN: [given(node) for node in nodes]})
            found = choose(self.stage.scheduler.body, nodes[0]).plan(self.translate)
        return found if isinstance(found, Task | SubWorkflow) else {NODES: [found]}

    def collect(self, task: Task, outcome: Outcome, folder: str) -> Values:
        with _told(self.where):
            return {NODES: [node_of(task, outcome, folder)]}

    def _nodes(self, inputs: Values) -> list[Node] | None:
        """The nodes it makes; ``None`` where what it waits for will never be."""
        registered = {
            key: value
            for key, (stage, value) in self.values.items()
            if inputs.get(stage) is not None
        }
        view = View(inputs, registered)
        return nodes_of(self.stage.scheduler, view) if may_begin(self.stage, view) else None


@dataclass(frozen=True, slots=True)
class NodeTool:
    """One of several nodes of a stage.

    Args:
        body: what it is.
        where: the stage's name and place, for messages.
        translate: for a sub-workflow.
    """

    body: Body
    where: str
    translate: Translate

    def fingerprint(self, inputs: Values) -> str:
        with _told(self.where):
            return choose(self.body, _node(inputs[GIVEN])).fingerprint()

    def plan(self, inputs: Values, context: PlanContext) -> Planning:
        with _told(self.where):
            found = choose(self.body, _node(inputs[GIVEN])).plan(self.translate)
        return found if isinstance(found, Task | SubWorkflow) else {NODE: found}

    def collect(self, task: Task, outcome: Outcome, folder: str) -> Values:
        with _told(self.where):
            return {NODE: node_of(task, outcome, folder)}


@dataclass(frozen=True, slots=True)
class InitTool:
    """The parameters of a workflow as its first node, ``init``.

    Args:
        names: the ports with single parameters; the port ``init`` has any others. A sub-workflow has
            none of these: all come by the port ``given``.
        scope: what it is the beginning of.
        initdir: the folder for relative names; a sub-workflow takes that of the one node which its
            parameters come from.
    """

    scope: Scope
    names: tuple[str, ...] = ()
    initdir: str = ""

    def fingerprint(self, inputs: Values) -> str:
        return ""

    def plan(self, inputs: Values, context: PlanContext) -> Planning:
        parameters, folders = self._parameters(inputs)
        known = Known()
        texts = known.texts(_placed(parameters, context))
        for folder in folders:
            known.allow(folder)
        if len(folders) == 1:  # a name may be relative to one folder, not to several
            base = folders[0] if self.scope.relative else ""
            texts = located(texts, base, exact=True, patterns=self.scope.discover)
        places = [Directory(folder) for folder in folders]
        return {NODES: [{"result": known.values(texts), WORKDIR: places}]}

    def collect(self, task: Task, outcome: Outcome, folder: str) -> Values:
        """Never called: planning answers at once."""
        return {}

    def _parameters(self, inputs: Values) -> Node:
        if GIVEN in inputs:
            return _node(inputs[GIVEN])
        more = inputs.get(INIT)
        own = {name: inputs[name] for name in self.names if inputs.get(name) is not None}
        given = {**(more if isinstance(more, Mapping) else {}), **own}
        return Node(given, (self.initdir,) if self.initdir else ())


def _placed(value: Value, context: PlanContext) -> Value:
    """A value whose literal files are somewhere."""
    if isinstance(value, (File, Directory)):
        return value if value.location else replace(value, location=context.path_of(value))
    if isinstance(value, Mapping):
        return {key: _placed(item, context) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_placed(item, context) for item in value]
    return value
