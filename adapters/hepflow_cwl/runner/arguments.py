"""Inputs given by name on the command line: the library makes the options from the document."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cwltool.load_tool import jobloaderctx
from cwltool.main import init_job_order
from schema_salad.ref_resolver import Loader

import hepflow_cwl.library  # noqa: F401 - makes cwltool ready; first
from hepflow_cwl.loading import load_process
from hepflow_cwl.orders import Order, order_of
from hepflow_cwl.values import to_uri

if TYPE_CHECKING:
    from hepflow_cwl.setup import Setup


def order_from_words(document: str, target: str, words: Sequence[str], setup: Setup) -> Order:
    """The input object that a document's own options give.

    Args:
        document: a path or URL.
        target: the ``#id`` of the process in it.
        words: ``--name value``, and possibly an inputs file that they add to.

    Raises:
        SystemExit: with status 2, after the library has said which word is wrong.
    """
    process = load_process(document, target, setup)
    given = Namespace(workflow=document, job_order=list(words), tool_help=False)
    data = init_job_order(None, given, process, Loader(jobloaderctx), sys.stdout)
    return order_of(data, "command line", f"{to_uri(os.getcwd())}/")
