"""The clouds' executor against the stand-in for Google Cloud Batch and moto's S3."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from hepflow.model.events import Lost, Rejected
from hepflow.model.site import Limits, Queue, Site, Staging
from hepflow.model.task import Attempt, Output, Reason, Resources, Shell, Task
from hepflow.model.task import Container as Image
from tests.clouds.test_aws_batch_stand_in import Bench
from tests.services.fixtures import wanted
from tests.services.google_batch import GoogleBatchStandIn
from tests.services.moto import Moto

boto3 = wanted("boto3")
batch_v1 = wanted("google.cloud.batch_v1")

from google.auth.credentials import AnonymousCredentials  # noqa: E402 - the library comes first
from google.cloud.batch_v1.services.batch_service.transports import (  # noqa: E402
    BatchServiceRestTransport,
)

from hepflow_clouds import CloudsExecutor  # noqa: E402

SITE = Site(
    "cloud",
    executor="clouds",
    staging=Staging.CAPSULE,
    limits=Limits(poll_s=0.3),
    queues=(
        Queue("cpu", cpus=200, preemptible=True),
        Queue(
            "gpu",
            gpus=2,
            gpu_kinds={"t4": "nvidia-tesla-t4"},
            settings={"machine": "n1-standard-8"},
        ),
    ),
    settings={
        "provider": "gcp",
        "project": "mine",
        "region": "us-central1",
        "bucket": "work",
        "memory_mib": 200,
        "grace_s": 0.5,
    },
)


@pytest.fixture
def bench(
    google_batch_stand_in: GoogleBatchStandIn,
    moto: Moto,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Any]:
    def connect() -> Any:
        transport = BatchServiceRestTransport(
            host=google_batch_stand_in.host,
            url_scheme="http",
            credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
        )
        return batch_v1.BatchServiceClient(transport=transport)

    monkeypatch.setattr("hepflow_clouds.google.connect", connect)
    boto3.client("s3").create_bucket(Bucket="work")
    made: list[Bench] = []

    def make(site: Site = SITE) -> Bench:
        made.append(Bench(site, tmp_path))
        return made[-1]

    yield make
    for one in made:
        one.executor.close()


def shell(text: str, *outputs: Output, **more: Any) -> Task:
    return Task(Shell(text), outputs, **more)


def test_tasks_of_equal_shape_are_one_job_and_their_outputs_come_home(bench: Any) -> None:
    there = bench()
    events = there.run(*[shell(f"echo {n} >o; exit {n // 5}", Output("o", "o")) for n in range(6)])
    assert [event.outcome.reason for event in events] == [None] * 5 + [Reason.PROGRAM]
    assert Path(events[4].outcome.outputs["o"].location).read_text() == "4\n"
    assert len({handle.partition("[")[0] for handle in there.handles().values()}) == 1


def test_a_machine_that_is_taken_away_is_told_as_such(
    bench: Any, google_batch_stand_in: GoogleBatchStandIn
) -> None:
    there = bench()
    made = there.submit(shell("sleep 100"), shell("sleep 2"))
    there.loop.until(lambda: made[0].id in there.loop.started)
    job = there.handles()[made[0].id].partition("[")[0].split("/", 2)[2]
    google_batch_stand_in.preempt(f"{job}/taskGroups/group0/tasks/0")
    there.loop.finish([attempt.id for attempt in made])
    event = there.loop.final[made[0].id]
    assert isinstance(event, Lost), event
    assert event.reason is Reason.PREEMPTED
    assert there.loop.outcome(made[1].id).succeeded


def test_more_memory_than_its_machine_has_is_told_and_the_others_go_on(bench: Any) -> None:
    hungry = "exec python3 -c 'import time; kept = bytearray(300 << 20); time.sleep(30)'"
    asked = Resources(memory_mib=100)
    events = bench().run(shell(hungry, resources=asked), shell("sleep 1", resources=asked))
    assert events[0].outcome.reason is Reason.MEMORY
    assert "of 100 MiB asked for" in events[0].outcome.message
    assert events[1].outcome.succeeded


@pytest.mark.parametrize(
    ("code", "message"),
    [(429, "Quota exceeded for quota metric 'Mutation requests'"), (503, "try again later")],
)
def test_a_job_that_is_refused_for_now_is_taken_when_it_comes_again(
    bench: Any, google_batch_stand_in: GoogleBatchStandIn, code: int, message: str
) -> None:
    there = bench()
    google_batch_stand_in.refuse(code, message)
    (event,) = there.run(shell("true"))
    assert isinstance(event, Rejected)
    assert event.transient
    assert f"Google Batch refused it ({code}): " in event.message
    assert message in event.message
    again = Attempt("step[0]#2", shell("true"), f"{there.folder}/tasks/again")
    there.executor.submit([again])
    there.loop.finish([again.id])
    assert there.loop.outcome(again.id).succeeded


def test_a_job_that_was_taken_though_nobody_heard_is_not_submitted_twice(
    bench: Any, google_batch_stand_in: GoogleBatchStandIn
) -> None:
    there = bench()
    google_batch_stand_in.refuse(503, "the answer was lost", unheard=True)
    events = there.run(shell("sleep 1"), shell("exit 3"))
    assert [event.outcome.reason for event in events] == [None, Reason.PROGRAM]
    assert len(google_batch_stand_in.made()) == 1


def test_what_cannot_start_is_explained(bench: Any) -> None:
    (absent,) = bench().run(shell("true", container=Image("absent:1")))
    assert absent.outcome.reason is Reason.START
    assert "its container cannot be started (Unable to find image" in absent.outcome.message
    site = replace(SITE, settings={**SITE.settings, "python": "/no/python"})
    (bad,) = bench(site).run(shell("true"))
    assert "could not run there (exit code 127): " in bad.outcome.message


def test_a_job_that_is_refused_is_a_lasting_refusal(bench: Any) -> None:
    (event,) = bench().run(shell("true", resources=Resources(cpus=150)))
    assert isinstance(event, Rejected)
    assert not event.transient
    assert "Google Batch refused it (400): " in event.message


def test_jobs_are_cancelled(bench: Any) -> None:
    there = bench()
    made = there.submit(*[shell("sleep 100")] * 6)
    there.loop.until(lambda: len(there.loop.started) == 4)
    there.executor.cancel([attempt.id for attempt in made])
    there.loop.finish([attempt.id for attempt in made], 20)
    assert {there.loop.outcome(attempt.id).reason for attempt in made} == {Reason.CANCELLED}


def test_a_later_head_finds_every_job(bench: Any) -> None:
    first = bench()
    made = first.submit(*[shell(f"sleep 0.{n}; echo {n} >o", Output("o", "o")) for n in range(6)])
    first.loop.until(lambda: len(first.handles()) == 6)
    first.executor.close()
    later = bench()
    names = [attempt.id for attempt in made if attempt.id not in first.loop.final]
    assert set(later.executor.recover(dict.fromkeys(names, ""))) == set(names)
    later.loop.finish(names)
    assert all(later.loop.outcome(name).succeeded for name in names)


def test_a_request_says_what_a_task_and_its_site_ask_for(tmp_path: Path) -> None:
    executor = CloudsExecutor(tmp_path, site=SITE)
    asked = Resources(2, 500, gpus=1, gpu_kind="t4", walltime_s=3600)
    task = shell("true", resources=asked, container=Image("me/img:1"))
    said = yaml.safe_load(executor.sample([Attempt("fit#1", task, "/x")]))
    (group,) = said["taskGroups"]
    assert group["taskSpec"]["computeResource"] == {"cpuMilli": "2000", "memoryMib": "500"}
    assert group["taskSpec"]["maxRunDuration"] == "3660s"
    (instance,) = said["allocationPolicy"]["instances"]
    assert instance["policy"] == {
        "provisioningModel": "STANDARD",
        "machineType": "n1-standard-8",
        "accelerators": [{"type": "nvidia-tesla-t4", "count": "1"}],
    }
    assert said["allocationPolicy"]["location"]["allowedLocations"] == ["regions/us-central1"]
