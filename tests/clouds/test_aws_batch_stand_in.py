"""The clouds' executor against the stand-in for AWS Batch and moto's S3.

What the stand-in is no witness of stands at the head of its package.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from hepflow.model.errors import UnavailableError
from hepflow.model.events import Accepted, Lost, Rejected
from hepflow.model.site import Limits, Queue, Site, Staging
from hepflow.model.task import Attempt, Call, Output, Reason, Resources, Shell, Staged, Task
from hepflow.model.task import Container as Image
from hepflow.model.values import File
from tests.contract.loop import Loop
from tests.services.aws_batch import AwsBatchStandIn
from tests.services.fixtures import wanted

boto3 = wanted("boto3")

from hepflow_clouds import CloudsExecutor  # noqa: E402 - the library comes first

SITE = Site(
    "cloud",
    executor="clouds",
    staging=Staging.CAPSULE,
    limits=Limits(poll_s=0.3),
    queues=(
        Queue("cpu", cpus=64, settings={"job_queue": "work"}),
        Queue("gpu", cpus=64, gpus=2, partition="gpu"),
    ),
    settings={
        "provider": "aws",
        "region": "us-east-1",
        "bucket": "s3://work",
        "memory_mib": 200,
        "grace_s": 0.5,
    },
)


class Bench:
    """One executor with its loop."""

    def __init__(self, site: Site, folder: Path) -> None:
        self.loop, self.folder = Loop(), folder
        self.executor = CloudsExecutor(folder / "executor", site=site)
        self.executor.start(self.loop)

    def attempts(self, *tasks: Task) -> list[Attempt]:
        return [
            Attempt(f"step[{n}]#1", task, f"{self.folder}/tasks/{n}")
            for n, task in enumerate(tasks)
        ]

    def submit(self, *tasks: Task) -> list[Attempt]:
        made = self.attempts(*tasks)
        self.executor.submit(made)
        return made

    def run(self, *tasks: Task) -> list[Any]:
        """The last events of the tasks."""
        made = self.submit(*tasks)
        self.loop.finish([attempt.id for attempt in made], 60)
        return [self.loop.final[attempt.id] for attempt in made]

    def handles(self) -> dict[str, str]:
        accepted = (event for event in self.loop.events if isinstance(event, Accepted))
        return {event.attempt: event.handle for event in accepted}


@pytest.fixture
def bench(aws_batch_stand_in: AwsBatchStandIn, tmp_path: Path) -> Iterator[Callable[..., Bench]]:
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


def jobs_of_the_queue() -> list[Any]:
    ours = [{"name": "JOB_NAME", "values": ["step*"]}]
    found: list[Any] = boto3.client("batch").list_jobs(jobQueue="work", filters=ours)[
        "jobSummaryList"
    ]
    return found


def test_tasks_of_equal_shape_are_one_array_and_their_outputs_come_home(
    bench: Any, tmp_path: Path
) -> None:
    data = tmp_path / "data.txt"
    data.write_text("brought ")
    there = bench()
    stage = (Staged(File(str(data)), "in.txt"),)
    text = "cat in.txt >o; echo {} >>o; test ! -e {}"
    events = there.run(
        *[shell(text.format(n, tmp_path), Output("o", "o"), stage=stage) for n in range(6)]
    )
    assert all(event.outcome.succeeded for event in events), events
    assert [Path(event.outcome.outputs["o"].location).read_text() for event in events] == [
        f"brought {n}\n" for n in range(6)
    ]
    assert len({handle.partition("[")[0] for handle in there.handles().values()}) == 1
    batch = boto3.client("batch")
    (job,) = {handle.partition("[")[0].split("/")[2] for handle in there.handles().values()}
    (found,) = batch.describe_jobs(jobs=[job])["jobs"]
    assert found["arrayProperties"]["size"] == 6


def test_a_single_task_is_a_plain_job(bench: Any) -> None:
    (event,) = bench().run(shell("echo hello; exit 3"))
    assert event.outcome.reason is Reason.PROGRAM
    assert (event.outcome.exit_code, event.outcome.stdout) == (3, "hello\n")


def test_a_function_is_called_there(bench: Any, tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "far.py").write_text("def double(x):\n    return 2 * x\n")
    task = Task(Call("far:double", {"x": 21}, {}, (str(tmp_path / "code"),)), (Output("value"),))
    (event,) = bench().run(task)
    assert event.outcome.outputs == {"value": 42}


def test_a_machine_that_is_taken_away_is_told_as_such(
    bench: Any, aws_batch_stand_in: AwsBatchStandIn
) -> None:
    there = bench()
    made = there.submit(shell("sleep 100"), shell("sleep 2"))
    there.loop.until(lambda: made[0].id in there.loop.started)
    handle = there.handles()[made[0].id]
    aws_batch_stand_in.reclaim(f"{handle.partition('[')[0].split('/')[2]}:0")
    there.loop.finish([attempt.id for attempt in made])
    event = there.loop.final[made[0].id]
    assert isinstance(event, Lost), event
    assert event.reason is Reason.PREEMPTED
    assert there.loop.outcome(made[1].id).succeeded


def test_more_memory_than_asked_for_is_told(bench: Any) -> None:
    text = "exec python3 -c 'import time; kept = bytearray(300 << 20); time.sleep(30)'"
    (event,) = bench().run(shell(text, resources=Resources(memory_mib=100)))
    assert event.outcome.reason is Reason.MEMORY
    assert "OutOfMemoryError" in event.outcome.message


def test_an_image_that_is_not_there_is_explained(bench: Any) -> None:
    (event,) = bench().run(shell("true", container=Image("absent:1")))
    assert event.outcome.reason is Reason.START
    assert "its image cannot be pulled" in event.outcome.message
    assert "pull access denied for absent:1" in event.outcome.message


def test_an_image_without_python_is_explained_by_its_log(bench: Any) -> None:
    site = replace(SITE, settings={**SITE.settings, "python": "/no/python"})
    (event,) = bench(site).run(shell("true"))
    assert event.outcome.reason is Reason.START
    assert "could not run there (exit code 127): " in event.outcome.message
    assert "/no/python" in event.outcome.message


def test_what_batch_will_never_start_is_told_with_its_own_words(bench: Any) -> None:
    (event,) = bench().run(shell("true", resources=Resources(cpus=50)))
    assert event.outcome.reason is Reason.REJECTED
    assert "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT" in event.outcome.message


def test_a_queue_that_is_not_there_is_a_lasting_refusal(bench: Any) -> None:
    site = replace(SITE, queues=(Queue("x", settings={"job_queue": "nowhere"}),))
    (event,) = bench(site).run(shell("true"))
    assert isinstance(event, Rejected)
    assert not event.transient
    assert "Job queue nowhere not found" in event.message


def test_a_job_that_was_taken_though_nobody_heard_is_not_submitted_twice(
    bench: Any, aws_batch_stand_in: AwsBatchStandIn
) -> None:
    there = bench()
    aws_batch_stand_in.lose_answer()
    events = there.run(shell("sleep 1"), shell("exit 3"))
    assert [event.outcome.reason for event in events] == [None, Reason.PROGRAM]
    assert len(jobs_of_the_queue()) == 1


def test_waiting_and_running_jobs_are_cancelled(bench: Any) -> None:
    there = bench()
    made = there.submit(*[shell("sleep 100")] * 8)
    there.loop.until(lambda: len(there.loop.started) == 4)
    there.executor.cancel([attempt.id for attempt in made])
    there.loop.finish([attempt.id for attempt in made], 20)
    assert {there.loop.outcome(attempt.id).reason for attempt in made} == {Reason.CANCELLED}


def test_a_later_head_finds_every_job_once(bench: Any) -> None:
    first = bench()
    made = first.submit(*[shell(f"sleep 0.{n}; echo {n} >o", Output("o", "o")) for n in range(8)])
    first.loop.until(lambda: len(first.handles()) == 8)
    first.executor.close()
    later = bench()
    names = [attempt.id for attempt in made if attempt.id not in first.loop.final]
    assert set(later.executor.recover(dict.fromkeys(names, ""))) == set(names)
    later.loop.finish(names)
    assert all(later.loop.outcome(name).succeeded for name in names)
    assert len(jobs_of_the_queue()) == 1


def test_a_request_says_what_a_task_and_its_site_ask_for(tmp_path: Path) -> None:
    site = replace(SITE, env={"COLOUR": "red"})
    executor = CloudsExecutor(tmp_path, site=site)
    task = shell(
        "true", resources=Resources(1.5, 500, gpus=1, walltime_s=3600), container=Image("me/img:1")
    )
    said = executor.sample([Attempt(f"fit[{n}]#1", task, "/x") for n in range(3)])
    request = yaml.safe_load(said)
    assert said.startswith("# aws us-east-1\n")
    assert request["jobQueue"] == "gpu"
    assert request["arrayProperties"] == {"size": 3}
    assert request["timeout"] == {"attemptDurationSeconds": 3660}
    overrides = request["containerOverrides"]
    assert overrides["resourceRequirements"] == [
        {"type": "VCPU", "value": "2"},
        {"type": "MEMORY", "value": "500"},
        {"type": "GPU", "value": "1"},
    ]
    assert {"name": "COLOUR", "value": "red"} in overrides["environment"]
    assert {"name": "HEPFLOW_LINK", "value": "(made when it is submitted)"} in overrides[
        "environment"
    ]


def test_nothing_is_left_in_the_bucket(bench: Any) -> None:
    there = bench()
    there.run(shell("touch x", Output("o", "x")))
    there.executor.close(settled=True)
    assert "Contents" not in boto3.client("s3").list_objects_v2(Bucket="work")


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"provider": "ibm"}, "the setting 'provider' is one of aws"),
        ({"provider": "aws", "bucket": "x"}, "needs the setting 'region'"),
        ({"provider": "aws", "region": "r"}, "needs the setting 'job_queue'"),
        (
            {"provider": "aws", "region": "r", "job_queue": "q"},
            r"say 'settings: \{bucket: s3://NAME\}'",
        ),
    ],
)
def test_a_site_that_says_too_little_is_refused(
    tmp_path: Path, settings: dict[str, object], why: str
) -> None:
    site = Site("x", executor="clouds", staging=Staging.CAPSULE, settings=settings)
    with pytest.raises(ValueError, match=why):
        CloudsExecutor(tmp_path, site=site)


def test_a_bucket_that_is_not_there_is_told(bench: Any) -> None:
    site = replace(SITE, settings={**SITE.settings, "bucket": "s3://nowhere"})
    (event,) = bench(site).run(shell("true"))
    assert isinstance(event, Rejected)
    assert not event.transient
    assert "bucket 'nowhere': NoSuchBucket" in event.message


def test_missing_keys_are_a_lasting_refusal(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)
    (event,) = bench().run(shell("true"))
    assert isinstance(event, Rejected)
    assert not event.transient
    assert "Unable to locate credentials" in event.message


def test_a_profile_that_is_not_there_is_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, aws_batch_stand_in: AwsBatchStandIn
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)
    with pytest.raises(UnavailableError, match=r"site 'cloud' cannot be used now[^$]*nobody"):
        Bench(SITE, tmp_path)
