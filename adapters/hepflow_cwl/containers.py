"""Which image a tool runs in (CWL v1.2, CommandLineTool, section "DockerRequirement").

Imports nothing of the library: a tool that cannot run here is refused when it is loaded.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from hepflow.model.errors import Problem, RecipeError
from hepflow_cwl.places import place_of
from hepflow_cwl.setup import Setup

UNSUPPORTED = "HF249"
"""The code of problems that mean: a correct document asks for what is not supported."""


OUTDIR = "/var/spool/cwl"
"""Where a tool's folder appears in its container unless the document says so."""


class Image(NamedTuple):
    """An image, and where the tool's folder appears in it."""

    reference: str
    folder: str


def container_of(process: Any, setup: Setup) -> Image | None:
    """The image to run a tool in; ``None`` for none.

    Args:
        process: the library's CommandLineTool.
        setup: the user's choices.

    Raises:
        RecipeError: it needs an image and may have none, or one that must be built or unpacked.
    """
    asked, required = process.get_requirement("DockerRequirement")
    if not setup.use_container:
        if asked is not None and required:
            raise unsupported(
                process,
                "it needs the container image"
                f" '{asked.get('dockerPull') or asked.get('dockerImageId')}', and containers are off",
                "allow containers (leave out --no-container), or move its DockerRequirement from"
                " 'requirements' to 'hints'",
            )
        return None
    if asked is None:
        return Image(setup.default_container, OUTDIR) if setup.default_container else None
    image = asked.get("dockerImageId") or asked.get("dockerPull")
    if not image:
        ways = ", ".join(sorted(key for key in asked if key.startswith("docker")))
        raise unsupported(
            process,
            f"its container image is given by {ways} only",
            "make the image available to the container runtime, and name it by 'dockerPull' or"
            " 'dockerImageId'",
        )
    return Image(str(image), str(asked.get("dockerOutputDirectory") or OUTDIR))


def unsupported(process: Any, why: str, fix: str) -> RecipeError:
    """The error for a correct document that asks for what is not supported."""
    document, _, name = str(process.tool["id"]).rpartition("#")
    name = name.rpartition("/")[2] or document.rpartition("/")[2]
    what = f"tool '{name}' cannot run here: {why}"
    return RecipeError(Problem(place_of(process.tool), UNSUPPORTED, what, fix=fix))
