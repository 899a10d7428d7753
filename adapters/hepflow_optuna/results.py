"""What a study gives: its best trial, the table of all, and a picture of how it went."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Sequence
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from hepflow_optuna.definition import Data, Definition
from hepflow_optuna.history import NAME, Memory


def conclude(
    study: Data, told: Sequence[Data], table: str, storage: str, plots: str = ""
) -> dict[str, Any]:
    """Finds the best trial, and writes the table, the storage and the plots.

    Args:
        told: the results of all trials.
        table: the CSV file to write.
        storage: the journal to write, for Optuna's own programs.
        plots: the PNG file to draw; empty for none.

    Returns:
        The best trial's number, value and parameters, the direction, and how many trials were
        complete, pruned and failed.

    Raises:
        RuntimeError: no trial has a value.
        ImportError: plots are wanted, and there is no matplotlib.
    """
    definition = Definition.of(study)
    complete = [record for record in told if record["state"] == "complete"]
    if not complete:
        raise RuntimeError(
            f"none of the study's {len(told)} trials has a value: each failed, was pruned, or gave"
            " no number"
        )
    write_table(told, list(definition.distributions), table)
    memory = Memory(definition, told)
    write_storage(memory, storage)
    if plots:
        from hepflow_optuna.plots import draw

        draw(memory.study, told, definition, plots)
    sign = 1 if definition.direction == "minimize" else -1
    best = min(complete, key=lambda record: (sign * record["value"], record["number"]))
    states = [record["state"] for record in told]
    return {
        "trial": best["number"],
        "value": best["value"],
        "parameters": best["parameters"],
        "direction": definition.direction,
        "trials": {state: states.count(state) for state in ("complete", "pruned", "failed")},
    }


def write_storage(memory: Memory, path: str) -> None:
    """The study as a journal: ``optuna-dashboard FILE`` shows it, and ``load_study`` opens it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that journals are experimental
        storage = JournalStorage(JournalFileBackend(path))
        optuna.copy_study(from_study_name=NAME, from_storage=memory.storage, to_storage=storage)


def write_table(told: Sequence[Data], parameters: Sequence[str], path: str) -> None:
    """All trials, a row each."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["trial", "state", "value", *parameters, "rounds"])
        for record in told:
            values = [record["parameters"].get(name) for name in parameters]
            writer.writerow(
                [
                    record["number"],
                    record["state"],
                    record["value"],
                    *values,
                    len(record["reports"]),
                ]
            )
