"""The files an analysis promises, looked for among the outputs of a workflow that knows nothing of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hepflow.model.values import Directory, File, Value, Values, files_in
from hepflow_reana.interface import Entry


@dataclass(frozen=True, slots=True)
class Promised:
    """Finds a promised file among the outputs of a workflow: in a directory of theirs if its path leads
    there, else the one whose path agrees from its end.

    Args:
        names: the outputs, as an expression sees them.
    """

    entry: Entry
    names: tuple[str, ...]

    def evaluate(self, values: Values) -> Value:
        """The file.

        Raises:
            ValueError: there is none of that name, or several that fit equally well.
        """
        kind = Directory if self.entry.directory else File
        every = list(files_in([values[name] for name in self.names]))
        parts = self.entry.path.split("/")
        for item in every:
            if isinstance(item, Directory):
                # A workspace has it at this path, a stage's folder by the rest of the path.
                inside = _inside(item, parts, kind)
                if inside is None and item.name == parts[0] and parts[1:]:
                    inside = _inside(item, parts[1:], kind)
                if inside is not None:
                    return inside
        there = [item for item in every if isinstance(item, kind)]
        best = max((self._agreement(item) for item in there), default=0)
        found = {item.location: item for item in there if best and self._agreement(item) == best}
        if len(found) == 1:
            return next(iter(found.values()))
        what = f"the promised '{self.entry.path}'"
        if found:
            raise ValueError(f"{what} may be any of {', '.join(sorted(found))}")
        names = ", ".join(sorted({item.name for item in there})) or "none"
        raise ValueError(f"{what} is not among the outputs of the workflow: {names}")

    def _agreement(self, item: File | Directory) -> int:
        """How many parts of the paths are the same, from their ends."""
        ours = self.entry.path.split("/")
        theirs = [*item.location.rstrip("/").split("/")[:-1], item.name]
        count = 0
        for one, other in zip(reversed(ours), reversed(theirs), strict=False):
            if one != other:
                break
            count += 1
        return count


def _inside(
    directory: Directory, parts: Sequence[str], kind: type[File] | type[Directory]
) -> File | Directory | None:
    """What stands at a path below a directory, if that is of the wanted kind."""
    if directory.listing is None:
        path = Path(directory.location, *parts)
        is_there = path.is_dir() if kind is Directory else path.is_file()
        return kind(str(path)) if is_there else None
    for item in directory.listing:
        if item.name == parts[0]:
            if len(parts) == 1:
                return item if isinstance(item, kind) else None
            return _inside(item, parts[1:], kind) if isinstance(item, Directory) else None
    return None
