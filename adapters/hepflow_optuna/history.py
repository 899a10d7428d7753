"""Trials as records that the store keeps, and as an Optuna study in memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

import optuna
from optuna.storages import BaseStorage, InMemoryStorage
from optuna.trial import FrozenTrial, TrialState

from hepflow_optuna.definition import Data, Definition

NAME: Final = "study"
"""Of every study in memory: a pruner chooses a trial's bracket by it, so it must not change."""

_WHEN: Final = datetime(2000, 1, 1)
"""When every trial was: no sampler asks, and answers must not depend on the time of day."""

STATES: Final = {
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
    "running": TrialState.RUNNING,
}


def frozen(record: Data, definition: Definition) -> FrozenTrial:
    """A trial as Optuna knows it."""
    state = STATES[record.get("state", "running")]
    values = record["parameters"]
    over = state.is_finished()
    return FrozenTrial(
        number=record["number"],
        trial_id=record["number"],
        state=state,
        value=record.get("value"),
        datetime_start=_WHEN,
        datetime_complete=_WHEN if over else None,
        params=dict(values),
        distributions={name: definition.distributions[name] for name in values},
        user_attrs={},
        system_attrs=dict(record["attributes"]),
        intermediate_values=dict(enumerate(record.get("reports", ()))),
    )


class Memory:
    """An Optuna study in memory, made from records.

    Args:
        records: of all trials so far, by number, without gaps.
        attributes: what the sampler has noted for the study as a whole.
    """

    def __init__(
        self,
        definition: Definition,
        records: Iterable[Data],
        sampler: optuna.samplers.BaseSampler | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.storage: BaseStorage = InMemoryStorage()
        self.study = optuna.create_study(
            storage=self.storage,
            sampler=sampler,
            pruner=definition.make_pruner(),
            study_name=NAME,
            direction=definition.direction,
        )
        self.id = self.storage.get_study_id_from_name(NAME)
        for key, value in (attributes or {}).items():
            self.storage.set_study_system_attr(self.id, key, value)
        for record in sorted(records, key=lambda record: record["number"]):
            self.add(frozen(record, definition))

    def add(self, trial: FrozenTrial) -> int:
        """Puts a trial into the study; its id there."""
        return int(self.storage.create_new_trial(self.id, template_trial=trial))

    @property
    def attributes(self) -> dict[str, Any]:
        """What the sampler has noted for the study as a whole."""
        return dict(self.storage.get_study_system_attrs(self.id))
