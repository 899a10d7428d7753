"""The tracker: from a run's record to what an MLflow store has of it."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hepflow.model.record import RunRecord, Trial, figures_of
from hepflow.model.secrets import masked
from hepflow.model.values import Directory, File, Value, Values, files_in, to_json

if TYPE_CHECKING:
    from mlflow.entities import RunInfo
    from mlflow.tracking import MlflowClient

KEY: Final = "hepflow.run"
TRIAL: Final = "hepflow.trial"
PARENT: Final = "mlflow.parentRunId"
NAME: Final = "mlflow.runName"
UNTOLD: Final = "RUNNING"
"""The state of a trial's run until all of the trial is there; a head may be killed before."""

MODELS: Final = (
    ".pt", ".pth", ".onnx", ".pkl", ".pickle", ".joblib", ".h5", ".keras", ".safetensors", ".ckpt",
)  # fmt: skip
LARGEST: Final = 500_000_000
"""Bytes of a file that still is copied to the tracking store."""
LONGEST_PARAMETER: Final = 6000
"""Characters of a parameter that MLflow keeps (``MAX_PARAM_VAL_LENGTH``)."""
AT_A_TIME: Final = 100
"""Parameters in one request (``MAX_PARAMS_TAGS_PER_BATCH``)."""
METRICS_AT_A_TIME: Final = 1000

STATES: Final = {
    "succeeded": "FINISHED", "failed": "FAILED", "cancelled": "KILLED", "running": "RUNNING",
    "interrupted": "KILLED", "complete": "FINISHED", "pruned": "KILLED",
}  # fmt: skip
_FOREIGN: Final = re.compile(r"[^\w\-. /]")
"""Characters that no name in MLflow may have."""


class MlflowTracker:
    """Keeps a record of runs in an MLflow tracking store.

    Args:
        folder: where the store is if no address says otherwise.
        settings: see ``MlflowTracker.settings``.
    """

    settings: Mapping[str, str] = {
        "uri": "the tracking store's address; $MLFLOW_TRACKING_URI, else SQLite beside hepflow's store",
        "experiment": "the experiment; the recipe's name when not said",
    }

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        if find_spec("mlflow") is None:
            raise ImportError("MLflow is not installed")
        self._folder = folder
        self._uri = settings.get("uri") or os.environ.get("MLFLOW_TRACKING_URI", "")
        self._experiment = settings.get("experiment", "")

    def track(self, run: RunRecord) -> None:
        """Brings the MLflow run up to date."""
        client = self._client()
        experiment = self._experiment_id(client, self._experiment or run.name)
        number = self._begun(client, experiment, run)
        _log(client, number, run.inputs, {**run.metrics, **_named(run.step_metrics)}, run.ended)
        self._log_trials(client, experiment, number, run)
        if run.state == "succeeded":
            self._log_files(client, number, run.outputs)
        if run.state == "running":
            client.update_run(number, status="RUNNING")
        else:
            client.set_terminated(number, STATES[run.state], int(run.ended * 1000) or None)

    def _client(self) -> MlflowClient:
        # A server that does not answer must not keep a run that has ended from ending.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
        # Where a run is on a server it would print, into what --json prints for a program.
        os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
        logging.getLogger("alembic").setLevel(logging.ERROR)
        from mlflow.tracking import MlflowClient

        if self._uri:
            return MlflowClient(tracking_uri=self._uri)
        self._folder.mkdir(parents=True, exist_ok=True)
        return MlflowClient(tracking_uri=f"sqlite:///{self._folder}/mlflow.db")

    def _experiment_id(self, client: MlflowClient, name: str) -> str:
        found = client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        place = None if self._uri else (self._folder / "artifacts").as_uri()
        return str(client.create_experiment(name, artifact_location=place))

    def _begun(self, client: MlflowClient, experiment: str, run: RunRecord) -> str:
        """The MLflow run of a run: the one it has, or a new one."""
        found = _tagged(client, experiment, {KEY: run.key})
        if found:
            return found
        tags = {KEY: run.key, NAME: f"{run.name} {run.id}", "hepflow.recipe": run.recipe}
        made = client.create_run(experiment, start_time=int(run.started * 1000), tags=tags)
        return str(made.info.run_id)

    def _log_trials(
        self, client: MlflowClient, experiment: str, parent: str, run: RunRecord
    ) -> None:
        known = _children(client, experiment, parent)
        for trial in run.trials:
            name = f"{trial.study}/trial[{trial.number}]"
            there = known.get(name)
            if there is not None and there.status != UNTOLD:
                continue
            if there is None:
                tags = {PARENT: parent, TRIAL: name, NAME: name}
                began = int(run.started * 1000)
                there = client.create_run(experiment, start_time=began, tags=tags).info
            number = str(there.run_id)
            _log_trial(client, number, trial)
            client.set_terminated(number, STATES[trial.state])

    def _log_files(self, client: MlflowClient, number: str, outputs: Values) -> None:
        for name, figure in figures_of(outputs).items():
            _upload(client, number, figure, f"figures/{_spelled(name)}")
        for name, value in outputs.items():
            for file in files_in(value):
                if file.name.lower().endswith(MODELS):
                    _upload(client, number, file, f"models/{_spelled(name)}")


def _tagged(client: MlflowClient, experiment: str, tags: Mapping[str, str]) -> str:
    """The run of an experiment with these tags; empty for none."""
    wish = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
    found = client.search_runs([experiment], wish, max_results=1)
    return str(found[0].info.run_id) if found else ""


def _children(client: MlflowClient, experiment: str, parent: str) -> dict[str, RunInfo]:
    """The trials that a run has there, by name."""
    trials: dict[str, RunInfo] = {}
    token: str | None = None
    while True:
        page: Any = client.search_runs(
            [experiment], f"tags.`{PARENT}` = '{parent}'", max_results=1000, page_token=token
        )
        trials.update({found.data.tags.get(TRIAL, ""): found.info for found in page})
        token = page.token
        if not token:
            return trials


def _log(
    client: MlflowClient,
    number: str,
    parameters: Values,
    metrics: Mapping[str, float],
    when: float,
) -> None:
    """Parameters and metrics of a run; those it has already are not changed."""
    from mlflow.entities import Metric, Param

    data = client.get_run(number).data
    new = [
        Param(_spelled(name), _text(name, value))
        for name, value in parameters.items()
        if _spelled(name) not in data.params
    ]
    for start in range(0, len(new), AT_A_TIME):
        client.log_batch(number, params=new[start : start + AT_A_TIME])
    fresh = [
        Metric(_spelled(name), float(value), int(when * 1000), 0)
        for name, value in metrics.items()
        if data.metrics.get(_spelled(name)) != value
    ]
    for start in range(0, len(fresh), METRICS_AT_A_TIME):
        client.log_batch(number, metrics=fresh[start : start + METRICS_AT_A_TIME])


def _log_trial(client: MlflowClient, number: str, trial: Trial) -> None:
    from mlflow.entities import Metric

    value = {} if trial.value is None else {"objective": trial.value}
    _log(client, number, trial.parameters, value, 0.0)
    reports: Sequence[Metric] = [
        Metric("report", float(report), 0, step) for step, report in enumerate(trial.reports)
    ]
    for start in range(0, len(reports), METRICS_AT_A_TIME):
        client.log_batch(number, metrics=reports[start : start + METRICS_AT_A_TIME])


def _named(metrics: Mapping[str, float]) -> dict[str, float]:
    """Metrics of steps under names that MLflow takes: ``fit[3].chi2`` becomes ``fit.3.chi2``."""
    return {name.replace("[", ".").replace("]", ""): value for name, value in metrics.items()}


def _spelled(name: str) -> str:
    return _FOREIGN.sub("_", name)


def _text(name: str, value: Value) -> str:
    if isinstance(value, File | Directory):
        text = value.location
    else:
        text = value if isinstance(value, str) else json.dumps(to_json(value))
    return masked(f"{name}={text}").removeprefix(f"{name}=")[:LONGEST_PARAMETER]


def _upload(client: MlflowClient, number: str, file: File | Directory, folder: str) -> None:
    """Copies a file to the tracking store, unless it is far away, or so large that nobody wants that."""
    path = Path(file.location)
    if path.is_file() and path.stat().st_size <= LARGEST:
        client.log_artifact(number, str(path), folder)
