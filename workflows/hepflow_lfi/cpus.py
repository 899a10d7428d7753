"""How many processors this process may use, and keeping numerical libraries to one each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from hepflow_verbs import UsageError

CPUS_VARIABLE = "HEPFLOW_CPUS"
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def count_cpus() -> int:
    """Return what ``HEPFLOW_CPUS`` grants, else what the operating system lets us run on."""
    granted = os.environ.get(CPUS_VARIABLE, "").strip()
    if granted:
        if not granted.isdecimal() or int(granted) < 1:
            raise UsageError(
                CPUS_VARIABLE, f"{granted!r} is no number of processors", fix="set it to 1 or more"
            )
        return int(granted)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Let processes started inside use one thread in their linear algebra."""
    before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
