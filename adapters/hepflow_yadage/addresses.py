"""Where documents are: paths, URLs, folders of repositories; and their texts.

A base is what a name is put behind; it ends in ``/``, or (a folder of GitLab) has ``/?`` before its query.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final
from urllib.error import URLError
from urllib.parse import quote, unquote, urljoin
from urllib.request import Request, urlopen

PATIENCE_S: Final = 30.0
TOKEN: Final = "YADAGE_SCHEMA_LOAD_TOKEN"
"""The environment variable with the token for CERN's GitLab, as yadage has it."""

_GITLAB: Final = "https://gitlab.cern.ch/api/v4/projects/"
_FILES: Final = "/repository/files/"


def base_of(toplevel: str) -> str:
    """The base that a user names.

    Repositories are spelled as yadage has it, ``github:OWNER/NAME[@REF][:FOLDER]`` and ``gitlab-cern:...``.
    """
    kind, _, rest = toplevel.partition(":")
    if kind in ("github", "gitlab-cern"):
        repository, _, folder = rest.partition(":")
        name, _, ref = repository.partition("@")
        inner = f"{folder.strip('/')}/" if folder.strip("/") else ""
        if kind == "github":
            return f"https://raw.githubusercontent.com/{name}/{ref or 'main'}/{inner}"
        return f"{_GITLAB}{quote(name, safe='')}{_FILES}{inner}?ref={quote(ref or 'master')}"
    if toplevel.startswith("file://"):
        toplevel = toplevel.removeprefix("file://")
    elif "://" in toplevel:
        return toplevel.rstrip("/") + "/"
    return os.path.join(os.path.abspath(os.path.expanduser(toplevel)), "")


def joined(base: str, name: str) -> str:
    """The path or URL of a name behind a base."""
    if name.startswith("file://"):
        return name.removeprefix("file://")
    if "://" in name:
        return name
    if base.startswith(_GITLAB):
        start, _, query = base.partition("?")
        project, _, folder = start.partition(_FILES)
        path = os.path.normpath(folder + name)
        return f"{project}{_FILES}{quote(path, safe='')}/raw?{query}"
    if "://" in base:
        return urljoin(base, name)
    return os.path.normpath(os.path.join(base, unquote(name)))


def folder_of(place: str) -> str:
    """The base that a document is in."""
    if place.startswith(_GITLAB):
        start, _, query = place.partition("?")
        project, _, path = start.removesuffix("/raw").partition(_FILES)
        folder = os.path.dirname(unquote(path))
        return f"{project}{_FILES}{folder}/?{query}" if folder else f"{project}{_FILES}?{query}"
    return place.rpartition("/")[0] + "/"


def text_at(place: str) -> str:
    """The text of a document.

    Raises:
        ValueError: it cannot be had; a few words that say why.
    """
    try:
        if "://" not in place:
            return Path(place).read_text(encoding="utf-8")
        request = Request(place)
        if place.startswith(_GITLAB) and TOKEN in os.environ:
            request.add_unredirected_header("PRIVATE-TOKEN", os.environ[TOKEN])
        with urlopen(request, timeout=PATIENCE_S) as answer:
            text: str = answer.read().decode()
            return text
    except URLError as error:
        raise ValueError(str(error.reason)) from None
    except OSError as error:
        raise ValueError(error.strerror or str(error)) from None
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8 text") from None
