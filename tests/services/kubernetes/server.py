"""The HTTP of the API: discovery, objects, watches and logs."""

from __future__ import annotations

import json
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.services.daemons import HOST

from . import NAMESPACE, jobs
from .checks import VERSION, check, check_change
from .objects import JOBS, PODS, RESOURCES, Object, Objects, Refused, Resource, now
from .pods import FINAL, Kubelet, nodes

PATH = re.compile(
    r"/(?:api/(?P<core>v1)|apis/(?P<group>[^/]+/[^/]+))"
    r"(?:/namespaces/(?P<namespace>[^/]+)(?=/))?"
    r"/(?P<plural>[^/]+)(?:/(?P<name>[^/]+)(?:/(?P<sub>[^/]+))?)?"
)
VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]


class Cluster:
    """The objects, and those who act on them."""

    def __init__(self, at: Path) -> None:
        self.objects = Objects()
        self.controller = jobs.Controller(self.objects)
        self.kubelet = Kubelet(at, self.objects)
        for name in ("default", NAMESPACE):
            self._make("v1", "namespaces", {"name": name}, status={"phase": "Active"})
            account = {"name": "default", "namespace": name}
            self._make("v1", "serviceaccounts", account)
        for node in nodes():
            self.objects.create(RESOURCES["v1", "nodes"], node)

    def _make(self, group: str, plural: str, metadata: Object, **more: object) -> None:
        resource = RESOURCES[group, plural]
        made = {"apiVersion": group, "kind": resource.kind, "metadata": metadata, **more}
        self.objects.create(resource, made)

    def run(self) -> None:
        """Act on what changes, and a few times a second on what only time changes."""
        seen = 0
        while True:
            seen = self.objects.wait(seen, 0.3)
            with self.objects.changed:
                self.controller.reconcile()
                self.kubelet.reconcile()
            time.sleep(0.02)


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def do_PUT(self) -> None:
        self._answer(self._put)

    def do_PATCH(self) -> None:
        self._answer(self._patch)

    def do_DELETE(self) -> None:
        self._answer(self._delete)

    # --- reading ------------------------------------------------------------------------------

    def _get(self) -> Object | None:
        known = discovery(self.path_only)
        if known is not None:
            return known
        resource, namespace, name, sub = self._target()
        if resource is PODS and sub == "log":
            return self._log(self.objects.get(PODS, namespace, name))
        if sub not in ("", "status"):
            raise Refused(404, "NotFound", f"no such subresource: {sub}")
        if name:
            return self.objects.get(resource, namespace, name)
        if self._is_set("watch"):
            return self._watch(resource, namespace)
        version = self.objects.version
        items = [one for one in self.objects.list(resource, namespace) if self._selects(one)]
        return {
            "kind": f"{resource.kind}List",
            "apiVersion": resource.group,
            "metadata": {"resourceVersion": str(version)},
            "items": items,
        }

    def _selects(self, made: Object) -> bool:
        labels = made["metadata"].get("labels") or {}
        for part in filter(None, self.query.get("labelSelector", "").split(",")):
            name, sign, value = re.fullmatch(r"(!?[^=!]+)(==|!=|=|)(.*)", part.strip()).groups()  # type: ignore[union-attr]
            if " in (" in part or " notin (" in part:
                raise Refused(400, "BadRequest", "the stand-in knows no sets in selectors")
            if sign == "":
                if name.startswith("!") == (name.lstrip("!") in labels):
                    return False
            elif (labels.get(name) == value) != (sign != "!="):
                return False
        for part in filter(None, self.query.get("fieldSelector", "").split(",")):
            path, sign, value = re.fullmatch(r"([^=!]+)(==|!=|=)(.*)", part).groups()  # type: ignore[union-attr]
            found: Any = made
            for name in path.split("."):
                found = (found or {}).get(name)
            if (str(found or "") == value) != (sign != "!="):
                return False
        return True

    def _watch(self, resource: Resource, namespace: str) -> None:
        limit_s = float(self.query.get("timeoutSeconds", "3600"))
        end = time.monotonic() + limit_s
        asked = self.query.get("resourceVersion", "")
        start = int(asked) if asked.isdigit() and asked != "0" else None

        def lines() -> Iterator[bytes]:
            version = self.objects.version if start is None else start
            for made in self.objects.list(resource, namespace) if start is None else []:
                if self._selects(made):
                    yield json.dumps({"type": "ADDED", "object": made}).encode() + b"\n"
            while (left_s := end - time.monotonic()) > 0:
                for change in self.objects.since(version, min(left_s, 1)):
                    version = change.version
                    where = change.object["metadata"].get("namespace", "")
                    if (
                        change.resource is resource
                        and namespace in ("", where)
                        and self._selects(change.object)
                    ):
                        told = {"type": change.type, "object": change.object}
                        yield json.dumps(told).encode() + b"\n"
                    if time.monotonic() > end:
                        return

        self._stream(lines(), "application/json")

    def _log(self, pod: Object) -> None:
        names = [container["name"] for container in pod["spec"]["containers"]]
        names += [container["name"] for container in pod["spec"].get("initContainers") or []]
        name = self.query.get("container", names[0])
        if name not in names:
            raise Refused(400, "BadRequest", f"container {name} is not valid for pod")
        refused = {"previous", "sinceSeconds", "sinceTime", "timestamps"} & {
            key for key, value in self.query.items() if value.lower() != "false"
        }
        if refused:
            raise Refused(400, "BadRequest", f"the stand-in does not do {', '.join(refused)}")
        path = self.server.cluster.kubelet.log(pod, name)
        follow = self._is_set("follow")
        if not path.exists() and not follow:
            said = pod["metadata"]["name"]
            raise Refused(
                400, "BadRequest", f'container "{name}" in pod "{said}" is waiting to start'
            )
        metadata = pod["metadata"]

        def chunks() -> Iterator[bytes]:
            read = 0
            while True:
                try:
                    made = self.objects.get(PODS, metadata["namespace"], metadata["name"])
                    over = made["status"]["phase"] in FINAL
                except Refused:
                    over = True
                text = path.read_bytes()[read:] if path.exists() else b""
                if read == 0 and "tailLines" in self.query:
                    read = len(text)
                    lines = text.splitlines(keepends=True)
                    text = b"".join(lines[max(0, len(lines) - int(self.query["tailLines"])) :])
                else:
                    read += len(text)
                yield text[: int(self.query.get("limitBytes", len(text)))]
                if over or not follow:
                    return
                time.sleep(0.1)

        self._stream(chunks(), "text/plain")

    # --- writing ------------------------------------------------------------------------------

    def _post(self) -> Object:
        resource, namespace, name, sub = self._target()
        if resource is PODS and sub == "eviction":
            return self._evict(namespace, name)
        if name:
            raise Refused(405, "MethodNotAllowed", "POST to an object")
        body = self._body()
        if resource.namespaced:
            metadata = body.setdefault("metadata", {})
            if metadata.setdefault("namespace", namespace) != namespace:
                raise Refused(400, "BadRequest", "the namespace of the object is another")
        check(resource, body, self.objects)
        if self.query.get("dryRun") == "All":
            return body
        if resource is JOBS:
            jobs.defaults(body)
            with self.objects.changed:
                made = self.objects.create(resource, body)
                return self.objects.change(
                    resource, namespace, made["metadata"]["name"], jobs.label
                )
        if resource is PODS:
            body["status"] = {"phase": "Pending"}
        elif resource.plural == "persistentvolumeclaims":
            body["status"] = {"phase": "Bound"}
        return self.objects.create(resource, body)

    def _evict(self, namespace: str, name: str) -> Object:
        condition = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "EvictionByEvictionAPI",
            "message": "Eviction API: evicting",
        }

        def mark(pod: Object) -> None:
            pod["status"].setdefault("conditions", []).append(condition)
            pod["metadata"].setdefault("deletionTimestamp", now())

        self.objects.change(PODS, namespace, name, mark)
        return {"kind": "Status", "apiVersion": "v1", "status": "Success", "code": 201}

    def _put(self) -> Object:
        body = self._body()
        return self._alter(lambda made: body)

    def _patch(self) -> Object:
        kind = self.headers.get("Content-Type", "")
        if kind not in ("application/merge-patch+json", "application/strategic-merge-patch+json"):
            raise Refused(415, "UnsupportedMediaType", f"the stand-in does not do {kind}")
        body = self._body()
        return self._alter(lambda made: merged(made, body))

    def _alter(self, how: Any) -> Object:
        resource, namespace, name, sub = self._target()
        if sub:
            raise Refused(404, "NotFound", f"no such subresource to write: {sub}")

        def change(made: Object) -> None:
            after = how(made)
            version = after["metadata"].get("resourceVersion")
            if version not in (None, made["metadata"]["resourceVersion"]):
                raise Refused(409, "Conflict", "the object has been modified")
            check_change(resource, made, after)
            status, metadata = made.get("status"), made["metadata"]
            made.clear()
            made.update(after)
            made["metadata"] = {**metadata, **after["metadata"]}
            if status is not None:
                made["status"] = status

        return self.objects.change(resource, namespace, name, change)

    def _delete(self) -> Object:
        resource, namespace, name, _ = self._target()
        options = {**self._body(), **self.query}
        if name:
            return self._delete_one(resource, namespace, name, options)
        for made in self.objects.list(resource, namespace):
            if self._selects(made):
                with suppress(Refused):  # it went meanwhile
                    self._delete_one(resource, namespace, made["metadata"]["name"], options)
        return {"kind": "Status", "apiVersion": "v1", "status": "Success", "code": 200}

    def _delete_one(
        self, resource: Resource, namespace: str, name: str, options: dict[str, Any]
    ) -> Object:
        made = self.objects.get(resource, namespace, name)
        if resource is PODS:
            grace_s = options.get("gracePeriodSeconds")

            def mark(pod: Object) -> None:
                pod["metadata"].setdefault("deletionTimestamp", now())
                if grace_s is not None:
                    pod["metadata"]["deletionGracePeriodSeconds"] = int(grace_s)

            return self.objects.change(PODS, namespace, name, mark)
        if resource is JOBS:
            # As the real one: without a policy the Pods stay, for compatibility with the past.
            self.server.cluster.controller.delete(
                made, str(options.get("propagationPolicy") or "Orphan")
            )
        else:
            self.objects.remove(resource, namespace, name)
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Success",
            "details": {"name": name, "kind": resource.plural, "uid": made["metadata"]["uid"]},
        }

    # --- the wire -----------------------------------------------------------------------------

    @property
    def objects(self) -> Objects:
        return self.server.cluster.objects

    @property
    def path_only(self) -> str:
        return urlsplit(self.path).path

    @property
    def query(self) -> dict[str, str]:
        return {key: values[-1] for key, values in parse_qs(urlsplit(self.path).query).items()}

    def _is_set(self, name: str) -> bool:
        return self.query.get(name, "").lower() in ("1", "t", "true")

    def _target(self) -> tuple[Resource, str, str, str]:
        match = PATH.fullmatch(self.path_only)
        resource = (
            RESOURCES.get((match["core"] or match["group"], match["plural"])) if match else None
        )
        if match is None or resource is None:
            raise Refused(404, "NotFound", "the server could not find the requested resource")
        return resource, match["namespace"] or "", match["name"] or "", match["sub"] or ""

    def _body(self) -> Object:
        read = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            body = json.loads(read or b"{}")
        except ValueError:
            raise Refused(400, "BadRequest", "the body is not JSON") from None
        if not isinstance(body, dict):
            raise Refused(400, "BadRequest", "the body is no object")
        return body

    def _answer(self, how: Any) -> None:
        """Send what a method comes to; ``None`` means that it has sent it itself."""
        code, answer = 201 if self.command == "POST" else 200, None
        try:
            answer = how()
        except Refused as error:
            code = error.code
            answer = {
                "kind": "Status",
                "apiVersion": "v1",
                "metadata": {},
                "status": "Failure",
                "message": error.message,
                "reason": error.reason,
                "code": error.code,
            }
        if answer is None:
            return
        body = json.dumps(answer).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, parts: Iterator[bytes], kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            for part in parts:
                if part:
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
            self.wfile.write(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # whoever watched has gone

    def log_message(self, format: str, *parts: Any) -> None:
        sys.stderr.write(f"{now()} {format % parts}\n")


class Server(ThreadingHTTPServer):
    """The server with its cluster."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, cluster: Cluster) -> None:
        super().__init__((HOST, port), Handler)
        self.cluster = cluster


def merged(made: Any, patch: Any) -> Any:
    """A merge patch (RFC 7396) applied."""
    if not isinstance(patch, dict):
        return patch
    result = dict(made) if isinstance(made, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def discovery(path: str) -> Object | None:
    """What clients ask before they ask for anything."""
    groups = sorted({group for group, _ in RESOURCES if "/" in group})
    if path == "/version":
        major, minor = VERSION.split(".")
        return {"major": major, "minor": minor, "gitVersion": f"v{VERSION}.0-stand-in"}
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"]}
    if path == "/apis":
        return {
            "kind": "APIGroupList",
            "apiVersion": "v1",
            "groups": [
                {
                    "name": group.split("/")[0],
                    "versions": [{"groupVersion": group, "version": group.split("/")[1]}],
                    "preferredVersion": {"groupVersion": group, "version": group.split("/")[1]},
                }
                for group in groups
            ],
        }
    if path == "/openapi/v3":
        paths = ["api/v1", *(f"apis/{group}" for group in groups)]
        return {"paths": {path: {"serverRelativeURL": f"/openapi/v3/{path}"} for path in paths}}
    if path.startswith("/openapi/v3/"):
        return _openapi(path.removeprefix("/openapi/v3/").split("/", 1)[1])
    match = re.fullmatch(r"/api/(v1)|/apis/([^/]+/[^/]+)", path)
    if not match or not any(group == (match[1] or match[2]) for group, _ in RESOURCES):
        return None
    group = match[1] or match[2]
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": group,
        "resources": [
            {
                "name": resource.plural,
                "singularName": resource.kind.lower(),
                "namespaced": resource.namespaced,
                "kind": resource.kind,
                "verbs": VERBS,
                "shortNames": list(resource.short),
            }
            for resource in RESOURCES.values()
            if resource.group == group
        ],
    }


def _openapi(group: str) -> Object:
    """As much of the API's description as makes `kubectl` leave the checks to the server."""
    name, _, version = group.rpartition("/")
    field_validation = {"name": "fieldValidation", "in": "query", "schema": {"type": "string"}}
    return {
        "openapi": "3.0.0",
        "info": {"title": "stand-in", "version": VERSION},
        "paths": {
            f"/{resource.plural}/{{name}}": {
                "patch": {
                    "parameters": [field_validation],
                    "responses": {},
                    "x-kubernetes-group-version-kind": {
                        "group": name,
                        "version": version,
                        "kind": resource.kind,
                    },
                }
            }
            for resource in RESOURCES.values()
            if resource.group == group
        },
    }


def main(at: Path, port: int) -> None:
    """Serve until told to stop."""
    cluster = Cluster(at)
    server = Server(port, cluster)

    def stop(*_: object) -> None:
        threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, stop)
    threading.Thread(target=cluster.run, daemon=True).start()
    server.serve_forever(poll_interval=0.1)
    cluster.kubelet.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
