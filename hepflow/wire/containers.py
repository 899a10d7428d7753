"""A command in a container: which runtime is here, and the words that run a task with it.

Owns the words of podman, Docker, Apptainer (Singularity), udocker and Shifter. A container is one more way to
start a command: the launcher starts the runtime's client in the task's folder as it would start any
program. Starts nothing itself; must never know a queue, a lane or a process.

Two settings, both taken from the environment and split like a shell's words:

``HEPFLOW_CONTAINER_RUNTIME``
    the program with options of its own, such as ``podman --log-level=error``; else the first of
    ``RUNTIMES`` on ``PATH``.
``HEPFLOW_CONTAINER_ARGS``
    more options for each container, put before the image, such as ``--ulimit=nofile=1024``.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from hepflow.capsule.placing import (
    COPY,
    IN,
    MARK,
    PLACED,
    TMP,
    Setting,
    filled,
)
from hepflow.model.task import Argv, Attempt, Call, Shell, Staged, Task
from hepflow.model.values import Directory, File

RUNTIMES: Final = ("podman", "apptainer", "singularity", "docker", "udocker")
"""In the order they are looked for: those that need neither a daemon nor its rights come first."""

SHIFTER: Final = "shifter"
INSIDE: Final = "/hepflow/in"
FOLDER: Final = "/hepflow/out"
"""Where a container sees the inputs, and the task's folder if the task does not mind where."""

SCRATCH: Final = "/tmp"

SHELL: Final = (
    'command -v bash >/dev/null && exec bash --norc --noprofile -e -o pipefail -c "$0";'
    ' exec sh -e -c "$0"'
)
"""What takes a shell text in a container, where nobody knows whether there is a bash."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """A container runtime.

    Args:
        kind: one of ``RUNTIMES``, or ``shifter``, which only sites name: it has their shared files inside.
        words: the program and its own options.
        options: for each container.
        rootless: it runs without the rights of root.
        images: the folder for image files, where the runtime keeps none itself.
    """

    kind: str
    words: tuple[str, ...]
    options: tuple[str, ...] = ()
    rootless: bool = False
    images: str = ""

    @property
    def is_apptainer(self) -> bool:
        return self.kind in ("apptainer", "singularity")


def find_runtime(env: Mapping[str, str]) -> Runtime:
    """The container runtime of this machine.

    Raises:
        LookupError: there is none, with a sentence that says what to do.
    """
    path = env.get("PATH", os.defpath)
    words = shlex.split(env.get("HEPFLOW_CONTAINER_RUNTIME", ""))
    found = [name for name in words[:1] or RUNTIMES if shutil.which(name, path=path)]
    if not found:
        asked = f"'{words[0]}' (HEPFLOW_CONTAINER_RUNTIME)" if words else ", ".join(RUNTIMES)
        raise LookupError(
            f"no container runtime is here: looked for {asked}; install podman or apptainer, name one"
            " by HEPFLOW_CONTAINER_RUNTIME, or run without containers: --no-container"
        )
    kind = os.path.basename(found[0])
    if kind not in RUNTIMES:
        raise LookupError(
            f"the container runtime '{found[0]}' is not one of {', '.join(RUNTIMES)}"
            " (HEPFLOW_CONTAINER_RUNTIME)"
        )
    cache = env.get("XDG_CACHE_HOME") or str(Path(env.get("HOME", "/")) / ".cache")
    return Runtime(
        kind,
        tuple(words or found),
        tuple(shlex.split(env.get("HEPFLOW_CONTAINER_ARGS", ""))),
        os.geteuid() != 0,
        f"{cache}/hepflow/images",
    )


# --- images ---------------------------------------------------------------------------------------


def image_uri(image: str) -> str:
    """An image as others than its runtimes want it: a file, or with the scheme of where it comes from."""
    is_file = "://" in image or image.startswith(("/", "./")) or image.endswith(".sif")
    return image if is_file else f"docker://{image}"


def image_file(runtime: Runtime, image: str) -> str:
    """The file an image is in, for runtimes that run files."""
    if not runtime.images:  # it takes what a site calls an image
        return image
    if os.path.exists(image):
        return os.path.abspath(image)
    return f"{runtime.images}/{re.sub(r'[^A-Za-z0-9._-]', '_', image)}.sif"


def fetching(runtime: Runtime, image: str) -> str:
    """The shell text that brings an image here unless it is here already."""
    program, name = shlex.join(runtime.words), shlex.quote(image)
    if runtime.is_apptainer:
        file = shlex.quote(image_file(runtime, image))
        source = shlex.quote(image if "://" in image else f"docker://{image}")
        return (
            f"test -e {file} || {{ mkdir -p {shlex.quote(runtime.images)}"
            f" && {program} pull {file}.$$ {source} && mv {file}.$$ {file}; }}"
        )
    if runtime.kind == SHIFTER:
        return f"shifterimg pull {name}"
    known = {
        "podman": f"image exists {name}",
        "docker": f"image inspect {name}",
        "udocker": f"inspect {name}",
    }
    return f"{program} {known[runtime.kind]} >/dev/null 2>&1 || {program} pull {name}"


# --- one task -------------------------------------------------------------------------------------


class Contained(NamedTuple):
    """A task in a container as a plain command.

    Args:
        words: the runtime's client with all it needs to be told.
        env: variables for the client.
        setting: what the launcher does around it.
    """

    words: list[str]
    env: dict[str, str]
    setting: Setting


def contained(
    attempt: Attempt, runtime: Runtime, env: Mapping[str, str], gpus: tuple[str, ...]
) -> Contained:
    """The command that runs an attempt in a container.

    Args:
        attempt: a command, with a folder and a container.
        runtime: what to run it with.
        env: the variables it sees.
        gpus: the accelerators it was given.

    Raises:
        ValueError: something cannot be placed in a container.
    """
    task, folder = attempt.task, attempt.folder
    container = task.container
    assert container is not None
    out = container.folder or (folder if runtime.kind == SHIFTER else FOLDER)
    inside = _Inside(folder, out)
    for item in task.stage:
        inside.place(item)
    worded = task.confined or task.folders
    for path, content in task.texts:
        inside.write(path, inside.fill(content) if worded else content)
    variables = {
        name: inside.fill(value) if task.confined else value for name, value in env.items()
    }
    variables = {"HOME": out, "TMPDIR": SCRATCH, **variables}
    name = f"hepflow-{os.urandom(8).hex()}"
    command, shell = _command(task, inside)
    client: dict[str, str] = {}
    if runtime.is_apptainer:
        prefix = f"{runtime.kind.upper()}ENV_"
        client = {prefix + key: value for key, value in variables.items()}
        words = [*_apptainer(task, runtime, inside, gpus), *shell, *command]
    elif runtime.kind == SHIFTER:
        words = _shifter(task, runtime, inside, variables)
        words += [*shell, *command]
    else:
        if gpus:  # inside they are counted anew
            variables.pop("CUDA_VISIBLE_DEVICES", None)
        words = _docker_like(task, runtime, inside, gpus, name)
        words += [f"--env={key}={value}" for key, value in variables.items()]
        words += [f"--entrypoint={shell[0]}"] if shell else []
        words += [*runtime.options, container.image, *shell[1:], *command]
    setting = Setting(
        PLACED,
        inside.texts,
        inside.stage,
        inside.here(inside.fill(task.stdin)),
        task.stdout,
        task.stderr,
        () if task.success == (0,) else task.success,
        [[seen, here] for seen, here, _writable in inside.mounts],
        _undo(runtime, name),
    )
    return Contained(words, client, setting)


def _command(task: Task, inside: _Inside) -> tuple[list[str], list[str]]:
    """The words of a command in a container, and those of a shell to put before them."""
    command = task.command
    assert not isinstance(command, Call)
    if isinstance(command, Shell):
        return [command.text], ["/bin/sh", "-c", SHELL]
    assert isinstance(command, Argv)
    worded = task.confined or task.folders
    return [inside.fill(word) if worded else word for word in command.words], []


def _undo(runtime: Runtime, name: str) -> list[str]:
    """What ends a container whose client was killed; the others die with their client."""
    if runtime.kind == "podman":
        return [*runtime.words, "rm", "--force", "--time=0", "--ignore", name]
    return [*runtime.words, "rm", "--force", name] if runtime.kind == "docker" else []


def _docker_like(
    task: Task, runtime: Runtime, inside: _Inside, gpus: tuple[str, ...], name: str
) -> list[str]:
    assert task.container is not None
    words = [*runtime.words, "run", "--rm", f"--workdir={inside.out}"]
    if runtime.kind == "udocker":
        # It knows neither networks nor users of its own, and mounts everything writable.
        return words + [f"--volume={here}:{seen}" for seen, here, _writable in inside.mounts]
    words += [f"--name={name}", f"--user={os.getuid()}:{os.getgid()}"]
    # Labelled systems would deny a container every file that was not made for it.
    words += ["--security-opt=label=disable", "--env=HEPFLOW_LAUNCHER"]
    if runtime.kind == "podman" and runtime.rootless:
        words.append("--userns=keep-id")
    if task.stdin:
        words.append("--interactive")
    if not task.container.network:
        words.append("--network=none")
    if gpus and runtime.kind == "podman":
        words += [f"--device=nvidia.com/gpu={gpu}" for gpu in gpus]
    elif gpus:
        words.append(f'--gpus="device={",".join(gpus)}"')
    return words + [f"--mount={_mount(*mount)}" for mount in inside.mounts]


def _apptainer(task: Task, runtime: Runtime, inside: _Inside, gpus: tuple[str, ...]) -> list[str]:
    assert task.container is not None
    words = [*runtime.words, "exec", "--contain", "--cleanenv", f"--pwd={inside.out}"]
    words += ["--nv"] if gpus else []
    words += [] if task.container.network else ["--net", "--network=none"]
    for mount in inside.mounts:
        words += ["--mount", _mount(*mount)]
    return [*words, *runtime.options, image_file(runtime, task.container.image)]


def _shifter(
    task: Task, runtime: Runtime, inside: _Inside, variables: Mapping[str, str]
) -> list[str]:
    """Shifter's own words: it has the machine's shared files and its ``/tmp`` inside where they are."""
    assert task.container is not None
    words = [*runtime.words, f"--image={task.container.image}", f"--workdir={inside.out}"]
    for seen, here, _writable in inside.mounts:
        if seen in (here, SCRATCH):
            continue
        if any(sign in seen + here for sign in ":;"):
            raise ValueError(f"Shifter cannot mount a path with ':' or ';' in it: {here}")
        words.append(f"--volume={here}:{seen}")
    return [*words, *[f"--env={key}={value}" for key, value in variables.items()], *runtime.options]


def _mount(seen: str, here: str, writable: bool) -> str:
    """A mount as these programs read it: a line of comma-separated values."""
    parts = ["type=bind", f"source={here}", f"target={seen}"] + ([] if writable else ["readonly"])
    return ",".join([_quoted(part) for part in parts])


def _quoted(part: str) -> str:
    # Nobody knows yet what is in a path that the launcher will put here.
    if MARK in part or any(sign in part for sign in ',"\n'):
        doubled = part.replace('"', '""')
        return f'"{doubled}"'
    return part


@dataclass(slots=True)
class _Inside:
    """What a container sees, and how it gets there.

    Args:
        folder: the task's folder, here.
        out: the same, inside.
        texts, stage: what the launcher is to place, as `placing.Setting` has it.
        mounts: path inside, path here, and whether the task may write there. Paths in the slot that
            the task will get are written with the words for its folders.
    """

    folder: str
    out: str
    texts: list[list[str]] = field(default_factory=list)
    stage: list[list[Any]] = field(default_factory=list)
    mounts: list[tuple[str, str, bool]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.mounts += [(self.out, self.folder, True), (SCRATCH, TMP, True)]

    def fill(self, text: str) -> str:
        """A text with the paths that the task sees."""
        return filled(text, self.out, SCRATCH, INSIDE)

    def here(self, path: str) -> str:
        """Where something that the task sees is on this machine."""
        for seen, here, _writable in reversed(self.mounts):
            if f"{path}/".startswith(seen + "/"):
                return f"{here}{path[len(seen) :]}"
        return path

    def place(self, item: Staged) -> None:
        """Have an input appear where it was asked for."""
        what, path, writable = item
        if not path.startswith("/"):
            self._place_within(what, path, writable)
            return
        is_input = path.startswith(IN + "/")
        seen = INSIDE + path[len(IN) :] if is_input else path
        if what.location and not writable:
            self.mounts.append((seen, what.location, False))
            return
        if not is_input:  # a place of its own for what is mounted elsewhere
            path = f"{IN}/@{len(self.mounts)}/{os.path.basename(path)}"
        self._place_within(what, path, writable)
        self.mounts.append((seen, path, writable))

    def write(self, path: str, content: str) -> None:
        """Have a text appear."""
        if path.startswith("/"):
            self.place(Staged(File("", contents=content), path))
        else:
            self.texts.append([path, content])

    def _place_within(self, what: File | Directory, path: str, writable: bool) -> None:
        """Place something in a folder that is mounted as a whole."""
        if what.location and writable:
            self.stage.append([what.location, path, COPY])
        elif what.location:
            # A link to where it is mounted: a mount right there would leave an empty file behind.
            seen = f"{INSIDE}/@{len(self.mounts)}/{what.name}"
            self.mounts.append((seen, what.location, False))
            self.stage.append([seen, path])
        elif isinstance(what, File):
            self.texts.append([path, what.contents or ""])
        else:
            self.stage.append(["", path])
            for entry in what.listing or ():
                self._place_within(entry, f"{path}/{entry.name}", writable)
