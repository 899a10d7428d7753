"""The HTTP of the stand-in: which requests are refused, and what the others do."""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import botocore.session
from botocore.validate import ParamValidator

from tests.services.daemons import HOST

from .jobs import Machines

Body = dict[str, Any]


class Refused(Exception):
    """A request cannot be granted."""


class Service:
    """The API's operations, by their names in the model."""

    def __init__(self, at: Path) -> None:
        self.machines = Machines(at)
        self.definitions: dict[str, Body] = {}
        self.unheard = 0

    def SubmitJob(self, asked: Body) -> Body:
        definition = self._definition(asked["jobDefinition"])
        if asked["jobQueue"] not in self.machines.free:
            raise Refused(f"Job queue {asked['jobQueue']} not found")
        size = asked.get("arrayProperties", {}).get("size", 1)
        if "arrayProperties" in asked and not 2 <= size <= 10_000:
            raise Refused("Array size must be between 2 and 10000")
        limit_s = asked.get("timeout", {}).get("attemptDurationSeconds", 60)
        if limit_s < 60:
            raise Refused("Timeout duration must be at least 60 seconds")
        job = self.machines.add(asked, definition["containerProperties"], size)
        return {"jobId": job.id, "jobName": job.name, "jobArn": f"arn:aws:batch:::job/{job.id}"}

    def DescribeJobs(self, asked: Body) -> Body:
        if len(asked["jobs"]) > 100:
            raise Refused("At most 100 jobs can be described at a time")
        found = [self.machines.jobs[name] for name in asked["jobs"] if name in self.machines.jobs]
        return {"jobs": [job.detail() for job in found]}

    def ListJobs(self, asked: Body) -> Body:
        if "arrayJobId" in asked:
            parent = self.machines.jobs.get(asked["arrayJobId"])
            state = asked.get("jobStatus", "RUNNING")
            children = parent.children if parent else []
            found = [child for child in children if child.status == state]
        elif "jobQueue" in asked:
            names = [v for one in asked.get("filters", []) for v in one["values"]]
            jobs = [job for job in self.machines.jobs.values() if job.parent is None]
            mine = [job for job in jobs if job.queue == asked["jobQueue"]]
            found = [job for job in mine if any(_matches(job.name, name) for name in names)]
        else:
            raise Refused("a job queue or an array job must be named")
        start = int(asked.get("nextToken", 0))
        page = found[start : start + min(asked.get("maxResults", 100), 100)]
        answer: Body = {"jobSummaryList": [job.summary() for job in page]}
        if start + len(page) < len(found):
            answer["nextToken"] = str(start + len(page))
        return answer

    def TerminateJob(self, asked: Body) -> Body:
        job = self.machines.jobs.get(asked["jobId"])
        if job is not None:
            self.machines.terminate(job, asked["reason"])
        return {}

    def RegisterJobDefinition(self, asked: Body) -> Body:
        if asked["type"] != "container" or "containerProperties" not in asked:
            raise Refused("the stand-in knows definitions of containers only")
        if not asked["containerProperties"].get("image"):
            raise Refused("Error executing request, Exception : image must not be null")
        arn = f"arn:aws:batch:us-east-1::job-definition/{asked['jobDefinitionName']}:1"
        made = {**asked, "jobDefinitionArn": arn, "revision": 1, "status": "ACTIVE"}
        self.definitions[asked["jobDefinitionName"]] = made
        return {name: made[name] for name in ("jobDefinitionName", "jobDefinitionArn", "revision")}

    def DescribeJobDefinitions(self, asked: Body) -> Body:
        name = asked.get("jobDefinitionName")
        found = [made for key, made in self.definitions.items() if name in (None, key)]
        return {"jobDefinitions": found}

    def GetLogEvents(self, asked: Body) -> Body:
        path = self.machines.at / "logs" / asked["logStreamName"].replace("/", "_")
        lines = path.read_text(errors="replace").splitlines() if path.exists() else []
        now = int(time.time() * 1000)
        kept = lines[-asked.get("limit", 10_000) :]
        return {"events": [{"timestamp": now, "message": line} for line in kept]}

    def _definition(self, name: str) -> Body:
        for made in self.definitions.values():
            if name in (made["jobDefinitionName"], made["jobDefinitionArn"]):
                return made
        raise Refused(f"Job definition {name} not found")


def _matches(name: str, wanted: str) -> bool:
    """Whether a job has a name, or begins so where the wanted one ends with an asterisk."""
    return name.startswith(wanted[:-1]) if wanted.endswith("*") else name == wanted


class Models:
    """What the official models say of requests."""

    def __init__(self) -> None:
        session = botocore.session.get_session()
        self._models = {name: session.get_service_model(name) for name in ("batch", "logs")}
        self._paths = {
            self._models["batch"].operation_model(name).http["requestUri"]: name
            for name in self._models["batch"].operation_names
        }

    def operation(self, path: str, target: str) -> tuple[str, Any]:
        """The name of what is asked for, and the shape of its input."""
        if target:
            name, model = target.rpartition(".")[2], self._models["logs"]
        else:
            name, model = self._paths.get(path, ""), self._models["batch"]
        if not name:
            raise Refused(f"no such operation: {path}")
        return name, model.operation_model(name).input_shape

    def check(self, body: Body, shape: Any) -> None:
        """Refuse what is not as the model has it."""
        report = ParamValidator().validate(body, shape)
        if report.has_errors():
            raise Refused(report.generate_report())


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        service, code = self.server.service, 200
        try:
            if self.path == "/stand-in/clear":
                service.machines.clear()
                service.definitions.clear()
                answer: Body = {}
            elif self.path == "/stand-in/reclaim":
                service.machines.reclaim(body["job"])
                answer = {}
            elif self.path == "/stand-in/lose":
                service.unheard += 1
                answer = {}
            else:
                target = self.headers.get("X-Amz-Target", "")
                name, shape = self.server.models.operation(self.path, target)
                self.server.models.check(body, shape)
                with service.machines.changed:
                    answer = getattr(service, name)(body)
                    if name == "SubmitJob" and service.unheard:
                        service.unheard -= 1
                        code, answer = 503, {"message": "the answer was lost"}
        except Refused as refusal:
            code, answer = 400, {"message": str(refusal), "__type": "ClientException"}
        data = json.dumps(answer).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        if code != 200:
            kind = "ClientException" if code < 500 else "ServerException"
            self.send_header("x-amzn-ErrorType", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing of requests."""


class Server(ThreadingHTTPServer):
    """The server."""

    daemon_threads = True

    def __init__(self, at: Path, port: int) -> None:
        super().__init__((HOST, port), Handler)
        self.service, self.models = Service(at), Models()


def main() -> None:
    """Serve until told to stop; arguments: folder, port."""
    server = Server(Path(sys.argv[1]), int(sys.argv[2]))
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    threading.Thread(target=server.service.machines.run, daemon=True).start()
    stop.wait()
    server.service.machines.clear()


if __name__ == "__main__":
    main()
