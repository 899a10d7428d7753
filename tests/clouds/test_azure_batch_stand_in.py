"""The clouds' executor against the stand-in for Azure Batch and Blob storage.

What the stand-in is no witness of stands at the head of its package.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
import yaml

from hepflow.model.events import Lost, Rejected
from hepflow.model.site import Limits, Queue, Site, Staging
from hepflow.model.task import Attempt, Output, Reason, Resources, Shell, Staged, Task
from hepflow.model.task import Container as Image
from hepflow.model.values import File
from tests.clouds.test_aws_batch_stand_in import Bench
from tests.services.azure_batch import AzureBatchStandIn
from tests.services.fixtures import wanted

for module in ("azure.batch", "azure.identity", "azure.storage.blob"):
    wanted(module)

from hepflow.arrays.buckets import Link  # noqa: E402 - the libraries come first
from hepflow.arrays.service import Fault  # noqa: E402
from hepflow_clouds import CloudsExecutor  # noqa: E402
from hepflow_clouds.azure_asking import RETRIES  # noqa: E402
from hepflow_clouds.blobs import BlobBucket  # noqa: E402

SETTINGS = {
    "provider": "azure",
    "region": "eastus",
    "batch_account": "mine",
    "bucket": "az://work/below",
    "memory_mib": 200,
    "grace_s": 0.5,
}
SITE = Site(
    "cloud",
    executor="clouds",
    staging=Staging.CAPSULE,
    limits=Limits(poll_s=0.3),
    queues=(
        Queue("cpu", cpus=4, settings={"pool": "work", "slots": 4}),
        Queue("gpu", cpus=16, gpus=1, gpu_kinds={"t4": ""}, settings={"machine": "Standard_NC16"}),
    ),
    settings=SETTINGS,
)


@pytest.fixture
def bench(
    azure_batch_stand_in: AzureBatchStandIn, tmp_path: Path
) -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(site: Site = SITE) -> Bench:
        made.append(Bench(site, tmp_path))
        return made[-1]

    yield make
    for one in made:
        one.executor.close()


def shell(text: str, *outputs: Output, **more: Any) -> Task:
    return Task(Shell(text), outputs, **more)


def job_of(there: Bench, attempt: Attempt) -> str:
    return there.handles()[attempt.id].partition("[")[0].split("/", 2)[2]


def test_tasks_of_equal_shape_are_one_job_and_their_outputs_come_home(
    bench: Any, tmp_path: Path
) -> None:
    data = tmp_path / "data.txt"
    data.write_text("brought ")
    stage = (Staged(File(str(data)), "in.txt"),)
    text = "cat in.txt >o; echo {0} >>o; test ! -e {1}; exit $(({0} / 5))"
    there = bench()
    events = there.run(
        *[shell(text.format(n, tmp_path), Output("o", "o"), stage=stage) for n in range(6)]
    )
    assert [event.outcome.reason for event in events] == [None] * 5 + [Reason.PROGRAM]
    assert Path(events[4].outcome.outputs["o"].location).read_text() == "brought 4\n"
    assert len({handle.partition("[")[0] for handle in there.handles().values()}) == 1


def test_the_lines_of_a_site_come_as_they_are(bench: Any) -> None:
    awkward = """X='a\\n"b" $c'"""
    site = replace(SITE, setup=(awkward, "export X", "cd /"), env={"Y": "é \\ '"})
    (event,) = bench(site).run(shell('printf "%s|%s" "$X" "$Y"'))
    assert event.outcome.stdout == """a\\n"b" $c|é \\ '"""


def test_more_tasks_than_a_request_takes_are_one_job_nonetheless(
    bench: Any, azure_batch_stand_in: AzureBatchStandIn
) -> None:
    there = bench()
    made = there.submit(*[shell("sleep 100")] * 101)
    there.loop.until(lambda: len(there.handles()) == 101)
    assert list(azure_batch_stand_in.jobs().values()) == [101]
    there.executor.cancel([attempt.id for attempt in made])
    there.loop.finish([attempt.id for attempt in made], 20)
    assert {there.loop.outcome(attempt.id).reason for attempt in made} == {Reason.CANCELLED}
    there.loop.until(lambda: not azure_batch_stand_in.jobs())


def test_one_of_many_is_cancelled_alone(bench: Any) -> None:
    there = bench()
    made = there.submit(shell("sleep 100"), shell("sleep 2"))
    there.loop.until(lambda: made[0].id in there.loop.started)
    there.executor.cancel([made[0].id])
    there.loop.finish([attempt.id for attempt in made])
    assert there.loop.outcome(made[0].id).reason is Reason.CANCELLED
    assert there.loop.outcome(made[1].id).succeeded


def test_a_task_whose_machine_is_taken_away_is_lost_and_not_run_again_behind_our_back(
    bench: Any, azure_batch_stand_in: AzureBatchStandIn, tmp_path: Path
) -> None:
    there = bench()
    made = there.submit(shell("sleep 100"), shell("sleep 2"))
    there.loop.until(lambda: made[0].id in there.loop.started)
    azure_batch_stand_in.preempt(job_of(there, made[0]), "0")
    there.loop.finish([attempt.id for attempt in made])
    event = there.loop.final[made[0].id]
    assert isinstance(event, Lost), event
    assert event.reason is Reason.PREEMPTED
    assert there.loop.outcome(made[1].id).succeeded
    there.loop.until(lambda: not azure_batch_stand_in.jobs())


def test_what_cannot_start_is_explained(bench: Any) -> None:
    (absent,) = bench().run(shell("true", container=Image("absent:1")))
    assert absent.outcome.reason is Reason.START
    assert "its container cannot be started (ContainerInvalidImage: " in absent.outcome.message
    site = replace(SITE, settings={**SETTINGS, "python": "/no/python"})
    (bad,) = bench(site).run(shell("true"))
    assert "could not run there (exit code 127; see stderr.txt" in bad.outcome.message


def test_what_is_refused_is_a_lasting_refusal_and_leaves_nothing(
    bench: Any, azure_batch_stand_in: AzureBatchStandIn
) -> None:
    no_pool = replace(SITE, queues=(replace(SITE.queues[0], settings={"pool": "none"}),))
    (event,) = bench(no_pool).run(shell("true"))
    assert isinstance(event, Rejected)
    assert not event.transient
    told = "Azure Batch refused it (404 PoolNotFound): The specified pool does not exist."
    assert event.message.endswith(told)
    slots = {"pool": "work", "slots": 8}
    too_fine = replace(SITE, queues=(replace(SITE.queues[0], settings=slots),))
    (event,) = bench(too_fine).run(shell("true", resources=Resources(cpus=4)))
    assert "(InvalidPropertyValue): A node of the pool has 4 task slots." in event.message
    assert azure_batch_stand_in.jobs() == {}


def test_a_later_head_finds_every_task_and_what_was_never_added(
    bench: Any, azure_batch_stand_in: AzureBatchStandIn
) -> None:
    first = bench()
    made = first.submit(*[shell(f"sleep 0.{n}; echo {n} >o", Output("o", "o")) for n in range(8)])
    first.loop.until(lambda: len(first.handles()) == 8)
    first.executor.close()
    azure_batch_stand_in.lose(job_of(first, made[7]), "7")
    later = bench()
    names = [attempt.id for attempt in made if attempt.id not in first.loop.final]
    assert set(later.executor.recover(dict.fromkeys(names, ""))) == set(names)
    later.loop.finish(names)
    assert isinstance(later.loop.final[made[7].id], Lost)
    there = [name for name in names if name != made[7].id]
    assert all(later.loop.outcome(name).succeeded for name in there)


def test_a_job_that_was_made_though_nobody_heard_gets_its_tasks(
    bench: Any, azure_batch_stand_in: AzureBatchStandIn
) -> None:
    there = bench()
    azure_batch_stand_in.lose_answers(1 + RETRIES)
    events = there.run(shell("true"), shell("exit 3"))
    assert [event.outcome.reason for event in events] == [None, Reason.PROGRAM]
    assert len({handle.partition("[")[0] for handle in there.handles().values()}) == 1


def test_a_service_that_does_not_answer_is_a_passing_refusal(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_BATCH_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("hepflow_clouds.azure.RETRIES", 0)
    (event,) = bench().run(shell("true"))
    assert isinstance(event, Rejected)
    assert event.transient
    assert "Azure Batch cannot be reached" in event.message


def test_a_link_is_good_for_one_object_and_one_use(
    azure_batch_stand_in: AzureBatchStandIn, tmp_path: Path
) -> None:
    bucket = BlobBucket("work/below", {})
    write, read = bucket.link("a b/ü", write=True), bucket.link("a b/ü")

    def use(link: Link, method: str, data: bytes | None = None, **more: str) -> bytes:
        headers = {**link.headers, **more}
        with urlopen(Request(link.url, data, headers, method=method), timeout=10) as answer:
            found: bytes = answer.read()
        return found

    use(write, "PUT", b"0123456789")
    assert use(read, "GET", Range="bytes=2-4") == b"234"
    bucket.fetch("a b/ü", tmp_path / "here")
    assert (tmp_path / "here").read_bytes() == b"0123456789"
    assert list(bucket.keys("a b/")) == ["a b/ü"]
    bucket.put("a b/2", b"")
    other = Link(read.url.replace("a%20b/", "a%20b/2"), {})
    for link, method in ((read, "PUT"), (write, "GET"), (other, "GET")):
        with pytest.raises(HTTPError, match="403"):
            use(link, method)
    bucket.remove("a b/")
    assert list(bucket.keys("")) == []


def test_a_request_says_what_a_task_and_its_site_ask_for(
    azure_batch_stand_in: AzureBatchStandIn, tmp_path: Path
) -> None:
    queue = Queue(
        "own", cpus=16, memory_mib=64_000, preemptible=True,
        settings={"machine": "Standard_D16s_v5", "slots": 8, "machines": 2},
    )  # fmt: skip
    executor = CloudsExecutor(tmp_path, site=replace(SITE, queues=(queue,)))
    asked = Resources(2, 24_000, walltime_s=3600)
    task = shell("true", resources=asked, container=Image("me/img:1"))
    said = yaml.safe_load(executor.sample([Attempt(f"fit[{n}]#1", task, "/x") for n in range(9)]))
    pool = said["job"]["poolInfo"]["autoPoolSpecification"]["pool"]
    assert (pool["targetLowPriorityNodes"], pool["targetDedicatedNodes"]) == (2, 0)
    assert (pool["vmSize"], pool["taskSlotsPerNode"]) == ("Standard_D16s_v5", 8)
    assert said["task"]["requiredSlots"] == 3, "of eight slots, by its memory"
    assert said["task"]["constraints"]["maxTaskRetryCount"] == 0
    assert said["task"]["constraints"]["maxWallClockTime"] == "PT01H01M00S"
    assert said["task"]["containerSettings"] == {
        "imageName": "me/img:1",
        "containerRunOptions": "--rm --memory 24000m",
    }


def test_a_job_has_machines_of_its_own_where_no_pool_is_named(bench: Any) -> None:
    (event,) = bench().run(shell("echo $((6 * 7))", resources=Resources(gpus=1, gpu_kind="t4")))
    assert event.outcome.stdout == "42\n"


@pytest.mark.parametrize(
    ("machine", "told"),
    [("Standard_None", "AllocationTimedout: "), ("Standard_TooMany", "CoreQuotaReached: ")],
)
def test_a_job_that_gets_no_machine_is_told_and_only_what_may_pass_is_tried_again(
    bench: Any, machine: str, told: str
) -> None:
    queue = Queue("own", cpus=4, settings={"machine": machine})
    first, second = bench(replace(SITE, queues=(queue,))).run(shell("true"), shell("true"))
    if machine == "Standard_None":
        assert isinstance(first, Lost)
        assert told in first.message
    else:
        assert first.outcome.reason is Reason.REJECTED
        assert told in first.outcome.message
    assert type(first) is type(second)


def test_a_site_says_what_machines_run(tmp_path: Path) -> None:
    system = "almalinux:almalinux-hpc:8-hpc-gen2:batch.node.el 8"
    queue = Queue("own", cpus=4, settings={"machine": "Standard_D4", "system": system})
    text = CloudsExecutor(tmp_path, site=replace(SITE, queues=(queue,))).sample(
        [Attempt("a#1", shell("true"), f"{tmp_path}/a")]
    )
    assert "offer: almalinux-hpc" in text
    assert "nodeAgentSKUId: batch.node.el 8" in text


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"system": "ubuntu"}, "the setting 'system' takes PUBLISHER:OFFER:SKU:AGENT"),
        ({"batch_account": ""}, "needs the setting 'batch_account' in queue 'cpu'"),
        ({"pool": ""}, "needs the setting 'machine' or 'pool' in queue 'cpu'"),
        ({"slots": 0}, "the setting 'slots' is 1 or more, not 0"),
    ],
)
def test_a_site_that_lacks_something_is_told_so(
    changed: dict[str, object], told: str, tmp_path: Path
) -> None:
    queue = replace(SITE.queues[0], settings={**SITE.queues[0].settings, **changed})
    with pytest.raises(ValueError, match=told):
        CloudsExecutor(tmp_path, site=replace(SITE, queues=(queue,)))


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("", "no account is named"),
        ("nonsense", "AZURE_STORAGE_CONNECTION_STRING cannot be used"),
    ],
)
def test_an_account_that_is_not_known_is_told(
    said: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", said)
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT", raising=False)
    with pytest.raises(Fault, match=told):
        BlobBucket("work", {})
