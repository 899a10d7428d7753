"""The HTTP of the stand-in, its jobs, and the sandboxes that run them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from google.cloud import batch_v1
from google.protobuf import json_format

from tests.services import sandbox
from tests.services.daemons import HOST
from tests.services.memory import largest, memory_kib

Body = dict[str, Any]

PATH = re.compile(
    r"/v1/(projects/[^/]+/locations/[^/]+)/jobs(?:/([^/]+))?(/taskGroups/group0/tasks)?"
)
NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
LOOK_S = 0.05
MEMORY_LOOK_S = 0.2
SLOTS = 4
GRACE_S = 2.0
PREEMPTED = 50001
FINAL = ("SUCCEEDED", "FAILED")


class Refused(Exception):
    """A request cannot be granted; an HTTP status, and why."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Task:
    """One task of a job."""

    def __init__(self, name: str, spec: Body, index: int, log: Path) -> None:
        self.name, self.spec, self.index, self.log = name, spec, index, log
        self.state, self.told, self.code = "PENDING", "", 0
        self.process: subprocess.Popen[bytes] | None = None
        self.inner = 0
        self.verdict = 0
        self.kill_at = 0.0

    def start(self) -> None:
        """Run its command, unless its image is not there."""
        container = self.spec["runnables"][0]["container"]
        if "absent" in container["imageUri"]:
            self.over(125, f"Unable to find image '{container['imageUri']}' locally")
            return
        env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/"}
        env |= {"BATCH_TASK_INDEX": str(self.index)}
        env |= self.spec.get("environment", {}).get("variables", {})
        command = [container["entrypoint"], *container["commands"]]
        self.process, self.inner = sandbox.start(sandbox.words(command, env), self.log)
        self.state = "RUNNING"

    def look(self) -> None:
        """See whether it has ended, or must be made to."""
        assert self.process is not None
        code = self.process.poll()
        if code is None:
            if self.kill_at and time.monotonic() > self.kill_at:
                self.signal(signal.SIGKILL)
        elif self.verdict:
            self.over(self.verdict, f"Task state is updated because of exit code {self.verdict}")
        else:
            lines = self.log.read_text(errors="replace").strip().splitlines()
            self.over(code, lines[-1] if code and lines else "")

    @property
    def memory_kib(self) -> int:
        """What its machine has: what it asks for and no more."""
        return int(self.spec["computeResource"]["memoryMib"]) * 1024

    def over(self, code: int, told: str) -> None:
        """It has ended."""
        self.state, self.code, self.told = "FAILED" if code else "SUCCEEDED", code, told

    def end(self, verdict: int) -> None:
        """Tell it to end."""
        self.verdict, self.kill_at = verdict, time.monotonic() + GRACE_S
        self.signal(signal.SIGTERM)

    def signal(self, number: signal.Signals) -> None:
        if self.process is not None and self.process.poll() is None:
            try:
                os.kill(self.inner, number)
            except ProcessLookupError:
                pass

    def said(self) -> Body:
        events = []
        if self.state in FINAL:
            execution = {"exitCode": self.code}
            events = [
                {"type": "STATUS_CHANGED", "description": self.told, "taskExecution": execution}
            ]
        return {"name": self.name, "status": {"state": self.state, "statusEvents": events}}


class Service:
    """All jobs."""

    def __init__(self, at: Path) -> None:
        self.at = at
        self.changed = threading.RLock()
        self.jobs: dict[str, Body] = {}
        self.tasks: dict[str, list[Task]] = {}
        self.made: list[str] = []
        self.refusals: list[Refused] = []
        self.unheard: list[Refused] = []

    def create(self, parent: str, name: str, body: Body) -> Body:
        """Take a job on that the definition of the service can read."""
        if self.refusals:
            raise self.refusals.pop()
        try:
            json_format.ParseDict(body, batch_v1.Job.pb()())
        except json_format.ParseError as error:
            raise Refused(400, str(error)) from None
        if not NAME.fullmatch(name):
            raise Refused(400, f"job_id {name} is not valid")
        full = f"{parent}/jobs/{name}"
        if full in self.jobs:
            raise Refused(409, f"Resource '{full}' already exists")
        if len(body.get("taskGroups", [])) != 1:
            raise Refused(400, "exactly one task group is supported")
        (group,) = body["taskGroups"]
        count, spec = int(group.get("taskCount", 1)), group["taskSpec"]
        if int(spec["computeResource"]["cpuMilli"]) > 96_000:
            raise Refused(400, "no machine type has that many CPUs")
        self.jobs[full] = {**body, "name": full, "uid": name}
        self.tasks[full] = [
            Task(f"{full}/taskGroups/group0/tasks/{n}", spec, n, self.at / f"{name}.{n}.log")
            for n in range(count)
        ]
        self.made.append(full)
        if self.unheard:
            raise self.unheard.pop()
        return self.job(full)

    def job(self, full: str) -> Body:
        """A job and how it stands."""
        if full not in self.jobs:
            raise Refused(404, f"Resource '{full}' was not found")
        states = [task.state for task in self.tasks[full]]
        counts = {state: str(states.count(state)) for state in set(states)}
        state = "QUEUED"
        if all(one in FINAL for one in states):
            state = "FAILED" if "FAILED" in states else "SUCCEEDED"
        elif any(one != "PENDING" for one in states):
            state = "RUNNING"
        status = {"state": state, "taskGroups": {"group0": {"counts": counts}}}
        return {**self.jobs[full], "status": status}

    def delete(self, full: str) -> Body:
        """End what runs of a job, and forget it."""
        if full not in self.jobs:
            raise Refused(404, f"Resource '{full}' was not found")
        del self.jobs[full]
        for task in self.tasks.pop(full):
            task.signal(signal.SIGKILL)
        return {"name": f"{full}/operations/1", "done": True}

    def preempt(self, name: str) -> None:
        for tasks in self.tasks.values():
            for task in tasks:
                if task.name == name:
                    task.end(PREEMPTED)

    def refuse(self, code: int, message: str, unheard: bool) -> None:
        """Refuse the next job; or take it, and answer as if not."""
        (self.unheard if unheard else self.refusals).append(Refused(code, message))

    def clear(self) -> None:
        self.made.clear()
        self.refusals.clear()
        self.unheard.clear()
        for full in list(self.jobs):
            self.delete(full)

    def kill_for_memory(self, running: list[Task]) -> None:
        """As a machine's kernel does that has no memory left: end the process that has most."""
        used = memory_kib([task.inner for task in running])
        for task in running:
            if used[task.inner] > task.memory_kib:
                try:
                    os.kill(largest(task.inner), signal.SIGKILL)
                except ProcessLookupError:
                    pass

    def run(self) -> None:
        """Look at every task, many times a second."""
        memory_at = 0.0
        while True:
            with self.changed:
                tasks = [task for some in self.tasks.values() for task in some]
                running = [task for task in tasks if task.state == "RUNNING"]
                free = SLOTS - len(running)
                if running and time.monotonic() > memory_at:
                    self.kill_for_memory(running)
                    memory_at = time.monotonic() + MEMORY_LOOK_S
                for task in tasks:
                    if task.state == "RUNNING":
                        task.look()
                    elif task.state == "PENDING" and free > 0:
                        task.start()
                        free -= 1
            time.sleep(LOOK_S)


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_DELETE(self) -> None:
        self._answer()

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length) or b"{}")
        code = 200
        try:
            with self.server.service.changed:
                answer = self._do(body)
        except Refused as refusal:
            code = refusal.code
            answer = {"error": {"code": code, "message": str(refusal), "status": "REFUSED"}}
        data = json.dumps(answer).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _do(self, body: Body) -> Body:
        service, split = self.server.service, urlsplit(self.path)
        if split.path == "/stand-in/clear":
            service.clear()
            return {}
        if split.path == "/stand-in/preempt":
            service.preempt(body["task"])
            return {}
        if split.path == "/stand-in/refuse":
            service.refuse(body["code"], body["message"], body["unheard"])
            return {}
        if split.path == "/stand-in/made":
            return {"jobs": service.made}
        found = PATH.fullmatch(split.path)
        if found is None:
            raise Refused(404, f"no such path: {split.path}")
        parent, name, tasks = found.groups()
        full = f"{parent}/jobs/{name}"
        if self.command == "POST" and not name:
            return service.create(parent, parse_qs(split.query)["jobId"][0], body)
        if self.command == "DELETE" and name:
            return service.delete(full)
        if self.command != "GET" or not name:
            raise Refused(405, "the stand-in does not do this")
        job = service.job(full)
        return {"tasks": [task.said() for task in service.tasks[full]]} if tasks else job

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing of requests."""


class Server(ThreadingHTTPServer):
    """The server."""

    daemon_threads = True

    def __init__(self, at: Path, port: int) -> None:
        super().__init__((HOST, port), Handler)
        self.service = Service(at)


def main() -> None:
    """Serve until told to stop; arguments: folder, port."""
    server = Server(Path(sys.argv[1]), int(sys.argv[2]))
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    threading.Thread(target=server.service.run, daemon=True).start()
    stop.wait()
    server.service.clear()


if __name__ == "__main__":
    main()
