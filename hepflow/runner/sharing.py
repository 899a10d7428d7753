"""One piece of work, asked for several times at once, is done once.

Within a run the first to ask leads and the others follow; between runs, whoever has written the
intent first has it in hand, and the others wait for its result.
"""

from __future__ import annotations

from collections.abc import Iterator

from hepflow.model.events import Submit
from hepflow.runner.planner import Identity


class Sharing:
    """Who does which work, and who waits for it. Keys are those of the content cache."""

    def __init__(self) -> None:
        self._leaders: dict[bytes, str] = {}
        self._followers: dict[bytes, list[Submit]] = {}
        self._elsewhere: dict[bytes, int] = {}

    def leads(self, submit: Submit, identity: Identity) -> bool:
        """Whether an attempt is to be made; if not, it follows the one under way."""
        if not (identity.key and identity.cache):
            return True
        if self._leaders.setdefault(identity.key, submit.attempt) == submit.attempt:
            return True
        self._followers.setdefault(identity.key, []).append(submit)
        return False

    def over(self, key: bytes, attempt: str) -> list[Submit]:
        """An attempt ended, however: those that followed it."""
        if not key or self._leaders.get(key) != attempt:
            return []
        del self._leaders[key]
        return self._followers.pop(key, [])

    def leave_to(self, key: bytes, run: int) -> bool:
        """Another run has it in hand; its leader here waits. Whether it is the first such work."""
        first = not self._elsewhere
        self._elsewhere[key] = run
        return first

    def elsewhere(self) -> Iterator[tuple[bytes, int]]:
        """The work left to other runs, and to which."""
        yield from list(self._elsewhere.items())

    def take_back(self, key: bytes) -> str:
        """Another run is done with it, well or badly: the attempt here that waited for it."""
        del self._elsewhere[key]
        return self._leaders.get(key, "")
