"""Several providers as one service, whoever they are."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Mapping, Sequence

from hepflow.arrays.service import Array, Fault, Said
from hepflow.model.site import Queue, Site
from hepflow.model.task import Resources
from hepflow_clouds.clouds import Clouds
from hepflow_clouds.providers import Job


class Faltering:
    """A provider that is cut off in the middle of its first answer, and says nothing twice."""

    def __init__(self, site: Site, region: str, tag: str) -> None:
        self.asked = 0

    def request(self, array: Array) -> Mapping[str, object]:
        return {}

    def submit(self, array: Array) -> str:
        return array.name

    def ask(self, jobs: Mapping[str, Job]) -> Iterator[Said]:
        self.asked += 1
        for name, job in jobs.items():
            for element in set(range(job.size)) - job.over:
                job.over.add(element)
                yield Said(name, element, ended=True)
                if self.asked == 1:
                    raise Fault("cut off", transient=True)

    def end(self, job: str, elements: Collection[int]) -> None:
        """Nothing runs."""

    def find(self, name: str) -> tuple[str, int] | None:
        return None

    def forget(self, job: str) -> None:
        """Nothing is kept."""


def test_what_a_provider_said_before_it_was_cut_off_counts() -> None:
    queue = Queue("q", settings={"provider": "some", "region": "here"})
    clouds = Clouds(
        Site("s", executor="clouds", queues=(queue,)), "tag", {"some": Faltering}, poll_s=0.01
    )
    clouds.submit(Array("a", "a", 3, queue, Resources(), 0, "image", "true", {}, {}))
    heard: list[int] = []
    whole = threading.Event()

    def tell(news: Sequence[Said]) -> None:
        heard.extend(said.element for said in news)
        if len(heard) == 3:
            whole.set()

    clouds.start(tell)
    assert whole.wait(10), heard
    clouds.close()
    assert sorted(heard) == [0, 1, 2]
