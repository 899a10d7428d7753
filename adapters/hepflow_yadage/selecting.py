"""Expressions over what has been made: selections of outputs, registered values; and whether a stage may begin."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hepflow_yadage.queries import find
from hepflow_yadage.reading import FROM_VALUE, query_of
from hepflow_yadage.specs import JSON, Stage
from hepflow_yadage.view import View

SHOWN = 8
"""Names that an error lists."""


def may_begin(stage: Stage, view: View) -> bool:
    """Whether all is there that a stage waits for; what is not will never be.

    Raises:
        ValueError: an expression failed; a sentence.
    """
    if not all(view.matches(path) for path in stage.ready):
        return False
    values = [view.taken(evaluated(expression, view), {}) for expression in stage.fulfilled]
    # As in jq zero and an empty text are true; what selects nothing is not.
    return all(value not in (None, [], {}) and value is not False for value in values)


def evaluated(expression: JSON, view: View) -> JSON:
    """An expression's value, with references to what it selected; any other value is what it is.

    Raises:
        ValueError: it selects what is not there; a sentence.
    """
    if not isinstance(expression, dict) or "expression_type" not in expression:
        return expression
    if expression["expression_type"] == FROM_VALUE:
        if "scope" in expression:
            return _registered(expression["key"], _only_scope(view, expression["scope"]))
        value = view.values.get(expression["key"])  # none: the stage that has it was passed over
        return None if value is None else evaluated(value, view)
    if "step" in expression:
        nodes, scopes = view.entries(expression["step"])
        if len(nodes) + len(scopes) != 1:
            raise ValueError(
                f"'step: {expression['step']}' means one node, and leads to {len(nodes) + len(scopes)}:"
                " use 'stages' for several"
            )
        return _outputs(view, nodes, scopes, expression)[0]
    found = _outputs(view, *view.entries(query_of(expression)), expression)
    return _combined(found, bool(expression.get("flatten")), bool(expression.get("unwrap")))


def _outputs(
    view: View, nodes: Sequence[int], scopes: Sequence[View], expression: JSON
) -> list[JSON]:
    output = expression.get("output")
    if scopes and not nodes:
        return [_registered(output, scope) for scope in scopes]
    if scopes:
        raise ValueError("a selection leads to nodes and to sub-workflows: it must be one kind")
    return [_output(view, node, output) for node in nodes]


def _output(view: View, node: int, output: str | None) -> JSON:
    """What one node has published under a name, or where a JSONPath leads."""
    referred = view.referred(node)
    if output is None:
        return referred
    if isinstance(referred, dict) and output in referred:
        return referred[output]
    found = find(output, referred)
    if len(found) != 1:
        names = _few(referred) if isinstance(referred, dict) else "no names at all"
        what = f"leads to {len(found)} values" if found else "is not there"
        raise ValueError(f"the output '{output}' {what}; published is {names}")
    return found[0]


def _combined(found: list[JSON], flatten: bool, unwrap: bool) -> JSON:
    """Several outputs as one list, or what it holds where that is one thing and wanted so."""
    if flatten:
        found = [item for each in found for item in (each if isinstance(each, list) else [each])]
    return found[0] if unwrap and len(found) == 1 else found


def _registered(key: str | None, scope: View) -> JSON:
    """A registered value of a sub-workflow."""
    if key is None:
        raise ValueError(
            "a selection of a sub-workflow needs an 'output', the name of a registered value"
        )
    expression = scope.values.get(key)
    if expression is None:
        fix = f"it registers {_few(scope.values)}" if scope.values else "it registers none"
        raise ValueError(f"the sub-workflow has no registered value '{key}'; {fix}")
    return evaluated(expression, scope)


def _only_scope(view: View, path: str) -> View:
    _, scopes = view.entries(path)
    if len(scopes) != 1:
        raise ValueError(f"'scope: {path}' means one sub-workflow, and leads to {len(scopes)}")
    return scopes[0]


def _few(names: Iterable[str]) -> str:
    every = list(names)
    more = f" and {len(every) - SHOWN} more" if len(every) > SHOWN else ""
    return ", ".join(every[:SHOWN]) + more if every else "nothing"
