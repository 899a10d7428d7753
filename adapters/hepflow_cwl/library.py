"""The cwltool library, made ready for use inside hepflow. Whoever uses it imports this first.

Its modules import each other in a circle that only opens from ``cwltool.workflow``; its loggers
write to the terminal by themselves; its JavaScript runs in Node.js. Importing this module sees to
all three.
"""

from __future__ import annotations

import logging

import cwltool.workflow  # noqa: F401 - see above

from hepflow_cwl.javascript import engine


def quiet() -> None:
    """Leave what the libraries log to whoever adds a handler: faults come as exceptions as well."""
    for name in ("cwltool", "cwl_utils", "salad", "rdflib.term"):
        logger = logging.getLogger(name)
        logger.handlers = [logging.NullHandler()]
        logger.propagate = False


quiet()
engine()
