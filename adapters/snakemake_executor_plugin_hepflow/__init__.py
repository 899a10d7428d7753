"""Snakemake's executor ``hepflow``: ``snakemake --executor hepflow --hepflow-site slurm``.

The package's name is Snakemake's convention: that is how it finds executors. It is a face on the top
floor, beside the command line: Snakemake plans, and hands each job that is ready to a run of hepflow.
"""

from dataclasses import dataclass, field

from snakemake_interface_executor_plugins.settings import CommonSettings, ExecutorSettingsBase

from snakemake_executor_plugin_hepflow.executor import Executor

__all__ = ["Executor", "ExecutorSettings", "common_settings"]

common_settings = CommonSettings(
    non_local_exec=True,
    implies_no_shared_fs=False,
    job_deploy_sources=False,
)


@dataclass
class ExecutorSettings(ExecutorSettingsBase):  # type: ignore[misc]  # Snakemake has no types
    """The options of Snakemake's command line that are this executor's."""

    site: str = field(
        default="",
        metadata={
            "help": "Where jobs run: a site of hepflow by name, or a site file; several with commas "
            "between them. Without it, this machine."
        },
    )
    project: str = field(
        default="",
        metadata={
            "help": "The folder whose .hepflow has the store. Without it, the nearest one "
            "upwards that has one, else the working directory."
        },
    )
    cpus: float = field(
        default=0.0, metadata={"help": "Cores of this machine that jobs may use; 0 for all."}
    )
    reuse: bool = field(
        default=False,
        metadata={
            "help": "Take the results of plain shell jobs from the store where the same command was "
            "run on the same input before, rather than run it. Never for jobs that were forced."
        },
    )
    standard: bool = field(
        default=False,
        metadata={"help": "Run every job by a Snakemake of its own, plain shell jobs as well."},
    )
    within: int = field(
        default=0,
        metadata={"help": "The number of the run that this is part of, whose options count here."},
    )
    listing: str = field(
        default="", metadata={"help": "A file to write the paths of all targets to, as JSON."}
    )
