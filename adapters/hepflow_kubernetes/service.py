"""Kubernetes as a service that runs arrays: Jobs made and deleted, one watch for all their Pods."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeVar

import urllib3
import yaml
from kubernetes.client.exceptions import ApiException

from hepflow.arrays.service import Array, Fault, Said, Tell
from hepflow.model.site import Site, text
from hepflow.model.task import Reason
from hepflow_kubernetes import pods
from hepflow_kubernetes.cluster import connect
from hepflow_kubernetes.objects import EXECUTOR, INDEX, Pods, owned_by, secret

LISTEN_S: Final = 30
"""Seconds after which a watch begins anew in which nothing has happened."""

TICK_S: Final = 1.0
AWAY_S: Final = 3.0
"""Seconds before a server is asked again that did not answer."""

PODLESS_S: Final = 20.0
"""A Job without a Pod after so long is asked why."""

LATE_S: Final = 60.0
"""So much longer than its grace period a Pod may take to go before its node is taken to be lost."""

MISSING: Final = 404

Answer = TypeVar("Answer")


@dataclass(slots=True)
class Books:
    """What is known of one Job."""

    count: int
    made_at: float
    pods: dict[int, str] = field(default_factory=dict)
    """Those that are there, by element."""
    doomed: set[int] = field(default_factory=set)
    """Elements that must not run any more."""
    over: set[int] = field(default_factory=set)
    """Elements that were told as ended."""


class Doubt(NamedTuple):
    """A Pod that will be given up then (monotonic seconds), and what is said then."""

    at: float
    said: Said


class KubernetesService:
    """Jobs in one namespace.

    Args:
        site: the site.
        manifests: what Jobs look like there.
        tag: the label of all that is ours.
        patience_s: seconds that a container may wait that will most likely never run.
    """

    index: str = INDEX

    def __init__(self, site: Site, manifests: Pods, tag: str, patience_s: float) -> None:
        self._site = site
        self._manifests = manifests
        self._tag = tag
        self._patience_s = patience_s
        self._namespace = ""
        self._lock = threading.Lock()
        self._books: dict[str, Books] = {}
        self._doubts: dict[tuple[str, int], Doubt] = {}
        self._closed = threading.Event()
        self._tell: Tell
        self._batch: Any
        self._core: Any

    # --- the door ---------------------------------------------------------------------------------

    def start(self, tell: Tell) -> None:
        """Read the kubeconfig, see that the namespace answers, and begin to watch."""
        self._tell = tell
        said = self._site.settings
        cluster = connect(text(said, "context"), text(said, "namespace"))
        self._batch, self._core, self._namespace = cluster
        version = self._list()
        threading.Thread(target=self._listen, args=(version,), daemon=True).start()
        threading.Thread(target=self._look_again, daemon=True).start()

    def submit(self, array: Array) -> str:
        """Create the Job, and before it the secret that it owns."""
        with self._lock:
            self._books.setdefault(array.name, Books(array.size, time.monotonic()))
        if array.secret:
            _asked(
                lambda: self._core.create_namespaced_secret(
                    self._namespace, secret(array, self._tag)
                )
            )
        body = self._manifests.job(array, self._tag)
        try:
            made = _raw(
                lambda **more: self._batch.create_namespaced_job(self._namespace, body, **more)
            )
        except Fault:
            self._forget(array.name)
            raise
        if array.secret:
            change = owned_by(made)
            _asked(lambda: self._core.patch_namespaced_secret(array.name, self._namespace, change))
        return array.name

    def end(self, job: str, elements: Collection[int] | None) -> None:
        """Delete Pods, or the Job where nothing else of it is wanted."""
        if elements is None:
            self._delete(job)
            self._forget(job)
            return
        with self._lock:
            books = self._books.setdefault(job, Books(max(elements) + 1, time.monotonic()))
            books.doomed.update(elements)
            there = {element: books.pods[element] for element in elements if element in books.pods}
            podless = [e for e in elements if e not in there and e not in books.over]
            books.over.update(podless)
            all_of_it = len(books.doomed | books.over) >= books.count
        if all_of_it:
            self._delete(job)
        else:
            for name in there.values():
                self._delete_pod(name)
        self._tell([Said(job, element, ended=True) for element in podless])

    def find(self, names: Collection[str]) -> dict[str, str]:
        """Our Jobs that are there."""
        found = _raw(
            lambda **more: self._batch.list_namespaced_job(
                self._namespace, label_selector=f"{EXECUTOR}={self._tag}", **more
            )
        )
        there = {item["metadata"]["name"]: item["spec"]["completions"] for item in found["items"]}
        with self._lock:
            for name, count in there.items():
                self._books.setdefault(name, Books(count, time.monotonic())).count = count
        return {name: name for name in names if name in there}

    def sample(self, array: Array) -> str:
        """The Job's manifest."""
        job: str = yaml.safe_dump(self._manifests.job(array, self._tag), sort_keys=False)
        return f"---\n{job}"

    def close(self) -> None:
        """Tell no more."""
        self._closed.set()

    # --- deleting ---------------------------------------------------------------------------------

    def _delete(self, job: str) -> None:
        # Without a policy the Pods would stay.
        _gone(
            lambda: self._batch.delete_namespaced_job(
                job, self._namespace, propagation_policy="Background"
            )
        )
        _gone(lambda: self._core.delete_namespaced_secret(job, self._namespace))

    def _delete_pod(self, name: str) -> None:
        _gone(lambda: self._core.delete_namespaced_pod(name, self._namespace))

    def _forget(self, job: str) -> None:
        with self._lock:
            self._books.pop(job, None)
            self._doubts = {key: doubt for key, doubt in self._doubts.items() if key[0] != job}

    # --- watching ---------------------------------------------------------------------------------

    def _listen(self, version: str) -> None:
        """On a thread: the watch, again and again."""
        while not self._closed.is_set():
            try:
                if not version:
                    version = self._list()
                version = self._follow(version)
            except Fault:
                version = ""
                self._closed.wait(AWAY_S)

    def _list(self) -> str:
        """All our Pods as they are; what was there and is not any more was deleted."""
        found = self._pods()
        with self._lock:
            known = {
                (job, element): name
                for job, books in self._books.items()
                for element, name in books.pods.items()
                if element not in books.over
            }
        there = {item["metadata"]["name"] for item in found["items"]}
        for item in found["items"]:
            self._note(item, deleted=False)
        for (job, element), name in known.items():
            if name not in there:
                why = "its pod was deleted while nobody watched"
                self._say(Said(job, element, f"pod {name}", True, Reason.NODE, why))
        version: str = found["metadata"]["resourceVersion"]
        return version

    def _pods(self) -> Any:
        return _raw(
            lambda **more: self._core.list_namespaced_pod(
                self._namespace, label_selector=f"{EXECUTOR}={self._tag}", **more
            )
        )

    def _follow(self, version: str) -> str:
        """What happens to our Pods; returns where to go on, nothing if all must be listed anew."""
        answer = _asked(
            lambda: self._core.list_namespaced_pod(
                self._namespace, label_selector=f"{EXECUTOR}={self._tag}", watch=True,
                resource_version=version, timeout_seconds=LISTEN_S, allow_watch_bookmarks=True,
                _preload_content=False, _request_timeout=(10, LISTEN_S + 10),
            )
        )  # fmt: skip
        try:
            for line in _lines(answer):
                event = json.loads(line)
                if self._closed.is_set():
                    return ""
                if event["type"] == "ERROR":  # that version is too old by now
                    return ""
                version = event["object"]["metadata"]["resourceVersion"]
                if event["type"] != "BOOKMARK":
                    self._note(event["object"], deleted=event["type"] == "DELETED")
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Fault(str(error), True) from error
        finally:
            answer.close()
        return version

    def _note(self, pod: pods.Pod, deleted: bool) -> None:
        """Keep the books of one Pod, and tell what there is to tell."""
        key = pods.element_of(pod)
        if key is None:
            return
        job, element = key
        name = pod["metadata"]["name"]
        with self._lock:
            books = self._books.setdefault(job, Books(element + 1, time.monotonic()))
            is_doomed = element in books.doomed and element not in books.pods
            books.pods[element] = name
        if is_doomed and not deleted and "deletionTimestamp" not in pod["metadata"]:
            with suppress(Fault):
                self._delete_pod(name)
        said = pods.ended(pod, deleted)
        if said is not None:
            self._say(self._with_log(said, name))
        elif pod["status"].get("phase") == "Running":
            self._tell([Said(job, element, pods.where(pod))])
        self._doubt(key, pod, said is not None)

    def _doubt(self, key: tuple[str, int], pod: pods.Pod, over: bool) -> None:
        """Note when a Pod is to be given up, unless something happens to it before."""
        why, now = pods.stuck(pod), time.monotonic()
        doubt = None
        if "deletionTimestamp" in pod["metadata"]:
            grace_s = pod["metadata"].get("deletionGracePeriodSeconds", 30)
            gone = "its node does not answer: its pod was to end and did not"
            said = Said(*key, pods.where(pod), True, Reason.NODE, gone)
            doubt = Doubt(now + grace_s + LATE_S, said)
        elif why:
            said = Said(*key, pods.where(pod), True, Reason.START, why)
            doubt = Doubt(now + self._patience_s, said)
        with self._lock:
            if over or doubt is None:
                self._doubts.pop(key, None)
            else:
                self._doubts.setdefault(key, doubt)

    def _with_log(self, said: Said, pod: str) -> Said:
        """With the last line that a Pod printed, where that may say why it could not even begin."""
        if said.reason is not Reason.START or self._closed.is_set():
            return said
        try:
            answer = _asked(
                lambda: self._core.read_namespaced_pod_log(
                    pod, self._namespace, tail_lines=5, _preload_content=False
                )
            )
        except Fault:
            return said
        lines = answer.data.decode(errors="replace").strip().splitlines()
        return said._replace(why=f"{said.why}: {lines[-1].strip()}") if lines else said

    def _say(self, said: Said) -> None:
        """Tell that an element has ended, once."""
        with self._lock:
            books = self._books.setdefault(said.job, Books(said.element + 1, time.monotonic()))
            if said.element in books.over:
                return
            books.over.add(said.element)
        self._tell([said])

    # --- the second look --------------------------------------------------------------------------

    def _look_again(self) -> None:
        """On a thread: give up what has waited too long, and ask Jobs why they have no Pods."""
        asked: set[str] = set()
        while not self._closed.wait(TICK_S):
            now = time.monotonic()
            with self._lock:
                due = [doubt.said for doubt in self._doubts.values() if doubt.at <= now]
                for said in due:
                    del self._doubts[said.job, said.element]
                podless = {
                    job
                    for job, books in self._books.items()
                    if not books.pods and not books.over and now - books.made_at > PODLESS_S
                }
            for said in due:
                self._say(said)
                with suppress(Fault):
                    self._delete_pod(said.where.rpartition(" ")[2])
            for job in podless - asked:
                with suppress(Fault):
                    self._ask_why(job)
            asked = podless if int(now) % int(PODLESS_S) else set()

    def _ask_why(self, job: str) -> None:
        """End a Job that can have no Pods, and say why; one that waits for a quota goes on waiting."""
        found = _raw(
            lambda **more: self._core.list_namespaced_event(
                self._namespace, field_selector=f"involvedObject.name={job}", **more
            )
        )
        said = [item["message"] for item in found["items"] if item.get("reason") == "FailedCreate"]
        if not said or "exceeded quota" in said[-1]:
            return
        why = f"Kubernetes makes no pod for it: {' '.join(said[-1].split())}"
        with self._lock:
            count = self._books[job].count if job in self._books else 0
        for element in range(count):
            self._say(Said(job, element, ended=True, reason=Reason.REJECTED, why=why))


def _lines(answer: Any) -> Iterator[bytes]:
    """The lines of a stream, each as soon as it is whole."""
    rest = b""
    for data in answer.stream(amt=None, decode_content=False):
        *whole, rest = (rest + data).split(b"\n")
        yield from filter(None, whole)


def _raw(call: Callable[..., Any]) -> Any:
    """The answer to a request as JSON: the client's own objects are slow to make, and lose what is new."""
    return json.loads(_asked(lambda: call(_preload_content=False)).data)


def _status(fault: Fault) -> int:
    """The HTTP status of a refusal; 0 where nobody answered."""
    cause = fault.__cause__
    return int(cause.status) if isinstance(cause, ApiException) else 0


def _gone(call: Callable[[], object]) -> None:
    """Delete something that may be gone already."""
    try:
        _asked(call)
    except Fault as fault:
        if _status(fault) != MISSING:
            raise


def _asked(call: Callable[[], Answer]) -> Answer:
    """Make a request.

    Raises:
        Fault: it was refused, or nobody answered.
    """
    try:
        return call()
    except ApiException as error:
        raise Fault(_why(error), _may_pass(error)) from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise Fault(f"the Kubernetes server cannot be reached: {error}", True) from error


def _may_pass(error: ApiException) -> bool:
    quota = error.status == 403 and "exceeded quota" in str(error.body)
    return quota or error.status == 429 or error.status >= 500


def _why(error: ApiException) -> str:
    """What the server says, in one line."""
    try:
        said = json.loads(error.body)["message"]
    except (TypeError, ValueError, KeyError):
        said = error.reason
    return f"Kubernetes refused it ({error.status}): {' '.join(str(said).split())}"
