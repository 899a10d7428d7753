"""Keeping a record of runs in MLflow.

One MLflow run for each run of ours, found again by a tag when that is resumed: its parameters are the
inputs, its metrics the numbers among the outputs (and those that steps call metrics), its artifacts
the figures and models. Trials of studies are nested runs.
"""

from hepflow_mlflow.tracker import MlflowTracker

__all__ = ["MlflowTracker"]
