"""Telling trackers of a run: whom, when, and that nothing they do can cost the run anything.

What they are told is the run's record, read from the store: at the beginning beside the run, in a
thread, so that a slow server keeps nobody waiting; and at the end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from threading import Thread
from typing import Final, cast

from hepflow import plugins
from hepflow.model.errors import UnavailableError, UsageError
from hepflow.model.protocols import Tracker, TrackerClass
from hepflow.model.secrets import masked
from hepflow.recording import record_of
from hepflow.store.database import Place

NOBODY: Final = "none"


class Tracking:
    """The trackers of one run.

    Args:
        place: the store that has it.
        trackers: by name.
    """

    def __init__(self, place: Place, run: int, trackers: Mapping[str, Tracker]) -> None:
        self._place = place
        self._run = run
        self._trackers = trackers
        self._beginning: Thread | None = None
        self._faults: dict[str, str] = {}
        self._ended = False

    def begin(self) -> None:
        """The run has begun, or goes on."""
        if self._trackers:
            self._beginning = Thread(target=self._track, name="tracking", daemon=True)
            self._beginning.start()

    def end(self) -> tuple[str, ...]:
        """The run has ended; further calls only repeat what went wrong, a sentence each."""
        if self._trackers and not self._ended:
            self._ended = True
            if self._beginning is not None:
                self._beginning.join()
            self._track()
        return tuple(self._faults.values())

    def _track(self) -> None:
        for name, tracker in self._trackers.items():
            try:
                tracker.track(record_of(self._place, self._run))
            except Exception as error:  # noqa: BLE001 - whatever it is, the run goes on
                said = masked(" ".join(str(error).split())) or type(error).__name__
                self._faults[name] = f"no record was kept by {name}: {said:.300}"
            else:
                self._faults.pop(name, None)


def open_tracking(
    place: Place,
    run: int,
    wished: Mapping[str, Mapping[str, str]],
    named: Sequence[str] = (),
) -> Tracking:
    """The trackers of a run, none of them told anything yet.

    Args:
        wished: those that its recipe names, with their settings.
        named: those that the user names instead; ``none`` for nobody.

    Raises:
        UnavailableError: there is no such tracker, or its library is not installed.
        UsageError: it takes no such setting.
    """
    names = [name for name in named or wished if name != NOBODY]
    return Tracking(
        place, run, {name: _tracker(place, name, wished.get(name, {})) for name in names}
    )


def _tracker(place: Place, name: str, settings: Mapping[str, str]) -> Tracker:
    kind = cast("TrackerClass", plugins.load(plugins.TRACKERS, name))
    for key in settings:
        if key not in kind.settings:
            near = get_close_matches(key, kind.settings, n=1)
            known = ", ".join(f"{known} ({what})" for known, what in kind.settings.items())
            raise UsageError.of(
                "HF315", f"tracking: {name} takes no setting '{key}'", why=f"it takes {known}",
                fix=f"did you mean '{near[0]}'?" if near else "",
            )  # fmt: skip
    try:
        return kind(place.folder / name, settings)
    except ImportError as error:
        raise UnavailableError.of(
            "HF402", f"the tracker '{name}' cannot be used here", why=str(error),
            fix=f"pip install 'hepflow[{name}]', or run with --tracking {NOBODY}",
        ) from None  # fmt: skip
    except ValueError as error:
        raise UsageError.of("HF315", f"tracking: {name}: {masked(str(error))}") from None
