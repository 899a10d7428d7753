"""The workflow: typed inputs, steps, outputs, and how values flow between them.

Every language produces this and nothing else; the engine knows this and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol, TypeAlias, runtime_checkable

from hepflow.model.errors import Place
from hepflow.model.task import Outcome, Resources, Task
from hepflow.model.types import ANY, Type
from hepflow.model.values import Directory, File, Value, Values


class Required:
    """The default of a port that has none."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "REQUIRED"


REQUIRED: Final = Required()
NOWHERE: Final = Place()


@dataclass(frozen=True, slots=True)
class From:
    """The default of a port that is an output of another run, looked up when a run begins.

    Args:
        text: which run's, and which output.
        folder: what relative paths in it are relative to.
        place: where it is asked for.
    """

    text: str
    folder: str
    place: Place = NOWHERE

    def __str__(self) -> str:
        return f"from {self.text}"


@dataclass(frozen=True, slots=True)
class Port:
    """A named, typed input or output.

    Args:
        default: the value when nobody gives one; ``REQUIRED`` when somebody must.
    """

    name: str
    type: Type = ANY
    default: Value | Required | From = REQUIRED
    doc: str = ""
    place: Place = NOWHERE


class Ref(NamedTuple):
    """Where a value comes from: a step's output port, or (``step`` empty) a workflow's input."""

    step: str
    port: str


class Merge(Enum):
    """How several sources become one array (CWL v1.2, LinkMergeMethod)."""

    NESTED = "merge_nested"
    FLATTENED = "merge_flattened"


class Pick(Enum):
    """How nulls among several sources are dealt with (CWL v1.2, PickValueMethod)."""

    FIRST_NON_NULL = "first_non_null"
    ONLY_NON_NULL = "the_only_non_null"
    ALL_NON_NULL = "all_non_null"


class Expression(Protocol):
    """Something a language evaluates over the values of an invocation's ports."""

    @property
    def names(self) -> Collection[str]:
        """The ports it reads."""
        ...

    def evaluate(self, values: Values) -> Value:
        """The result. Pure: same values, same result.

        Raises:
            ValueError: with a sentence that says what went wrong, where in the recipe.
        """
        ...


class Binding(NamedTuple):
    """What feeds a port: sources, else a default; then, if there is one, an expression.

    An expression on a scattered port gives the array to scatter over. On any other port it is
    computed for each invocation, after scattering, from that invocation's other ports. On an output
    of a workflow it is computed from the sources, which it sees as ``step.port`` and ``inputs.port``.
    """

    sources: tuple[Ref, ...] = ()
    merge: Merge | None = None
    pick: Pick | None = None
    default: Value = None
    expression: Expression | None = None


class Scatter(Enum):
    """How the arrays of several scattered ports combine (CWL v1.2, ScatterMethod)."""

    DOT = "dotproduct"
    NESTED = "nested_crossproduct"
    FLAT = "flat_crossproduct"


@dataclass(frozen=True, slots=True)
class Loop:
    """Rounds of one step: after each, ``carry`` gives the next round's inputs from its outputs.

    Args:
        condition: over the inputs of the coming round; the loop ends when false.
        carry: port -> expression over the finished round's inputs and, under the name
            ``outputs``, its outputs. Ports not named keep their value.
        keep_all: the outputs are arrays over the rounds instead of the last round's.
        limit: rounds after which the run fails rather than go on for ever.
    """

    condition: Expression
    carry: Mapping[str, Expression]
    keep_all: bool = False
    limit: int = 1000


@dataclass(frozen=True, slots=True)
class Retry:
    """What to do when an attempt fails by the task's own fault.

    Args:
        times: further attempts allowed.
        delay_s: seconds to wait before the first of them; doubles each time.
        memory_factor: what the memory request, or where there is none the memory that was seen in use, is
            multiplied by after an out-of-memory end.
    """

    times: int = 0
    delay_s: float = 0.0
    memory_factor: float = 1.0


class SubWorkflow(NamedTuple):
    """A planning answer: run this workflow in the step's place."""

    workflow: Workflow
    inputs: Values


Planning: TypeAlias = "Task | SubWorkflow | Values"


@dataclass(frozen=True, slots=True)
class PlanContext:
    """What planning may ask of the machine: where a task will find a file, as a path."""

    path_of: Callable[[File | Directory], str]


class Tool(Protocol):
    """What a step runs; each language brings its own classes."""

    def fingerprint(self, inputs: Values) -> str:
        """What the task *is*, as text: one ``component=value`` a line, equal for equal work.

        The content cache's key is the digest of it, and ``explain`` compares it line by line.
        Empty for what cannot be cached (planning then decides). Must be cheap.
        """
        ...

    def plan(self, inputs: Values, context: PlanContext) -> Planning:
        """The task to run, or a workflow to put in its place, or the outputs themselves.

        Raises:
            ValueError: with a sentence that says why it cannot be planned.
        """
        ...

    def collect(self, task: Task, outcome: Outcome, folder: str) -> Values:
        """The step's outputs from what a successful attempt left behind.

        Args:
            task: the one that ``plan`` gave, its memo included.
            outcome: how it ended; ``outputs`` has what the task declared.
            folder: where it ran; files in there need no digest yet.

        Raises:
            ValueError: with a sentence that says which output is not as declared.
        """
        ...


@runtime_checkable
class Sized(Protocol):
    """A tool that knows before any input is known what its tasks ask for."""

    @property
    def resources(self) -> Resources | None:
        """What every task of it asks for; ``None`` where that depends on its inputs."""
        ...


@runtime_checkable
class Timed(Protocol):
    """A tool that knows how long its task takes, because it took so long before."""

    @property
    def seconds(self) -> float:
        """Seconds from its start to its end."""
        ...


class Step(NamedTuple):
    """One node of a workflow.

    Args:
        name: unique in its workflow. One of several steps that a person sees as one bears an index,
            ``trial[3]``: they are counted together.
        run: the tool, or a workflow in place.
        inputs: port -> what feeds it. A port whose name holds a dot exists for expressions only.
        outputs: the ports it offers, with the type of one invocation's value.
        scatter: the ports whose arrays it runs over, element by element.
        when: run only where true; elsewhere the outputs are null.
        cache: whether results may be taken from earlier runs.
        limit: invocations in flight at a time; 0 for no limit of its own.
        site: the site its tasks go to; empty for wherever they fit.
        tolerant: an invocation that fails for good, or something in it, leaves null outputs instead of
            failing what it is part of.
    """

    name: str
    run: Tool | Workflow
    inputs: Mapping[str, Binding] = MappingProxyType({})
    outputs: tuple[Port, ...] = ()
    scatter: tuple[str, ...] = ()
    method: Scatter = Scatter.DOT
    when: Expression | None = None
    loop: Loop | None = None
    retry: Retry = Retry()
    cache: bool = True
    limit: int = 0
    doc: str = ""
    place: Place = NOWHERE
    site: str = ""
    tolerant: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Workflow:
    """Typed inputs, steps, outputs. Steps need no order; their links give it.

    Args:
        prepare: what its language does to the inputs of a run, already of the right types, before
            the first step sees them (CWL: find secondary files, check formats). Raises RecipeError.
        read: how its language reads a file of inputs, places in it made absolute; ``None`` for
            YAML or JSON of ``name: value``. Raises RecipeError.
        tracking: the trackers that are to keep a record of its runs, each with its settings.
    """

    name: str
    inputs: tuple[Port, ...] = ()
    steps: tuple[Step, ...] = ()
    outputs: Mapping[str, Binding] = field(default_factory=dict)
    doc: str = ""
    source: str = ""
    prepare: Callable[[Values], Values] | None = None
    read: Callable[[str], Values] | None = None
    tracking: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def within(step: Step) -> Workflow | None:
    """The workflow that a step runs, or that its tool is known to plan; ``None`` for any other tool.

    Such a tool has it as its attribute ``sketch``: the steps that there will be, with their links and
    sites, however many there will be of each.
    """
    if isinstance(step.run, Workflow):
        return step.run
    found: Workflow | None = getattr(step.run, "sketch", None)
    return found


def label_of(step: Step) -> str:
    """The name under which a person sees a step: without its index."""
    return step.name.partition("[")[0]


def at_site(workflow: Workflow, site: str) -> Workflow:
    """The same workflow, with those of its steps at a site that name none themselves."""

    def moved(step: Step) -> Step:
        if isinstance(step.run, Workflow):
            return step._replace(run=at_site(step.run, site))
        return step if step.site else step._replace(site=site)

    return replace(workflow, steps=tuple(moved(step) for step in workflow.steps))
