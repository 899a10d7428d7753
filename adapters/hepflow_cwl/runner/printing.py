"""What the reference runner prints of a document without running it: its own code does so."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Final

from cwltool.main import main

import hepflow_cwl.library  # noqa: F401 - makes cwltool ready; first
from hepflow_cwl.runner.flags import Flags

INVALID: Final = 3
"""The exit status for an invalid document; the library has 1 for everything."""


def show(words: Sequence[str], flags: Flags) -> int:
    """Prints what ``flags.printing`` asks for.

    Args:
        words: the document and its inputs.

    Returns the exit status.
    """
    return INVALID if main([*_words(flags), *words], stdout=sys.stdout) else 0


def _words(flags: Flags) -> Iterator[str]:
    """The flags that bear on printing, as the library's command line spells them."""
    yield from (flags.printing, "--enable-ext", "--disable-color")
    yield "--strict" if flags.strict else "--non-strict"
    yield f"--relative-deps={flags.relative_deps}"
    yield f"--rdf-serializer={flags.rdf_serializer}"
    if flags.enable_dev:
        yield "--enable-dev"
    if flags.skip_schemas:
        yield "--skip-schemas"
    if flags.relax_path_checks:
        yield "--relax-path-checks"
    if flags.basedir:
        yield f"--basedir={flags.basedir}"
    if flags.overrides:
        yield f"--overrides={flags.overrides}"
    yield from (f"--target={name}" for name in flags.target)
    yield "--debug" if flags.debug else "--quiet"
