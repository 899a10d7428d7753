"""What a yadage workflow says: stages, schedulers, packtivities, after all checks.

The names are yadage's. Plain data; knows neither files nor the model's workflow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeAlias

from hepflow.model.errors import Place

JSON: TypeAlias = Any
"""What YAML and JSON can say."""


class Kind(Enum):
    """How a stage makes its nodes."""

    SINGLE = "singlestep-stage"
    MULTI = "multistep-stage"
    JQ = "jq-stage"


@dataclass(frozen=True, slots=True)
class Packtivity:
    """One processing task: a process in an environment, and what it publishes.

    Args:
        process, environment: ``None`` where nothing runs.
        text: all of it as canonical JSON, without the image: what the work *is*.
        place: of its command; of all of it where there is none.
    """

    process: Mapping[str, JSON] | None
    environment: Mapping[str, JSON] | None
    publisher: Mapping[str, JSON]
    text: str
    place: Place


@dataclass(frozen=True, slots=True, eq=False)
class Scope:
    """A workflow, or one within a stage.

    Args:
        discover: strings among its parameters are patterns for files.
        relative: and are relative to the folder of the one node they come from.
    """

    stages: tuple[Stage, ...]
    place: Place
    discover: bool = False
    relative: bool = True


@dataclass(frozen=True, slots=True)
class Case:
    """What a node is if a jq program over its parameters gives something true."""

    condition: str
    body: Body
    place: Place


Body: TypeAlias = "Packtivity | Scope | tuple[Case, ...]"
"""What a node is."""


@dataclass(frozen=True, slots=True)
class Scheduler:
    """How a stage makes its nodes.

    Args:
        parameters: literal values, and selections from other stages (``expression_type``).
        scatter: the parameters that are scattered over.
        cartesian: over all combinations of these, the last one fastest; else in step.
        batchsize: elements that a node gets together; 0 for one, and not as a list.
        partitionsize: nodes to share all elements among; 0 for one element each.
        bindings, stepscript, postscript: of a ``jq-stage``.
        values: expressions that are registered under a name, for others to read.
    """

    kind: Kind
    body: Body
    parameters: Mapping[str, JSON] = field(default_factory=dict)
    scatter: tuple[str, ...] = ()
    cartesian: bool = False
    batchsize: int = 0
    partitionsize: int = 0
    bindings: JSON = None
    stepscript: str = "[.]"
    postscript: str = "."
    values: Mapping[str, JSON] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stage:
    """A rule that adds nodes once what it depends on is there.

    Args:
        ready: JSONPaths of stages and nodes that must be there.
        fulfilled: expressions that must be true.
        needs: names of the stages that any of its queries begin with, in the order of the document.
    """

    name: str
    scheduler: Scheduler
    ready: tuple[str, ...]
    fulfilled: tuple[JSON, ...]
    needs: tuple[str, ...]
    place: Place
