"""The stand-in's commands: `condor_submit`, `condor_q`, `condor_rm` and their like."""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import classad2

from .submit import Refused, parse

PAST = {"remove": "removed", "hold": "held", "release": "released", "vacate": "vacated"}


class Unreachable(Exception):
    """Nobody answers for the pool."""


def ask(at: Path, verb: str, **request: object) -> object:
    """Put one request to the pool."""
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(str(at / "pool.socket"))
        except OSError:
            raise Unreachable("Can't find address of local schedd") from None
        connection.sendall(json.dumps({"verb": verb, **request}).encode())
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as answer:
            return json.loads(answer.read())


def submit(at: Path, argv: list[str]) -> int:
    """Take on the jobs of a description."""
    parser = argparse.ArgumentParser("condor_submit", allow_abbrev=False)
    parser.add_argument("-terse", action="store_true")
    parser.add_argument("-append", "-a", action="append", default=[], metavar="COMMAND")
    parser.add_argument("-batch-name", dest="batch_name")
    parser.add_argument("file", nargs="?", default="-")
    asked = parser.parse_args(argv)
    text = sys.stdin.read() if asked.file == "-" else Path(asked.file).read_text()
    more = list(asked.append)
    if asked.batch_name:
        more.append(f"batch_name = {asked.batch_name}")
    # A function, for the text may have backslashes.
    text = re.sub(
        r"^(?=\s*queue\b)",
        lambda _: "".join(f"{line}\n" for line in more),
        text,
        count=1,
        flags=re.IGNORECASE | re.MULTILINE,
    )
    description = parse(text, Path.cwd())
    limits = {name: description.limit(name) for name in ("max_idle", "max_materialize")}
    cluster = ask(at, "number")
    assert isinstance(cluster, int)
    ads = [repr(ad) for ad in description.jobs(cluster)]
    if not ads:
        raise Refused("no jobs queued")
    ask(at, "submit", cluster=cluster, ads=ads, **limits)
    if asked.terse:
        print(f"{cluster}.0 - {cluster}.{len(ads) - 1}")
    else:
        print(f"Submitting job(s){'.' * min(len(ads), 60)}")
        print(f"{len(ads)} job(s) submitted to cluster {cluster}.")
    return 0


def query(at: Path, argv: list[str], history: bool) -> int:
    """Show jobs."""
    parser = argparse.ArgumentParser("condor_q", allow_abbrev=False)
    parser.add_argument("-json", action="store_true")
    parser.add_argument("-long", "-l", action="store_true")
    parser.add_argument("-nobatch", action="store_true")
    parser.add_argument("-attributes", "-attrs", default="")
    parser.add_argument("-constraint")
    parser.add_argument("-af", "-autoformat", nargs="+", default=[])
    parser.add_argument("ids", nargs="*")
    asked = parser.parse_args(argv)
    found = ask(at, "query", constraint=_constraint(asked.ids, asked.constraint), history=history)
    assert isinstance(found, list)
    ads = [_projected(classad2.ClassAd(text), asked.attributes) for text in found]
    if asked.json:
        if ads:
            print("[\n" + ",\n".join(ad.printJson() for ad in ads) + "\n]")
    elif asked.long:
        print("\n".join(ad.printOld() for ad in ads))
    else:
        for ad in ads:
            print(*(_shown(ad, name) for name in asked.af or ("ClusterId", "ProcId", "JobStatus")))
    return 0


def _projected(ad: classad2.ClassAd, attributes: str) -> classad2.ClassAd:
    names = [name for name in re.split(r"[,\s]+", attributes) if name]
    return classad2.ClassAd({name: ad[name] for name in names if name in ad}) if names else ad


def _shown(ad: classad2.ClassAd, name: str) -> str:
    if name not in ad:
        return "undefined"
    value = ad.eval(name)
    return str(value).lower() if isinstance(value, bool) else str(value)


def act(at: Path, argv: list[str], action: str, command: str) -> int:
    """Do something to jobs."""
    parser = argparse.ArgumentParser(command, allow_abbrev=False)
    parser.add_argument("-all", action="store_true")
    parser.add_argument("-constraint")
    parser.add_argument("-reason")
    parser.add_argument("ids", nargs="*")
    asked = parser.parse_args(argv)
    if not (asked.all or asked.constraint or asked.ids):
        parser.error("no jobs specified")
    reason = asked.reason or f"via {command} (by user {os.environ.get('USER', 'root')})"
    which = "true" if asked.all else _constraint(asked.ids, asked.constraint)
    done = ask(at, "act", action=action, constraint=which, reason=reason)
    what = " ".join(asked.ids) or asked.constraint or "all"
    if not done and not asked.all:
        print(f"Couldn't find/{action} all jobs matching {what}", file=sys.stderr)
        return 1
    print(f"Jobs {what} have been {PAST[action]}")
    return 0


def evicted_files(at: Path, argv: list[str]) -> int:
    """Show or copy what was saved of evicted jobs."""
    parser = argparse.ArgumentParser("condor_evicted_files", allow_abbrev=False)
    parser.add_argument("what", nargs="?", choices=("dir", "list", "get"), default="dir")
    parser.add_argument("ids", nargs="+")
    asked = parser.parse_args(argv)
    code = 0
    for name in asked.ids:
        saved = at / "spool" / name
        if not saved.is_dir():
            print(f"HTCondor is not holding any files for job {name}", file=sys.stderr)
            code = 1
        elif asked.what == "get":
            shutil.copytree(saved, Path.cwd() / name)
        else:
            print(saved if asked.what == "dir" else "\n".join(sorted(os.listdir(saved))))
    return code


def _constraint(ids: list[str], constraint: str | None) -> str:
    parts = []
    for name in ids:
        cluster, _, process = name.partition(".")
        if not cluster.isdigit() or (process and not process.isdigit()):
            raise Refused(f"{name} is no job")
        parts.append(f"ClusterId == {cluster}" + (f" && ProcId == {process}" if process else ""))
    ours = " || ".join(f"({part})" for part in parts) or "true"
    return f"({ours}) && ({constraint})" if constraint else ours


def main(at: Path, name: str, argv: list[str]) -> int:
    """Run the command of that name; returns its exit status."""
    verbs: dict[str, Callable[[], int]] = {
        "condor_submit": lambda: submit(at, argv),
        "condor_q": lambda: query(at, argv, history=False),
        "condor_history": lambda: query(at, argv, history=True),
        "condor_rm": lambda: act(at, argv, "remove", name),
        "condor_hold": lambda: act(at, argv, "hold", name),
        "condor_release": lambda: act(at, argv, "release", name),
        "condor_vacate_job": lambda: act(at, argv, "vacate", name),
        "condor_evicted_files": lambda: evicted_files(at, argv),
    }
    try:
        return verbs[name]()
    except (Refused, Unreachable, OSError) as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return 1
