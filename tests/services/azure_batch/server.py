"""The HTTP of the stand-in."""

from __future__ import annotations

import json
import re
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.services.azure_batch import ACCOUNT
from tests.services.azure_batch.blobs import Blobs
from tests.services.azure_batch.jobs import Body, Jobs, Refused
from tests.services.daemons import HOST

PATH = re.compile(
    r"/jobs(?:/([^/]+)(?:/(addtaskcollection|tasks|terminate)(?:/([^/]+)/terminate)?)?)?"
)


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self._answer()

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.startswith(f"/{ACCOUNT}/"):
            blobs = self.server.blobs
            self._send(*blobs.answer(self.command, self.path, self.headers, body))
            return
        status = 200
        said: Any
        try:
            with self.server.jobs.changed:
                status, said = self._do(json.loads(body or b"{}"))
        except Refused as refusal:
            status = refusal.status
            message = {"lang": "en-US", "value": str(refusal)}
            said = {"code": refusal.code, "message": message}
        kind = {"Content-Type": "application/json;odata=minimalmetadata"}
        self._send(status, kind, json.dumps(said).encode() if said is not None else b"")

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _do(self, body: Body) -> tuple[int, Any]:
        path = urlsplit(self.path).path
        if path.startswith("/stand-in/"):
            return 200, self._beyond(path.rpartition("/")[2], body)
        if self.command == "GET" and path.startswith("/pools/"):
            return 200, self.server.jobs.pool(path.rpartition("/")[2])
        found = PATH.fullmatch(path)
        if found is None or "api-version=" not in self.path:
            raise Refused(404, "ResourceNotFound", f"no such path: {self.path}")
        jobs, (name, what, task) = self.server.jobs, found.groups()
        match self.command, what:
            case "POST", None if not name:
                if self.server.unheard:
                    return self._unheard(body)
                return 201, jobs.create(body)
            case "GET", None if name:
                return 200, jobs.job(name)
            case "PATCH", None if name:
                return 200, jobs.update(name, body)
            case "DELETE", None if name:
                return 202, jobs.delete(name)
            case "POST", "terminate":
                return 202, jobs.terminate_job(name)
            case "POST", "addtaskcollection":
                return 200, {"value": jobs.add(name, body)}
            case "GET", "tasks" if not task:
                jobs.job(name)
                return 200, {"value": [one.said() for one in jobs.tasks[name].values()]}
            case "POST", "tasks" if task:
                return 204, jobs.terminate(name, task)
        raise Refused(405, "MethodNotAllowed", "the stand-in does not do this")

    def _unheard(self, body: Body) -> tuple[int, Any]:
        """Make a job whose maker never learns of it."""
        self.server.unheard -= 1
        if body["id"] not in self.server.jobs.tasks:
            self.server.jobs.create(body)
        raise Refused(503, "ServerBusy", "the answer was lost")

    def _beyond(self, what: str, body: Body) -> Body:
        """What no user could ask for."""
        jobs = self.server.jobs
        match what:
            case "clear":
                jobs.clear()
                self.server.blobs.kept.clear()
            case "preempt":
                jobs.tasks[body["job"]][body["task"]].end("preempted")
            case "unheard":
                self.server.unheard = body["tries"]
            case "lose":
                del jobs.tasks[body["job"]][body["task"]]
        return {name: len(tasks) for name, tasks in jobs.tasks.items()}

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing of requests."""


class Server(ThreadingHTTPServer):
    """The server."""

    daemon_threads = True

    def __init__(self, at: Path, port: int) -> None:
        super().__init__((HOST, port), Handler)
        self.jobs, self.blobs = Jobs(at), Blobs()
        self.unheard = 0


def main() -> None:
    """Serve until told to stop; arguments: folder, port."""
    server = Server(Path(sys.argv[1]), int(sys.argv[2]))
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    threading.Thread(target=server.jobs.run, daemon=True).start()
    stop.wait()
    server.jobs.clear()


if __name__ == "__main__":
    main()
