"""`up`, `down` and `install` beside this file, for those who want a service without pytest."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path

from .catalogue import SERVICES
from .daemons import Unavailable


def main() -> int:
    """Start or stop one service, or say which Debian packages the named ones lack."""
    parser = argparse.ArgumentParser(prog="tests/services", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb in ("up", "down"):
        command = verbs.add_parser(verb)
        command.add_argument("name", choices=SERVICES)
        command.add_argument("--at", type=Path, help="its folder; a fixed one by default")
    verbs.choices["up"].add_argument("--env", action="store_true", help="print lines for a shell")
    command = verbs.add_parser("packages")
    command.add_argument("names", nargs="*", metavar="name", default=list(SERVICES))
    asked = parser.parse_args()
    try:
        if asked.verb == "packages":
            print(*packages(asked.names))
            return 0
        service = SERVICES[asked.name]
        at = (asked.at or service.home).absolute()
        if asked.verb == "down":
            service.down(at)
            return 0
        environment = service.up(at)
    except Unavailable as error:
        print(error, file=sys.stderr)
        return 4
    if asked.env:
        for name, value in environment.items():
            print(f"export {name}={shlex.quote(value)}")
    else:
        print(json.dumps(environment, indent=2))
    return 0


def packages(names: list[str]) -> list[str]:
    """The Debian packages of services that lack a program here."""
    if unknown := set(names) - set(SERVICES):
        raise Unavailable(
            f"no such service: {', '.join(unknown)} (there are {', '.join(SERVICES)})"
        )
    lacking = [SERVICES[name] for name in names if SERVICES[name].missing_programs]
    return sorted({package for service in lacking for package in service.packages})


if __name__ == "__main__":
    sys.exit(main())
