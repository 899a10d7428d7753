"""One trial's life, as functions of what came before: ask, prune between rounds, tell."""

from __future__ import annotations

import base64
import pickle
import warnings
import zlib
from collections.abc import Sequence
from typing import Any

from hepflow_optuna.definition import Data, Definition
from hepflow_optuna.history import Memory, frozen


def ask(
    study: Data, number: int, told: Sequence[Data], asked: Sequence[Data], state: str = ""
) -> dict[str, Any]:
    """Suggests the parameters of a trial.

    Args:
        study: its definition, as the recipe's tool writes it.
        number: of the trial, from 0.
        told: the trials whose results are to be considered.
        asked: all trials before this one, in order; of those not told the results are not known.
        state: what the sampler was when it had suggested the trial before; empty for the first.

    Returns:
        ``trial``: the record of the new trial; ``state``: what the sampler is now.

    Raises:
        ValueError: the definition is not sound; a sentence.
        ModuleNotFoundError: the sampler needs a package that is not there; a sentence.
    """
    definition = Definition.of(study)
    known = {record["number"]: record for record in told}
    records = [known.get(record["number"], record) for record in asked]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a sampler is experimental, or re-evaluates its grid
        sampler, attributes = _thawed(state) if state else (definition.make_sampler(), {})
        memory = Memory(definition, records, sampler, attributes)
        if number < len(definition.first):
            memory.study.enqueue_trial(dict(definition.first[number]))
        try:
            suggested = memory.study.ask(dict(definition.distributions))
        except ModuleNotFoundError as error:  # Optuna looks for some only when they are used
            raise ModuleNotFoundError(
                f"the sampler {type(sampler).__name__!r} needs a package that is not installed: "
                f"pip install {error.name}"
            ) from error
    made = memory.storage.get_all_trials(memory.id)[-1]
    trial = {
        "number": number,
        "parameters": suggested.params,
        "attributes": made.system_attrs,
    }
    return {"trial": trial, "state": _frozen_state(sampler, memory.attributes)}


def _frozen_state(sampler: object, attributes: Data) -> str:
    """A sampler with its random numbers, as text: the next trial goes on where this one ended."""
    return base64.b64encode(zlib.compress(pickle.dumps((sampler, dict(attributes)), 4))).decode()


def _thawed(state: str) -> tuple[Any, Data]:
    sampler, attributes = pickle.loads(zlib.decompress(base64.b64decode(state)))
    return sampler, attributes


def prune(
    study: Data,
    trial: Data,
    told: Sequence[Data],
    asked: Sequence[Data],
    progress: Data | None,
    value: float | None,
) -> dict[str, Any]:
    """Whether a trial is to end after a round.

    Args:
        trial: its record.
        told: the trials that its suggestion considered: with the same it is compared here.
        asked: all trials before this one.
        progress: what this function returned after the round before; ``None`` after the first.
        value: of the round that has ended; ``None`` for one that gave no number.

    Returns:
        ``progress``: what all rounds so far reported, whether the trial ends here, and what the pruner
        noted of it.
    """
    before = progress or {"reports": [], "noted": {}}
    if value is None:
        return {**before, "pruned": True}
    definition = Definition.of(study)
    known = {record["number"]: record for record in told}
    records = [known.get(record["number"], record) for record in asked]
    reports = [*before["reports"], value]
    attributes = {**trial["attributes"], **before["noted"]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a pruner is experimental
        memory = Memory(definition, records)
        current = {**trial, "attributes": attributes, "reports": reports}
        number = memory.add(frozen(current, definition))
        pruned = bool(memory.study.pruner.prune(memory.study, memory.storage.get_trial(number)))
    noted = memory.storage.get_trial(number).system_attrs
    return {"reports": reports, "pruned": pruned, "noted": noted}


def tell(trial: Data, value: float | None, progress: Data | None = None) -> dict[str, Any]:
    """The record of a trial that has ended.

    Args:
        value: of the objective; ``None`` for a trial that failed, or gave no number.
        progress: what :func:`prune` returned last.
    """
    reports, noted = (progress["reports"], progress["noted"]) if progress else ([], {})
    state = "failed" if value is None else "complete"
    if progress is not None and progress["pruned"]:
        # As in Optuna: a pruned trial's value is the last that it reported.
        state, value = ("pruned", reports[-1]) if reports else ("failed", None)
    return {
        **trial,
        "attributes": {**trial["attributes"], **noted},
        "state": state,
        "value": value,
        "reports": reports,
    }
