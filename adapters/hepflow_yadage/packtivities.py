"""A packtivity as a task: its command, the image it runs in, what it must leave; and what it then publishes.

``{workdir}`` is the task's own folder, which nobody knows before it runs: until then its place is taken by
the model's word for it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import PurePath
from typing import Any, Final

from hepflow.model.task import (
    FOLDER,
    INPUTS,
    Argv,
    Container,
    Outcome,
    Output,
    Staged,
    Task,
)
from hepflow.model.values import Directory, Value, canonical
from hepflow_yadage.paths import Known, by_location
from hepflow_yadage.publishing import interpolated, published
from hepflow_yadage.queries import text_of_jq
from hepflow_yadage.resources import resources_of
from hepflow_yadage.specs import JSON, Packtivity

INSIDE: Final = "/yadage/workdir"
"""Where a task's folder appears in its container."""

WORKDIR: Final = "workdir"
LONGEST_WORD: Final = 100_000
"""Bytes of a command that is still an argument; Linux takes no longer one than 128 KiB."""


@dataclass(frozen=True, slots=True)
class Memo:
    """What a task's results are read with.

    Args:
        publisher: what it publishes.
        values, texts: its parameters, with files and as texts only.
    """

    publisher: Mapping[str, Any]
    values: Value
    texts: JSON


def runs(spec: Packtivity) -> bool:
    """Whether it does more than to publish."""
    environment = spec.environment
    return (
        spec.process is not None
        and environment is not None
        and environment["environment_type"] != "noop-env"
    )


def fingerprint(spec: Packtivity, parameters: Value) -> str:
    """What a packtivity with some parameters *is*; as ``Tool.fingerprint``."""
    lines = [f"yadage={_digest(spec.text)}"]
    image = image_of(spec)
    if image:
        lines.append(f"container={image}")
    named = parameters if isinstance(parameters, Mapping) else {"": parameters}
    lines += [f"parameter.{name}={canonical(named[name], _digest)}" for name in sorted(named)]
    return "\n".join(lines) + "\n"


def image_of(spec: Packtivity) -> str:
    """The image it runs in; empty for none."""
    environment = spec.environment
    if environment is None or environment["environment_type"] != "docker-encapsulated":
        return ""
    image, tag = str(environment["image"]), str(environment["imagetag"])
    tagged = ":" in image.rpartition("/")[2] or "@" in image
    return image if tagged and not tag else f"{image}:{tag or 'latest'}"


def task_of(spec: Packtivity, parameters: Value, folders: Sequence[str] = ()) -> Task:
    """The task of a packtivity.

    Args:
        folders: where the nodes ran that its parameters come from: an image sees these as a whole, for a
            file may want what stands beside it.

    Raises:
        ValueError: a text names what is not there; a sentence.
    """
    assert spec.process is not None
    assert spec.environment is not None
    texts = _contextualised(Known().texts(parameters), FOLDER)
    image = image_of(spec)
    words, placed, stdin = _command(spec.process, spec.environment, texts)
    return Task(
        Argv(words),
        _outputs(spec, texts),
        resources_of(spec.environment),
        {name: str(value) for name, value in (spec.environment.get("env") or {}).items()},
        _inside(parameters, folders) if image else (),
        (*placed, *_mounted(spec.environment, texts)),
        Container(image, INSIDE) if image else None,
        stdin=stdin,
        folders=True,
        memo=Memo(spec.publisher, parameters, texts),
        inputs={"parameters": parameters},
    )


def node_of(task: Task, outcome: Outcome, folder: str) -> dict[str, Value]:
    """The node that a task has become: ``result`` and ``workdir``.

    Raises:
        ValueError: it cannot publish what it should; a sentence.
    """
    memo = task.memo
    assert isinstance(memo, Memo)
    parameters = _with_folder(memo.texts, folder)
    data = published(memo.publisher, parameters, folder)
    known = Known()
    known.texts(memo.values)
    known.add(by_location(outcome.outputs).values())
    known.allow(folder)
    if task.container is not None:
        data = _outside(data, folder)
    return {"result": known.values(data), WORKDIR: outcome.outputs[WORKDIR]}


def published_only(spec: Packtivity, parameters: Value) -> dict[str, Value]:
    """The node of a packtivity that runs nothing.

    Raises:
        ValueError: it cannot publish what it should; a sentence.
    """
    known = Known()
    texts = _contextualised(known.texts(parameters), ".")
    return {"result": known.values(published(spec.publisher, texts, ".")), WORKDIR: None}


# --- before it runs -----------------------------------------------------------------------------------


def _contextualised(data: JSON, folder: str) -> JSON:
    """Parameters with ``{workdir}`` filled in; other braces are those of no folder."""
    if isinstance(data, dict):
        return {key: _contextualised(item, folder) for key, item in data.items()}
    if isinstance(data, list):
        return [_contextualised(item, folder) for item in data]
    if not isinstance(data, str) or ("{" not in data and "}" not in data):
        return data
    try:
        return data.format(workdir=folder)
    except IndexError:
        return data  # '{}' is left as it is
    except (KeyError, ValueError, AttributeError, TypeError):
        raise ValueError(
            f"the parameter {data!r:.80} names what is no folder: only {{workdir}} is known;"
            " write '{{' and '}}' for braces that are meant as such"
        ) from None


def _command(
    process: Mapping[str, Any], environment: Mapping[str, Any], texts: JSON
) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...], str]:
    """The words of the command, texts to be placed for it, and its standard input."""
    script = process["process_type"] == "interpolated-script-cmd"
    body = interpolated(process["script" if script else "cmd"], texts)
    text = process["interpreter"] if script else body
    if environment.get("envscript"):
        text = f". {environment['envscript']} && {text}"
    workdir = environment.get("workdir")
    if workdir:
        text = f"cd {_contextualised(workdir, FOLDER)} && {text}"
    placed = ((f"{INPUTS}/script", body),) if script else ()
    stdin = f"{INPUTS}/script" if script else ""
    if len(text.encode()) > LONGEST_WORD:
        return ("sh", f"{INPUTS}/command"), ((f"{INPUTS}/command", text), *placed), stdin
    return ("sh", "-c", text), placed, stdin


def _inside(parameters: Value, folders: Sequence[str]) -> tuple[Staged, ...]:
    """What is to be in the image, each under its own path."""
    whole = set(folders)
    staged = [Staged(Directory(folder), folder) for folder in folders]
    for path, file in by_location([parameters]).items():
        if path not in whole and not any(str(parent) in whole for parent in PurePath(path).parents):
            staged.append(Staged(file, path))
    return tuple(staged)


def _mounted(environment: Mapping[str, Any], texts: JSON) -> tuple[tuple[str, str], ...]:
    """Texts made of the parameters that are to be at some path in the container."""
    return tuple(
        (mount["mountpath"], text_of_jq(mount["jqscript"], texts))
        for mount in environment.get("par_mounts", ())
    )


def _outputs(spec: Packtivity, texts: JSON) -> tuple[Output, ...]:
    """Its folder, and the files in it that it is known to publish: the node that ran it digests these."""
    data = published(spec.publisher, texts, FOLDER, before=True)
    names = dict.fromkeys(_inner(data))
    files = (Output(f"file{n}", name, optional=True, either=True) for n, name in enumerate(names))
    return (Output(WORKDIR, ".", directory=True), *files)


def _inner(data: JSON) -> list[str]:
    """The relative paths of texts that name something in the task's folder."""
    if isinstance(data, dict):
        data = list(data.values())
    if isinstance(data, list):
        return [name for item in data for name in _inner(item)]
    if not isinstance(data, str) or not data.startswith(FOLDER + "/"):
        return []
    name = os.path.normpath(data[len(FOLDER) + 1 :])
    return [] if name == "." or name.startswith(("..", "/")) else [name]


# --- after it has run ---------------------------------------------------------------------------------


def _with_folder(data: JSON, folder: str) -> JSON:
    if isinstance(data, str):
        return data.replace(FOLDER, folder)
    if isinstance(data, dict):
        return {key: _with_folder(item, folder) for key, item in data.items()}
    if isinstance(data, list):
        return [_with_folder(item, folder) for item in data]
    return data


def _outside(data: JSON, folder: str) -> JSON:
    """Texts with the task's folder where it is, which a program in a container has seen elsewhere."""
    if isinstance(data, str):
        return folder + data[len(INSIDE) :] if f"{data}/".startswith(INSIDE + "/") else data
    if isinstance(data, dict):
        return {key: _outside(item, folder) for key, item in data.items()}
    if isinstance(data, list):
        return [_outside(item, folder) for item in data]
    return data


def _digest(text: str) -> str:
    return f"sha256:{sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"
