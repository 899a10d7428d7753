"""What an MLflow store has of a run, read back with MLflow itself."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hepflow import api

pytest.importorskip("mlflow")
pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's, of its own making

RECIPE = """\
hepflow: v1
name: fit
inputs: {events: 100, password: hunter22, broken: false, trials: 3}
tracking: mlflow
steps:
  draw:
    command: "printf fake > {{ outputs.plot }}; printf weights > {{ outputs.net }}; ! {{ inputs.broken }}"
    outputs: {plot: plot.png, net: net.pt}
  fit:
    scatter: {i: [1, 2]}
    command: "echo '{\\"chi2\\": {{ i }}.5}' > {{ outputs.metrics }}"
    outputs: {metrics: {path: m.json, read: json}}
outputs: {net: draw.net, plot: draw.plot, best: "{{ fit.metrics[0] }}"}
"""

STUDY = """\
hepflow: v1
name: tune
inputs: {trials: 3}
tracking: mlflow
steps:
  tune:
    study: {parameters: {x: [1, 2]}, minimize: "{{ outputs.v }}", trials: "{{ inputs.trials }}", sampler: random, plots: false}
    command: "echo {{ x }} > {{ outputs.v }}"
    outputs: {v: {path: v, read: json}}
outputs: {v: tune.v}
"""


class Lab:
    """A project, and the MLflow store beside its own."""

    def __init__(self, folder: Path, empty: Path) -> None:
        self.project = api.Project(folder)
        store = folder / ".hepflow/mlflow"
        store.mkdir(parents=True)
        shutil.copy(empty, store / "mlflow.db")

    def run(self, text: str, **values: object) -> api.RunResult:
        path = self.project.folder / "recipe.yaml"
        path.write_text(text)
        workflow = api.load(path)
        given = {name: str(value) for name, value in values.items()}
        return api.run(workflow, api.read_inputs(workflow, values=given), project=self.project)

    @property
    def client(self) -> Any:
        from mlflow.tracking import MlflowClient

        logging.getLogger("mlflow").setLevel(logging.ERROR)
        path = self.project.folder / ".hepflow/mlflow/mlflow.db"
        return MlflowClient(tracking_uri=f"sqlite:///{path}")

    def runs(self, experiment: str) -> list[Any]:
        found = self.client.get_experiment_by_name(experiment)
        return list(self.client.search_runs([found.experiment_id]))


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow store without runs, made once: making one takes MLflow seconds."""
    from mlflow.tracking import MlflowClient

    logging.getLogger("mlflow").setLevel(logging.ERROR)
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, empty: Path) -> Iterator[str]:
    """The address of MLflow's own server, which answers in a thread and keeps files itself."""
    serving = pytest.importorskip("werkzeug.serving")
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(empty, folder / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("_MLFLOW_SERVER_FILE_STORE", f"sqlite:///{folder}/mlflow.db")
        patch.setenv("_MLFLOW_SERVER_ARTIFACT_DESTINATION", str(folder / "artifacts"))
        patch.setenv("_MLFLOW_SERVER_ARTIFACT_ROOT", "mlflow-artifacts:/")
        patch.setenv("_MLFLOW_SERVER_SERVE_ARTIFACTS", "true")
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        app = pytest.importorskip("mlflow.server", exc_type=ImportError).app
        served = serving.make_server("127.0.0.1", 0, app, threaded=True)
        thread = threading.Thread(target=served.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{served.server_port}"
        served.shutdown()
        thread.join()
        served.server_close()


@pytest.fixture
def lab(tmp_path: Path, empty: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return Lab(tmp_path, empty)


def test_a_run_is_there_with_parameters_metrics_figures_and_models(lab: Lab) -> None:
    result = lab.run(RECIPE)
    assert (result.succeeded, result.warnings) == (True, ())
    (found,) = lab.runs("fit")
    assert found.info.status == "FINISHED"
    assert found.data.params["events"] == "100"
    assert found.data.metrics == {"best.chi2": 1.5, "fit.0.chi2": 1.5, "fit.1.chi2": 2.5}
    files = {
        file.path
        for folder in ("figures/plot", "models/net")
        for file in lab.client.list_artifacts(found.info.run_id, folder)
    }
    assert files == {"figures/plot/plot.png", "models/net/net.pt"}
    assert abs(found.info.end_time / 1000 - result.run.ended) < 1


def test_a_resumed_run_goes_on_in_the_same_mlflow_run(lab: Lab) -> None:
    assert not lab.run(RECIPE, broken="true").succeeded
    (failed,) = lab.runs("fit")
    assert failed.info.status == "FAILED"
    path = lab.project.folder / "recipe.yaml"
    path.write_text(RECIPE.replace("; ! {{ inputs.broken }}", ""))
    assert api.resume(lab.project).succeeded
    (found,) = lab.runs("fit")
    assert (found.info.run_id, found.info.status) == (failed.info.run_id, "FINISHED")


def test_trials_of_a_study_are_nested_runs(lab: Lab) -> None:
    pytest.importorskip("optuna")
    assert lab.run(STUDY).succeeded
    runs = {run.data.tags["mlflow.runName"]: run for run in lab.runs("tune")}
    assert set(runs) == {"tune 1", *(f"tune/trial[{n}]" for n in range(3))}
    parent = runs.pop("tune 1").info.run_id
    for trial in runs.values():
        assert trial.data.tags["mlflow.parentRunId"] == parent
        assert trial.data.metrics["objective"] == float(trial.data.params["x"])
        assert trial.info.status == "FINISHED"


@pytest.mark.slow
def test_a_trial_that_was_told_by_half_is_told_to_its_end(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("optuna")
    from hepflow_mlflow.tracker import MlflowTracker

    def dies(*_: object) -> None:
        raise OSError("the head is gone")

    with monkeypatch.context() as patch:
        patch.setattr("hepflow_mlflow.tracker._log_trial", dies)
        lab.run(STUDY, trials=2)
    (half,) = [run for run in lab.runs("tune") if "hepflow.trial" in run.data.tags]
    assert (half.info.status, half.data.metrics) == ("RUNNING", {})
    MlflowTracker(lab.project.folder / ".hepflow/mlflow", {}).track(api.record(lab.project, 1))
    trials = [run for run in lab.runs("tune") if "hepflow.trial" in run.data.tags]
    assert len(trials) == 2
    assert {run.info.status for run in trials} == {"FINISHED"}
    assert half.info.run_id in {run.info.run_id for run in trials}
    assert all(run.data.metrics["objective"] == float(run.data.params["x"]) for run in trials)


def test_a_server_has_what_a_store_of_ones_own_has_and_prints_nothing(
    lab: Lab, server: str, capfd: pytest.CaptureFixture[str]
) -> None:
    from mlflow.tracking import MlflowClient

    pytest.importorskip("optuna")
    address = f"tracking: {{mlflow: {{uri: '{server}', experiment: here}}}}"
    capfd.readouterr()
    result = lab.run(STUDY.replace("tracking: mlflow", address))
    assert (result.succeeded, result.warnings) == (True, ())
    assert lab.run(RECIPE.replace("tracking: mlflow", address)).succeeded
    assert capfd.readouterr().out == ""  # which may be JSON, for a program
    client = MlflowClient(tracking_uri=server)
    experiment = client.get_experiment_by_name("here")
    runs = {
        run.data.tags["mlflow.runName"]: run
        for run in client.search_runs([experiment.experiment_id])
    }
    assert sorted(runs) == ["fit 2", "tune 1", *(f"tune/trial[{n}]" for n in range(3))]
    assert runs["fit 2"].data.metrics["best.chi2"] == 1.5
    files = client.list_artifacts(runs["fit 2"].info.run_id, "figures/plot")
    assert [file.path for file in files] == ["figures/plot/plot.png"]


def test_no_secret_reaches_the_store(lab: Lab) -> None:
    lab.run(RECIPE)
    (found,) = lab.runs("fit")
    assert found.data.params["password"] == "***"
    assert b"hunter22" not in (lab.project.folder / ".hepflow/mlflow/mlflow.db").read_bytes()


def test_a_server_that_is_not_there_costs_the_run_nothing(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    text = RECIPE.replace("tracking: mlflow", "tracking: {mlflow: {uri: 'http://me:hunter22@127.0.0.1:9'}}")  # fmt: skip
    result = lab.run(text)
    assert result.succeeded
    (warning,) = result.warnings
    assert warning.startswith("no record was kept by mlflow: ")
    assert "hunter22" not in warning
