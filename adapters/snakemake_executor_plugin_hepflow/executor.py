"""The executor as Snakemake sees it: jobs in, the news of their ends out."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from snakemake.shell import shell
from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.executors.real import RealExecutor
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor

from hepflow.model.values import Values
from hepflow.model.workflow import Step
from snakemake_executor_plugin_hepflow.jobs import (
    Kept,
    ShellJob,
    StandardJob,
    as_values,
    environment,
    kept_outputs,
    named_files,
    plain_command,
    put_in_place,
    resources_of,
    step_name,
    target_files,
)

if TYPE_CHECKING:
    from hepflow import api

LOOK_S: Final = 0.1
"""How often Snakemake's own thread looks whether all is over."""

SNAKEMAKE_MIB: Final = 512
"""Memory that a Snakemake on a node surely gets along with; it was seen to take 110 MiB."""

FORGOTTEN: Final = ("temp", "touch", "pipe", "service", "nodelocal", "update")
"""Flags of outputs that do not outlive their readers, or are not the command's own work: the store keeps
no output of such a job."""


class Executor(RemoteExecutor):  # type: ignore[misc]  # Snakemake has no types
    """Hands Snakemake's jobs to a run of hepflow."""

    def __post_init__(self) -> None:
        from hepflow import api

        settings = self.workflow.executor_settings
        self._workdir = os.getcwd()
        self._standard = settings.standard or not self.is_default_jobscript
        self._listing = settings.listing
        self.next_seconds_between_status_checks = LOOK_S
        found = Path(settings.project).absolute() if settings.project else None
        project = api.Project(found) if found else api.Project.find()
        options = api.RunOptions(
            site=tuple(filter(None, settings.site.split(","))),
            cpus=settings.cpus or None,
            reuse=settings.reuse or bool(settings.within),  # the run around it says
        )
        name = Path(self.workflow.main_snakefile).name
        try:
            self._run = api.feed(name, project=project, options=options, within=settings.within)
        except api.HepflowError as error:
            first = error.problems[0]
            said = "; ".join(filter(None, (first.what, first.why, first.fix)))
            raise WorkflowError(said) from None
        # Snakemake's handlers show a message without its arguments.
        said = f"This is run {self._run.number} of hepflow, as 'hepflow status' shows it."
        self.logger.info(said)

    # --- what Snakemake asks ----------------------------------------------------------------------

    def run_job(self, job: Any) -> None:
        """Hand a job over; it is told of when it ends."""
        command = "" if self._standard else plain_command(job, self.workflow)
        if command:
            self._hand_over_plain(job, command)
        else:
            script = f"{self.get_jobscript(job)}"
            self.write_jobscript(job, script)
            asked = resources_of(job, self._run.here)
            if self._run.here is None:
                # A site's default may be less than Snakemake itself takes, whatever the job does.
                asked = replace(asked, memory_mib=max(asked.memory_mib, SNAKEMAKE_MIB))
            tool = StandardJob(f"exec sh {shlex.quote(script)}", self._workdir, asked)
            self._hand_over(job, Step(step_name(job), tool, cache=False), {})

    def _hand_over_plain(self, job: Any, command: str) -> None:
        anew = self._wanted_anew(job)
        self.workflow.async_run(job.prepare())
        kept: tuple[Kept, ...] = ()
        inputs: Values = {}
        if not any(output.is_flagged(flag) for output in job.output for flag in FORGOTTEN):
            kept = kept_outputs(job.output, [output.is_directory for output in job.output])
            scripts = named_files(command, self._workdir, [*job.input, *job.output, *job.log])
            inputs = as_values([*job.input, *scripts], self._workdir)
        env = environment(job, self.envvars())
        tool = ShellJob(
            job.rule.name,
            command,
            shell.get_executable(),
            self._workdir,
            resources_of(job, self._run.here),
            env,
            kept,
        )
        step = Step(job.name, tool, cache=not anew)
        self._hand_over(job, step, inputs, kept)

    def _wanted_anew(self, job: Any) -> bool:
        """Whether somebody asked for the job to run whatever there is.

        ``--rerun-incomplete`` asks for jobs that an interrupted run may have left half done; the store
        knows better which of them had ended.
        """
        if not self.dag.reason(job).forced:
            return False
        if not self.workflow.dag_settings.force_incomplete:
            return True
        return not any(self.workflow.async_run(self.workflow.persistence.incomplete(job)))

    def _hand_over(self, job: Any, step: Step, inputs: Values, kept: tuple[Kept, ...] = ()) -> None:
        title = self._run.title(step.name)
        info = SubmittedJobInfo(job, external_jobid=f"{self._run.number}/{title}")
        # Not the base class's: it would have the job asked after, and each end is told at once.
        RealExecutor.report_job_submission(self, info)
        self._run.put(title, step, inputs, partial(self._ended, info, kept))

    async def check_active_jobs(
        self, active_jobs: list[SubmittedJobInfo]
    ) -> AsyncIterator[SubmittedJobInfo]:
        """None is ever active as Snakemake means it: to be asked after."""
        for info in active_jobs:
            yield info

    def cancel_jobs(self, active_jobs: list[SubmittedJobInfo]) -> None:
        """End the run, with all that is under way."""
        self._run.cancel()

    def shutdown(self) -> None:
        """Close the run's books."""
        self._run.close()
        if self._listing:
            targets = json.dumps(list(target_files(self.dag)))
            Path(self._listing).write_text(targets, encoding="utf-8")
        super().shutdown()

    # --- what the run tells, on its own thread ----------------------------------------------------

    def _ended(self, info: SubmittedJobInfo, kept: tuple[Kept, ...], ended: api.Ended) -> None:
        message = ended.message
        if ended.outputs is not None:
            try:
                put_in_place(kept, ended.outputs, self._workdir)
            except OSError as error:
                message = f"cannot put '{error.filename}' in its place: {error.strerror}"
        if message:
            number = self._run.number
            said = f"{message}. See: hepflow logs {number} '{ended.name}'. "
            self.report_job_error(info, msg=said)
        else:
            self.report_job_success(info)
