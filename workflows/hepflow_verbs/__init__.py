"""What the command lines of the science packages share: mistakes told without a traceback, and numbers.

    Complaint
    ├── UsageError   the request makes no sense (exit status 2)
    └── InputError   a file is missing, unreadable or does not fit (exit status 1)

Each package is a program of its own and knows no other; none of them knows hepflow.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import ClassVar, TypeAlias

Handler = Callable[[argparse.Namespace], None]
Verbs: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


class Complaint(Exception):
    """A mistake to mend: ``where`` it is, ``what`` is wrong, ``why``, and the ``fix``."""

    exit_status: ClassVar[int] = 1

    def __init__(
        self, where: str | os.PathLike[str], what: str, why: str = "", fix: str = ""
    ) -> None:
        self.where, self.what, self.why, self.fix = os.fspath(where), what, why, fix
        super().__init__(self.where, what, why, fix)

    def __str__(self) -> str:
        lines = [f"{self.where}: {self.what}"]
        lines += [f"  why: {self.why}"] if self.why else []
        lines += [f"  fix: {self.fix}"] if self.fix else []
        return "\n".join(lines)


class UsageError(Complaint):
    """An option, a name or a combination of them that cannot be meant."""

    exit_status = 2


class InputError(Complaint):
    """A file that is missing, malformed, or made for something else."""

    exit_status = 1


def parser_of(program: str, version: str, description: str, epilog: str) -> argparse.ArgumentParser:
    """A parser for ``python -m PROGRAM VERB ...``, whose help keeps its lines."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {program}",
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=version)
    return parser


def verbs_of(parser: argparse.ArgumentParser) -> Verbs:
    """Where verbs are added; each sets its ``handler``."""
    return parser.add_subparsers(title="commands", required=True, metavar="COMMAND")


def run(
    parser: argparse.ArgumentParser, arguments: Sequence[str] | None, package: str, extra: str
) -> int:
    """Run the verb that the arguments name; return the exit status.

    Args:
        package: whose modules are never missing.
        extra: of hepflow, which installs the libraries that may be.
    """
    options = parser.parse_args(arguments)
    handler: Handler = options.handler
    try:
        handler(options)
    except Complaint as complaint:
        print(complaint, file=sys.stderr)
        return complaint.exit_status
    except ModuleNotFoundError as error:
        if (error.name or package).startswith(package):
            raise
        fix = f"pip install 'hepflow[{extra}]'"
        print(UsageError("python", f"library {error.name!r} is missing", fix=fix), file=sys.stderr)
        return 2
    except OSError as error:
        if error.filename is None:
            raise
        what = error.strerror or str(error)
        print(InputError(str(error.filename), what, fix="check the path"), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def whole(text: str) -> int:
    """An argument that is 0, 1, 2, ..."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not 0, 1, 2, ...")
    return int(text)


def positive(text: str) -> int:
    """An argument that is 1, 2, 3, ..."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not 1, 2, 3, ...")
    return int(text)


def above_zero(text: str) -> float:
    """An argument that is a finite number above zero."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above zero")
    return value
