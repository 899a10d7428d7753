"""From Snakemake's jobs to tasks: plain shell jobs as their own command, all others through Snakemake.

Starting Snakemake takes seconds and a shell command milliseconds, so what need not have Snakemake
around it does without. Whatever else a rule can ask for (a script, a conda environment, a shadow
folder, a benchmark, a pipe) is Snakemake's work, and goes through its standard job script.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from snakemake.shell import shell
from snakemake_interface_executor_plugins.settings import DeploymentMethod

from hepflow.model.site import Queue
from hepflow.model.task import Outcome, Output, Resources, Shell, Task
from hepflow.model.values import Directory, File, Values, canonical
from hepflow.model.workflow import PlanContext

LONGEST_COMMAND: Final = 100_000
"""Characters that surely fit into one argument of a program; Snakemake writes longer ones to a file."""

MINUTE_S: Final = 60.0
MB: Final = 1_000_000
MIB: Final = 1 << 20
THREAD_VARIABLES: Final = (
    "OMP_NUM_THREADS", "GOTO_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS",
)  # fmt: skip
"""Those that Snakemake's own ``shell`` sets to the job's threads."""
TMPDIR_VARIABLES: Final = ("TMPDIR", "TMP", "TEMPDIR", "TEMP")
_AT_RANDOM: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}_")
"""How the name of a group begins that nobody has named: jobs with a pipe between them."""
TO_BE_DETERMINED: Final = "<TBD>"
"""What Snakemake writes for a resource that only the node knows."""


def plain_command(job: Any, workflow: Any) -> str:
    """The whole command of a job that needs no Snakemake around it; empty for any other.

    Args:
        job, workflow: Snakemake's own. What is asked of them is more than its published interface has.
    """
    if job.is_group() or not job.is_shell or _needs_snakemake(job, workflow):
        return ""
    command = job.shellcmd
    executable = job.resources.get("shell_exec") or shell.get_executable()
    if executable != shell.get_executable() or TO_BE_DETERMINED in command:
        return ""
    prefix, suffix = shell._get_process_prefix(executable), shell._process_suffix
    whole = f"{prefix} {command} {suffix}".strip()
    return whole if len(whole) <= LONGEST_COMMAND else ""


def _needs_snakemake(job: Any, workflow: Any) -> bool:
    methods = workflow.deployment_settings.deployment_method
    caches = workflow.workflow_settings.cache is not None and job.rule.cache
    return bool(
        job.is_shadow
        or job.is_containerized
        or job.benchmark
        or (caches and caches.output)
        or job.is_pipe
        or job.is_service
        or (DeploymentMethod.CONDA in methods and job.conda_env)
        or (DeploymentMethod.APPTAINER in methods and job.container_img_url)
        or (DeploymentMethod.ENV_MODULES in methods and job.env_modules)
        or any(path.is_storage for path in (*job.input, *job.output, *job.log))
    )


def environment(job: Any, declared: Mapping[str, str]) -> dict[str, str]:
    """The variables of a plain job, as Snakemake's ``shell`` sets them.

    Args:
        declared: those that the workflow says it needs (``envvars``).
    """
    variables = {**declared, **dict.fromkeys(THREAD_VARIABLES, str(job.threads))}
    tmpdir = job.resources.get("tmpdir")
    if type(tmpdir) is str:  # else only the node knows
        variables.update(dict.fromkeys(TMPDIR_VARIABLES, tmpdir))
    return variables


def resources_of(job: Any, most: Queue | None) -> Resources:
    """What a job asks for, by Snakemake's standard resources.

    ``threads``, ``mem_mb`` or ``mem_mib``, ``disk_mb`` or ``disk_mib``, ``runtime`` (minutes),
    ``gpu`` and ``gpu_model``, as Snakemake's documentation and its executors for clusters have them.

    Args:
        most: what there is where there is one machine only. Snakemake takes resources there as numbers
            to count, and runs a job that asks for more than there is; so it gets what there is.
    """
    asked = job.resources
    found = Resources(
        cpus=float(max(1, job.threads)),
        memory_mib=_mebibytes(asked, "mem"),
        disk_mib=_mebibytes(asked, "disk"),
        gpus=round(_number(asked, "gpu") or _number(asked, "gpus") or _number(asked, "nvidia_gpu")),
        gpu_kind=str(asked.get("gpu_model", "")),
        walltime_s=MINUTE_S * _number(asked, "runtime"),
    )
    if most is None:
        return found
    return replace(
        found,
        cpus=min(found.cpus, most.cpus or found.cpus),
        memory_mib=min(found.memory_mib, most.memory_mib or found.memory_mib),
        disk_mib=0,
        gpus=min(found.gpus, most.gpus),
        gpu_kind="",
    )


def _mebibytes(asked: Mapping[str, object], kind: str) -> int:
    mebibytes = _number(asked, f"{kind}_mib")
    return round(mebibytes or _number(asked, f"{kind}_mb") * MB / MIB)


def _number(asked: Mapping[str, object], name: str) -> float:
    value = asked.get(name, 0)
    return float(value) if isinstance(value, (int, float)) else 0.0


@dataclass(frozen=True, slots=True)
class Kept:
    """An output of a plain job that the store keeps.

    Args:
        path: as the rule has it. port: of the task.
        kept: its name in the task's folder.
    """

    path: str
    port: str
    kept: str
    directory: bool


def kept_outputs(paths: Sequence[str], directories: Sequence[bool]) -> tuple[Kept, ...]:
    """The outputs of a job, with a name in the task's folder for each."""
    return tuple(
        Kept(path, f"o{at}", f"{at}-{os.path.basename(path.rstrip('/'))}", directory)
        for at, (path, directory) in enumerate(zip(paths, directories, strict=True))
    )


@dataclass(frozen=True, slots=True)
class ShellJob:
    """A plain shell job as a tool: its command, run in the working directory.

    Its outputs appear where Snakemake wants them; the task's folder gets a hard link of each, which
    is what the store knows.

    Args:
        command: complete, with its prefix. shell: the program that runs it.
        workdir: where it runs. env: variables on top of the node's.
        outputs: those to keep; none where some are not to outlive their last reader.
    """

    rule: str
    command: str
    shell: str
    workdir: str
    resources: Resources
    env: Mapping[str, str]
    outputs: tuple[Kept, ...]

    def fingerprint(self, inputs: Values) -> str:
        """The command, what it reads, and what it leaves; where it runs is no part of it."""
        if not self.outputs:
            return ""
        lines = [
            "tool=snakemake shell", f"rule={self.rule}", f"shell={self.shell}",
            f"command={canonical(self.command)}",
            *(f"input {port}={canonical(value)}" for port, value in sorted(inputs.items())),
            *(f"output {kept.path}" for kept in self.outputs),
        ]  # fmt: skip
        return "\n".join(lines)

    def plan(self, _inputs: Values, _context: PlanContext) -> Task:
        outputs = tuple(
            Output(kept.port, kept.kept, directory=kept.directory) for kept in self.outputs
        )
        return Task(Shell("\n".join(self._lines())), outputs, self.resources, env=self.env)

    def _lines(self) -> Iterator[str]:
        here = shlex.quote(self.workdir)
        run = f"exec {shlex.quote(self.shell)} -c {shlex.quote(self.command)}"
        if not self.outputs:
            yield f"cd {here}\n{run}"
            return
        yield f"(cd {here} && {run})"
        for kept in self.outputs:
            source = shlex.quote(os.path.join(self.workdir, kept.path))
            # A link costs nothing and no space; where there can be none (another disk) a copy will do.
            how, copy = ("cp -rLl", "cp -rL") if kept.directory else ("ln -L", "cp -L")
            target = shlex.quote(kept.kept)
            yield f"{how} -- {source} {target} 2>/dev/null || {copy} -- {source} {target}"

    def collect(self, _task: Task, outcome: Outcome, _folder: str) -> Values:
        return outcome.outputs


@dataclass(frozen=True, slots=True)
class StandardJob:
    """Any job, through Snakemake's standard job script: a Snakemake of its own on the node."""

    script: str
    workdir: str
    resources: Resources

    def fingerprint(self, _inputs: Values) -> str:
        """Empty: what such a job depends on (code, environments) Snakemake alone knows."""
        return ""

    def plan(self, _inputs: Values, _context: PlanContext) -> Task:
        return Task(
            Shell(f"cd {shlex.quote(self.workdir)}\n{self.script}"), resources=self.resources
        )

    def collect(self, _task: Task, outcome: Outcome, _folder: str) -> Values:
        return outcome.outputs


def step_name(job: Any) -> str:
    """What a job is called: its rule, or of a group that Snakemake numbers at random the rules in it."""
    return _AT_RANDOM.sub("", str(job.name)) or str(job.name)


def named_files(command: str, workdir: str, known: Sequence[str]) -> list[str]:
    """Files that a command names as words of their own but the rule does not list: its scripts, mostly.

    They belong to what the command is, so that an edited script is not mistaken for the old one.
    """
    try:
        words = shlex.split(command, comments=True)
    except ValueError:  # quotes that only the shell understands
        words = command.split()
    listed = {os.path.join(workdir, path) for path in known}
    found = {os.path.join(workdir, word.rstrip(";")) for word in words}
    return sorted(path for path in found - listed if os.path.isfile(path))


def as_values(paths: Sequence[str], workdir: str) -> Values:
    """Files and directories as values, numbered as the rule lists them."""
    return {f"{at:06}": as_file(os.path.join(workdir, path)) for at, path in enumerate(paths)}


def as_file(path: str) -> File | Directory:
    return Directory(path) if os.path.isdir(path) else File(path)


def put_in_place(kept: Sequence[Kept], outputs: Values, workdir: str) -> None:
    """Put outputs that come from the store where Snakemake wants them; those just made are there.

    Raises:
        OSError: one cannot be put there.
    """
    for output in kept:
        path = os.path.join(workdir, output.path)
        found = outputs.get(output.port)
        if os.path.lexists(path) or not isinstance(found, (File, Directory)):
            continue
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if isinstance(found, Directory):
            shutil.copytree(found.location, path, copy_function=_link)
        else:
            _link(found.location, path)
        os.utime(path)  # newer than what it was made from, as Snakemake holds it


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def target_files(dag: Any) -> Iterator[str]:
    """What Snakemake was asked for: the files named, and of each rule its outputs.

    Of a rule without outputs (``all``, by custom) they are its inputs.
    """
    seen: set[str] = set()
    named = {str(path) for path in dag.targetfiles}
    for job in sorted(dag.targetjobs, key=lambda job: (job.rule.name, *map(str, job.output))):
        mine = [str(path) for path in job.output if path in named] or job.output or job.input
        for path in mine:
            if str(path) not in seen:
                seen.add(str(path))
                yield str(path)
