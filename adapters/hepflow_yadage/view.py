"""The tree of what has been made so far, as the queries of a stage see it.

A stage's value is the list of what it made, or ``None`` where it was passed over. An entry is a node,
``{result, workdir}`` (of ``init`` a list of folders), or a scope, ``{stages, values}``, or ``None`` where no case held. Owns how queries find
entries, and how results are referred to until a node really takes them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from hepflow.model.values import Value, files_in
from hepflow_yadage.paths import Known
from hepflow_yadage.queries import find
from hepflow_yadage.specs import JSON

NODE, OFFSET = "_nodeid", "_offset"
"""What yadage's own tree has for a node and for a scope; jq programs look for the former."""


class Reference(NamedTuple):
    """One leaf of a node's result, which is not copied before it is known who takes it."""

    node: int
    path: tuple[str | int, ...]


class View:
    """What a stage sees: the stages of its own scope, and those within them.

    Args:
        stages: values by name; of every stage that the queries begin with.
        values: registered expressions by name.
        above: the view this is a part of.
    """

    def __init__(
        self,
        stages: Mapping[str, Value],
        values: Mapping[str, JSON],
        above: View | None = None,
    ) -> None:
        self.values = values
        self.known: Known = above.known if above else Known()
        self._nodes: list[Mapping[str, Value]] = above._nodes if above else []
        self._results: dict[int, JSON] = above._results if above else {}
        self._scopes: list[View] = above._scopes if above else []
        self.tree: dict[str, JSON] = {}
        for name, entries in stages.items():
            made = [self._entry(entry) for entry in _list(entries) if entry is not None]
            if made:
                self.tree[name] = made

    def _entry(self, entry: Any) -> dict[str, JSON]:
        if "stages" not in entry:
            self._nodes.append(entry)
            return {NODE: len(self._nodes) - 1}
        inner = View(entry["stages"], entry["values"], self)
        self._scopes.append(inner)
        return {OFFSET: len(self._scopes) - 1, **inner.tree}

    # --- finding --------------------------------------------------------------------------------------

    def matches(self, path: str) -> list[JSON]:
        """What a JSONPath leads to in the tree: lists of entries, or entries."""
        return find(path, self.tree)

    def entries(self, path: str) -> tuple[list[int], list[View]]:
        """The nodes and the scopes that a JSONPath leads to, those of a stage one by one."""
        nodes: list[int] = []
        scopes: list[View] = []
        for match in self.matches(path):
            for entry in match if isinstance(match, list) else [match]:
                if isinstance(entry, dict) and NODE in entry:
                    nodes.append(entry[NODE])
                elif isinstance(entry, dict) and OFFSET in entry:
                    scopes.append(self._scopes[entry[OFFSET]])
        return nodes, scopes

    # --- results --------------------------------------------------------------------------------------

    def result(self, node: int) -> JSON:
        """What a node has published, as JSON."""
        if node not in self._results:
            self._results[node] = self.known.texts(self._nodes[node]["result"])
        return self._results[node]

    def referred(self, node: int) -> JSON:
        """What a node has published, with a reference for each leaf."""
        return leaves_replaced(self.result(node), lambda path: Reference(node, path))

    def folders(self, node: int) -> list[str]:
        """Where a node ran; of ``init`` where all it was given comes from."""
        places = [place.location for place in files_in(self._nodes[node].get("workdir"))]
        for place in places:
            self.known.allow(place)
        return places

    def taken(self, value: JSON, folders: dict[str, None]) -> JSON:
        """A value with references replaced by what they refer to; ``folders`` gets the nodes' folders."""
        if isinstance(value, Reference):
            folders.update(dict.fromkeys(self.folders(value.node)))
            found = self.result(value.node)
            for part in value.path:
                found = found[part]
            return found
        if isinstance(value, dict):
            return {key: self.taken(item, folders) for key, item in value.items()}
        if isinstance(value, list):
            return [self.taken(item, folders) for item in value]
        return value


def leaves_replaced(data: JSON, by: Callable[[tuple[str | int, ...]], JSON]) -> JSON:
    """JSON data with every leaf replaced by what is made of its path."""

    def replaced(value: JSON, path: tuple[str | int, ...]) -> JSON:
        if isinstance(value, dict):
            return {key: replaced(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [replaced(item, (*path, index)) for index, item in enumerate(value)]
        return by(path)

    return replaced(data, ())


def _list(entries: Value) -> Iterator[Value]:
    if isinstance(entries, Sequence) and not isinstance(entries, str):
        yield from entries
