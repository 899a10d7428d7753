"""The services of all providers and regions of a site as one, asked by turns on one thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from typing import Final

import yaml

from hepflow.arrays.service import Array, Fault, Said, Tell
from hepflow.model.site import Queue, Site, text
from hepflow_clouds.providers import Job, Provider

INDEX: Final = "${AWS_BATCH_JOB_ARRAY_INDEX:-${BATCH_TASK_INDEX:-${HEPFLOW_INDEX:-0}}}"
"""The number of an element, whoever runs it."""

Maker = Callable[[Site, str, str], Provider]
"""Makes a provider of a site, a region and a tag."""


class Clouds:
    """Arrays go to the provider and the region that their queue names.

    Args:
        site: the site.
        tag: marks all that is ours.
        makers: provider's name -> what makes it.
        poll_s: seconds between two rounds of questions.
    """

    index: str = INDEX

    def __init__(self, site: Site, tag: str, makers: Mapping[str, Maker], poll_s: float) -> None:
        self._poll_s = poll_s
        self._places = {queue.name: _place(site, queue) for queue in (site.anywhere, *site.queues)}
        self._providers = {
            place: makers[place[0]](site, place[1], tag)
            for place in sorted(set(self._used(site).values()))
        }
        self._jobs: dict[tuple[str, str], dict[str, Job]] = {place: {} for place in self._providers}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closed = False
        self._tell: Tell

    def _used(self, site: Site) -> dict[str, tuple[str, str]]:
        named = {queue.name: self._places[queue.name] for queue in site.queues}
        return named or {"": self._places[""]}

    def start(self, tell: Tell) -> None:
        """Ask from now on."""
        self._tell = tell
        threading.Thread(target=self._ask_on, daemon=True).start()

    def submit(self, array: Array) -> str:
        """To where its queue is."""
        place = self._places[array.queue.name]
        job = self._providers[place].submit(array)
        with self._lock:
            self._jobs[place][job] = Job(array.size)
        return _handle(place, job)

    def end(self, job: str, elements: Collection[int] | None) -> None:
        """End elements; a whole array is forgotten too."""
        place, name = self._of(job)
        provider = self._providers[place]
        known = self._jobs[place].get(name)
        if elements is None:
            with self._lock:
                self._jobs[place].pop(name, None)
            if known is not None and len(known.over) < known.size:
                provider.end(name, range(known.size))
            provider.forget(name)
        else:
            provider.end(name, elements)
            self._wake.set()

    def find(self, names: Collection[str]) -> dict[str, str]:
        """By asking every provider for each."""
        found = {}
        for name in names:
            for place, provider in self._providers.items():
                there = provider.find(name)
                if there is not None:
                    job, size = there
                    with self._lock:
                        self._jobs[place].setdefault(job, Job(size))
                    found[name] = _handle(place, job)
        return found

    def sample(self, array: Array) -> str:
        """The request, with what is secret left out."""
        place = self._places[array.queue.name]
        hidden = array._replace(secret=dict.fromkeys(array.secret, "(made when it is submitted)"))
        request = self._providers[place].request(hidden)
        said: str = yaml.safe_dump(dict(request), sort_keys=False)
        return f"# {' '.join(place)}\n{said}"

    def close(self) -> None:
        """Ask no more."""
        self._closed = True
        self._wake.set()

    def _of(self, handle: str) -> tuple[tuple[str, str], str]:
        provider, region, job = handle.split("/", 2)
        return (provider, region), job

    def _ask_on(self) -> None:
        """On a thread: round after round."""
        while not self._closed:
            for place, provider in self._providers.items():
                with self._lock:
                    jobs = {
                        name: job
                        for name, job in self._jobs[place].items()
                        if len(job.over) < job.size
                    }
                news: list[Said] = []
                try:
                    for said in provider.ask(jobs):
                        news.append(said)
                except Fault:
                    pass  # that says nothing of jobs, but what was said before it counts
                if news and not self._closed:
                    self._tell([said._replace(job=_handle(place, said.job)) for said in news])
            self._wake.wait(self._poll_s)
            self._wake.clear()


def _place(site: Site, queue: Queue) -> tuple[str, str]:
    settings = site.settings_for(queue)
    return text(settings, "provider"), text(settings, "region")


def _handle(place: tuple[str, str], job: str) -> str:
    return f"{place[0]}/{place[1]}/{job}"
