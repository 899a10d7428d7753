"""The Kubernetes executor against the stand-in for Kubernetes: what only this executor does.

What every executor does is in `tests/contract`. The stand-in holds every object against the published
schemas; it is no cluster (see `tests/services/kubernetes`). Buckets are moto's S3.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from hepflow.model.errors import UnavailableError
from hepflow.model.events import Accepted, Lost, Rejected
from hepflow.model.site import Container, Queue, Runtime, Site, Staging
from hepflow.model.task import (
    INPUTS,
    Argv,
    Attempt,
    Call,
    Output,
    Read,
    Reason,
    Resources,
    Shell,
    Staged,
    Task,
)
from hepflow.model.task import Container as Image
from hepflow.model.values import Directory, File
from tests.contract.conftest import kubernetes_site
from tests.contract.loop import Loop
from tests.services.daemons import wait_until
from tests.services.fixtures import wanted
from tests.services.kubernetes import NAMESPACE, KubernetesStandIn
from tests.services.moto import Moto

kubernetes = wanted("kubernetes")
boto3 = wanted("boto3")

from hepflow_kubernetes import KubernetesExecutor  # noqa: E402 - the library comes first

JOBS = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
SECRETS = f"/api/v1/namespaces/{NAMESPACE}/secrets"


class Bench:
    """One executor with its loop."""

    def __init__(self, site: Site, folder: Path) -> None:
        self.loop, self.folder = Loop(), folder
        self.executor = KubernetesExecutor(folder / "executor", site=site)
        self.executor.start(self.loop)

    def attempts(self, *tasks: Task, name: str = "step") -> list[Attempt]:
        return [
            Attempt(f"{name}[{n}]#1", task, f"{self.folder}/tasks/{name}-{n}")
            for n, task in enumerate(tasks)
        ]

    def submit(self, *tasks: Task, name: str = "step") -> list[Attempt]:
        made = self.attempts(*tasks, name=name)
        self.executor.submit(made)
        return made

    def run(self, *tasks: Task) -> list[Any]:
        """The last events of the tasks."""
        made = self.submit(*tasks)
        self.loop.finish([attempt.id for attempt in made], 60)
        return [self.loop.final[attempt.id] for attempt in made]

    def started(self, *attempts: Attempt) -> None:
        self.loop.until(lambda: all(attempt.id in self.loop.started for attempt in attempts))


@pytest.fixture
def bench(kubernetes_stand_in: KubernetesStandIn, tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(site: Site | None = None) -> Bench:
        made.append(Bench(site or kubernetes_site(), tmp_path))
        return made[-1]

    yield make
    for one in made:
        one.executor.close()


@pytest.fixture
def far(moto: Moto) -> Site:
    """The cluster as one whose Pods see no file of ours."""
    boto3.client("s3").create_bucket(Bucket="work")
    return Site(
        "far",
        executor="kubernetes",
        staging=Staging.CAPSULE,
        settings={"grace_s": 0.5, "memory_mib": 100, "bucket": "work/some/where"},
    )


def shell(text: str, *outputs: Output, **more: Any) -> Task:
    return Task(Shell(text), outputs, **more)


def items(cluster: KubernetesStandIn, path: str) -> list[Any]:
    found: Any = cluster.request("GET", path)["items"]
    return list(found)


# --- Jobs -----------------------------------------------------------------------------------------


def test_attempts_of_equal_shape_are_one_job_and_it_is_gone_in_the_end(
    bench: Any, kubernetes_stand_in: KubernetesStandIn
) -> None:
    there = bench()
    large = shell("sleep 0.5", resources=Resources(cpus=2))
    made = there.submit(*[shell("sleep 0.5")] * 5, large)
    there.loop.until(lambda: len(items(kubernetes_stand_in, JOBS)) == 2)
    sizes = {job["spec"]["completions"] for job in items(kubernetes_stand_in, JOBS)}
    assert sizes == {5, 1}
    there.loop.finish([attempt.id for attempt in made])
    wait_until(lambda: not items(kubernetes_stand_in, JOBS), "no jobs")
    wait_until(lambda: not items(kubernetes_stand_in, PODS), "no pods")


def test_a_job_that_was_taken_though_nobody_heard_is_not_submitted_twice(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = kubernetes.client.BatchV1Api.create_namespaced_job
    made: list[str] = []

    def unheard(*words: Any, **more: Any) -> None:
        made.append(create(*words, **more))
        raise kubernetes.client.ApiException(status=504, reason="Gateway Timeout")

    monkeypatch.setattr(kubernetes.client.BatchV1Api, "create_namespaced_job", unheard)
    events = bench().run(shell("true"), shell("exit 3"))
    assert [event.outcome.reason for event in events] == [None, Reason.PROGRAM]
    assert len(made) == 1


def test_a_job_says_which_attempts_it_runs(
    bench: Any, kubernetes_stand_in: KubernetesStandIn
) -> None:
    there = bench()
    (made,) = there.submit(shell("sleep 100"))
    there.started(made)
    (job,) = items(kubernetes_stand_in, JOBS)
    assert job["metadata"]["name"].startswith("step-")
    assert job["metadata"]["annotations"]["hepflow/attempt"] == "step[0]#1"
    assert job["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "hepflow"


def test_short_tasks_share_a_pod(bench: Any, kubernetes_stand_in: KubernetesStandIn) -> None:
    site = kubernetes_site()
    (queue,) = site.queues
    there = bench(replace(site, queues=(replace(queue, pack=10),)))
    events = there.run(*[shell(f"echo {n}; exit {n // 24}") for n in range(25)])
    assert [event.outcome.stdout for event in events] == [f"{n}\n" for n in range(25)]
    assert [event.outcome.reason for event in events] == [None] * 24 + [Reason.PROGRAM]
    handles = {event.handle for event in there.loop.events if isinstance(event, Accepted)}
    assert len(handles) == 3


# --- what is asked for ----------------------------------------------------------------------------

ASKING = Site(
    "asking",
    executor="kubernetes",
    container=Container(Runtime.NATIVE, "registry.example/{image}"),
    env={"COLOUR": "a $(b) $$c"},
    setup=("echo $((1 + 1)) >&2",),
    queues=(
        Queue(
            "gpu",
            gpus=2,
            gpu_kinds={"a100": "NVIDIA-A100-SXM4-80GB"},
            constraint="kubernetes.io/hostname=gpu-1",
            qos="opportunistic",
        ),
    ),
    settings={
        "namespace": "hepflow",
        "service_account": "worker",
        "limits_over_requests": 1.2,
        "tolerations": ["nautilus.io/reservation=lab:NoSchedule", "spot:NoExecute"],
        "volumes": ["data:/data:ro", "/cvmfs:/cvmfs"],
        "pod": {"securityContext": {"runAsUser": 1000}, "volumes": [{"name": "x", "emptyDir": {}}]},
    },
)
WANTED = shell(
    "true",
    resources=Resources(1.5, 500, 50, 1, "a100", 3600),
    container=Image("library/python:3.12"),
)


def test_the_manifest_says_what_a_task_and_its_site_ask_for(tmp_path: Path) -> None:
    executor = KubernetesExecutor(tmp_path, site=ASKING)
    job = yaml.safe_load(executor.sample([Attempt("fit[0]#1", WANTED, "/x")]))
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["image"] == "registry.example/library/python:3.12"
    requests = {
        "cpu": "1500m",
        "memory": "500Mi",
        "ephemeral-storage": "50Mi",
        "nvidia.com/gpu": "1",
    }
    limits = {"cpu": "1800m", "memory": "600Mi", "ephemeral-storage": "60Mi", "nvidia.com/gpu": "1"}
    assert container["resources"] == {"requests": requests, "limits": limits}
    assert pod["nodeSelector"] == {
        "kubernetes.io/hostname": "gpu-1",
        "nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB",
    }
    assert pod["tolerations"] == [
        {"key": "nautilus.io/reservation", "effect": "NoSchedule", "operator": "Equal", "value": "lab"},
        {"key": "spot", "effect": "NoExecute", "operator": "Exists"},
    ]  # fmt: skip
    assert (pod["priorityClassName"], pod["serviceAccountName"]) == ("opportunistic", "worker")
    assert pod["securityContext"] == {"runAsUser": 1000}
    assert pod["volumes"] == [
        {"name": "v0", "persistentVolumeClaim": {"claimName": "data", "readOnly": True}},
        {"name": "v1", "hostPath": {"path": "/cvmfs"}},
        {"name": "x", "emptyDir": {}},
    ]
    assert pod["activeDeadlineSeconds"] == 3660
    assert job["spec"]["backoffLimitPerIndex"] == 0


def test_the_cluster_takes_such_a_manifest(
    tmp_path: Path, kubernetes_stand_in: KubernetesStandIn
) -> None:
    executor = KubernetesExecutor(tmp_path, site=ASKING)
    body = yaml.safe_load(executor.sample([Attempt("fit[0]#1", WANTED, "/x")]))
    body["metadata"]["name"] = "fit-1"
    kubernetes_stand_in.request("POST", f"{JOBS}?dryRun=All", body)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"volumes": ["data"]}, "a volume is CLAIM:/path"),
        ({"tolerations": ["spot"]}, "a toleration is key:effect"),
        ({"limits_over_requests": 0.5}, "a factor of at least 1"),
        ({"pod": "x"}, "takes a part of a Pod's spec"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(
    tmp_path: Path, settings: dict[str, object], why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        KubernetesExecutor(tmp_path, site=Site("x", executor="kubernetes", settings=settings))


def test_files_that_travel_need_a_bucket(tmp_path: Path) -> None:
    site = Site("x", executor="kubernetes", staging=Staging.CAPSULE)
    with pytest.raises(ValueError, match=r"settings: \{bucket: s3://NAME\}"):
        KubernetesExecutor(tmp_path, site=site)


def test_dollars_of_scripts_and_variables_are_not_kubernetes_own(bench: Any) -> None:
    site = kubernetes_site()
    site = replace(site, env={"COLOUR": "a $(b) $$c"}, setup=("export SUM=$((1 + 1)) PID=$$",))
    (event,) = bench(site).run(shell('echo "$COLOUR $SUM $PID"'))
    assert event.outcome.stdout == "a $(b) $$c 2 1\n"


# --- failing and losing ---------------------------------------------------------------------------


def test_an_evicted_pod_is_lost_and_its_job_goes_on(
    bench: Any, kubernetes_stand_in: KubernetesStandIn
) -> None:
    there = bench()
    made = there.submit(shell("sleep 100"), shell("sleep 1.5"))
    there.started(*made)
    pods = items(kubernetes_stand_in, PODS)
    index = "batch.kubernetes.io/job-completion-index"
    (first,) = [pod for pod in pods if pod["metadata"]["annotations"][index] == "0"]
    kubernetes_stand_in.evict(first["metadata"]["name"])
    there.loop.finish([attempt.id for attempt in made])
    event = there.loop.final[made[0].id]
    assert isinstance(event, Lost), event
    assert event.reason is Reason.PREEMPTED
    assert there.loop.outcome(made[1].id).succeeded


def test_a_pod_that_is_killed_is_lost(bench: Any, kubernetes_stand_in: KubernetesStandIn) -> None:
    there = bench()
    (made,) = there.submit(shell("sleep 100"))
    there.started(made)
    (pod,) = items(kubernetes_stand_in, PODS)
    name = pod["metadata"]["name"]
    kubernetes_stand_in.request("DELETE", f"{PODS}/{name}?gracePeriodSeconds=0")
    there.loop.finish([made.id])
    event = there.loop.final[made.id]
    assert isinstance(event, Lost), event
    assert event.reason is Reason.NODE


def test_more_memory_than_the_limit_is_told(bench: Any) -> None:
    text = f"exec {sys.executable} -c 'import time; kept = bytearray(300 << 20); time.sleep(30)'"
    (event,) = bench().run(shell(text, resources=Resources(memory_mib=100)))
    assert event.outcome.reason is Reason.MEMORY
    assert event.outcome.message == "its pod used more memory than its 100Mi"


def test_an_image_that_is_not_there_is_explained(bench: Any) -> None:
    site = replace(kubernetes_site(patience_s=1), container=Container(Runtime.NATIVE))
    there = bench(site)
    bad, good = there.run(shell("true", container=Image("absent:1")), shell("true"))
    assert bad.outcome.reason is Reason.START
    assert bad.outcome.message == ('its image cannot be pulled (Back-off pulling image "absent:1")')
    assert good.outcome.succeeded


def test_an_image_without_python_is_explained(bench: Any) -> None:
    (event,) = bench(kubernetes_site(python="/no/python")).run(shell("true"))
    assert event.outcome.reason is Reason.START
    assert "could not run there (exit code 127): " in event.outcome.message
    assert "/no/python" in event.outcome.message


def test_a_pod_that_kubernetes_will_not_make_is_explained(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hepflow_kubernetes.service.PODLESS_S", 1.0)
    (event,) = bench(kubernetes_site(service_account="nobody")).run(shell("true"))
    assert event.outcome.reason is Reason.REJECTED
    assert "Kubernetes makes no pod for it: " in event.outcome.message
    assert 'serviceaccount "nobody" not found' in event.outcome.message


def test_a_manifest_that_is_refused_is_a_lasting_refusal(bench: Any) -> None:
    (event,) = bench(kubernetes_site(pod={"hostNam": "x"})).run(shell("true"))
    assert isinstance(event, Rejected)
    assert not event.transient
    assert "Kubernetes refused it (400)" in event.message
    assert "hostNam" in event.message


def test_a_cluster_that_is_not_configured_is_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "absent"))
    with pytest.raises(UnavailableError, match="no Kubernetes cluster is configured here"):
        Bench(kubernetes_site(), tmp_path)


def test_a_cluster_that_does_not_answer_is_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kubernetes_stand_in: KubernetesStandIn
) -> None:
    config = (kubernetes_stand_in.at / "config").read_text()
    (tmp_path / "config").write_text(config.replace(kubernetes_stand_in.url, "http://127.0.0.1:9"))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    with pytest.raises(UnavailableError, match="the Kubernetes server cannot be reached"):
        Bench(kubernetes_site(), tmp_path)


# --- recovery -------------------------------------------------------------------------------------

HEAD = """
import sys
from pathlib import Path
from tests.kubernetes.test_kubernetes_stand_in import Bench, kubernetes_site, traced
there = Bench(kubernetes_site(), Path(sys.argv[1]))
there.executor.submit(there.attempts(*traced(there.folder)))
print("submitting", flush=True)
while True:
    there.loop.turn(10.0)
"""


def traced(folder: Path) -> list[Task]:
    return [shell(f"sleep 0.{n % 5}; echo >> {folder}/traces/{n}") for n in range(24)]


@pytest.mark.parametrize("after_s", [0.2, 2.0])
def test_a_killed_head_loses_no_job_and_submits_none_twice(
    bench: Any, tmp_path: Path, root: Path, after_s: float
) -> None:
    (tmp_path / "traces").mkdir()
    words = [sys.executable, "-c", HEAD, str(tmp_path)]
    head = subprocess.Popen(words, cwd=root, stdout=subprocess.PIPE)
    assert head.stdout is not None
    head.stdout.readline()
    time.sleep(after_s)
    head.send_signal(signal.SIGKILL)
    head.wait()
    head.stdout.close()
    there = bench()
    made = there.attempts(*traced(tmp_path))
    found = set(there.executor.recover({attempt.id: "" for attempt in made}))
    there.executor.submit([attempt for attempt in made if attempt.id not in found])
    there.loop.finish([attempt.id for attempt in made], 60)
    assert all(there.loop.outcome(attempt.id).succeeded for attempt in made)
    assert [path.read_text() for path in (tmp_path / "traces").iterdir()] == ["\n"] * 24


# --- through a bucket -----------------------------------------------------------------------------


def test_a_task_travels_with_its_files_and_its_outputs_come_home(
    bench: Any, far: Site, tmp_path: Path
) -> None:
    data = tmp_path / "given" / "data.txt"
    (data.parent / "inner").mkdir(parents=True)
    data.write_text("brought")
    (data.parent / "inner" / "more").write_text("+more")
    text = 'cat here.txt "$0" >o; mkdir d; cp o d/x; ln -s here.txt l; test ! -e ' + str(tmp_path)
    task = Task(
        Argv(("sh", "-c", text, f"{INPUTS}/0/tree/inner/more")),
        (Output("o", "o"), Output("d", "d", directory=True), Output("t", "o", read=Read.TEXT)),
        stage=(
            Staged(File(str(data)), "here.txt"),
            Staged(Directory(str(data.parent)), f"{INPUTS}/0/tree"),
        ),
        confined=True,
    )
    (event,) = bench(far).run(task)
    outcome = event.outcome
    assert outcome.succeeded, outcome
    folder = f"{tmp_path}/tasks/step-0"
    assert outcome.outputs["t"] == "brought+more"
    assert outcome.outputs["o"].location == f"{folder}/o"
    assert Path(folder, "d", "x").read_text() == "brought+more"
    facts = Path(folder, "o").stat()
    assert outcome.stamps[f"{folder}/o"] == (12, facts.st_mtime_ns, facts.st_ino)


def test_a_function_is_called_far_away_with_its_module_and_nothing_else(
    bench: Any, far: Site, tmp_path: Path
) -> None:
    code = tmp_path / "code"
    (code / "package").mkdir(parents=True)
    (code / "far.py").write_text(
        "import os\nimport package.part\n\ndef double(x):\n    return [package.part.twice(x), sorted(os.listdir(os.path.dirname(__file__)))]\n"
    )
    (code / "package" / "part.py").write_text("def twice(x):\n    return 2 * x\n")
    (code / "data.bin").write_text("large")
    call = Call("far:double", {"x": 21}, {}, (str(code),))
    (event,) = bench(far).run(Task(call, (Output("value"),)))
    value, there = event.outcome.outputs["value"]
    assert value == 42
    assert {"far.py", "package"} <= set(there)
    assert "data.bin" not in there


def test_a_failure_far_away_comes_home_with_what_was_printed(bench: Any, far: Site) -> None:
    failed, missing = bench(far).run(
        shell("echo one; echo 'no beam' >&2; exit 7"), shell("touch a", Output("o", "b"))
    )
    assert failed.outcome.message == "command exited with code 7: no beam"
    assert failed.outcome.stdout == "one\n"
    assert missing.outcome.message == "output 'o': there is no 'b'; it left a"


def test_an_input_that_has_changed_meanwhile_is_noticed(
    bench: Any, far: Site, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.write_text("other")
    stage = (Staged(File(str(data), digest="0" * 64), "x"),)
    (event,) = bench(far).run(shell("cat x", stage=stage))
    assert not getattr(event, "outcome", None) or not event.outcome.succeeded
    assert "data is not what it was" in str(event)


def test_what_a_preempted_task_keeps_is_there_for_the_next_attempt(
    bench: Any, far: Site, tmp_path: Path, kubernetes_stand_in: KubernetesStandIn
) -> None:
    text = "trap 'exit 1' TERM; cat kept 2>/dev/null && exit 0; echo so far >kept; sleep 100 & wait"
    task = shell(text, checkpoint=("kept",))
    there = bench(far)
    first, second = (
        Attempt(f"step#{n}", task, f"{tmp_path}/tasks/{n}", 0, f"{tmp_path}/keep") for n in (1, 2)
    )
    there.executor.submit([first])
    there.started(first)
    (pod,) = items(kubernetes_stand_in, PODS)
    name = pod["metadata"]["name"]
    wait_until(lambda: "hepflow" not in kubernetes_stand_in.log(name), "a log")
    time.sleep(1.5)  # its program must have begun, of which its Pod tells nothing
    kubernetes_stand_in.evict(name)
    there.loop.finish([first.id])
    assert isinstance(there.loop.final[first.id], Lost)
    assert (tmp_path / "keep" / "kept").read_text() == "so far\n"
    there.executor.submit([second])
    there.loop.finish([second.id])
    assert there.loop.outcome(second.id).stdout == "so far\n"


def test_no_link_is_in_a_job_and_nothing_is_left_in_the_end(
    bench: Any, far: Site, kubernetes_stand_in: KubernetesStandIn
) -> None:
    there = bench(far)
    (made,) = there.submit(shell("sleep 1; touch x", Output("o", "x")))
    there.loop.until(lambda: bool(items(kubernetes_stand_in, JOBS)))
    assert "X-Amz-Signature" not in json.dumps(items(kubernetes_stand_in, JOBS))
    (secret,) = items(kubernetes_stand_in, SECRETS)
    owner = secret["metadata"].get("ownerReferences", [{}])[0].get("kind")
    there.loop.finish([made.id])
    there.executor.close(settled=True)
    assert owner in ("Job", None)
    assert items(kubernetes_stand_in, SECRETS) == []
    assert "Contents" not in boto3.client("s3").list_objects_v2(Bucket="work")


def test_results_far_away_are_found_by_a_later_head(bench: Any, far: Site) -> None:
    first = bench(far)
    made = first.submit(*[shell(f"sleep 0.{n}; echo {n} >o", Output("o", "o")) for n in range(8)])
    first.loop.until(lambda: any(isinstance(event, Accepted) for event in first.loop.events))
    first.executor.close()
    later = bench(far)
    names = [attempt.id for attempt in made if attempt.id not in first.loop.final]
    assert set(later.executor.recover(dict.fromkeys(names, ""))) == set(names)
    later.loop.finish(names)
    assert all(later.loop.outcome(name).succeeded for name in names)
    assert Path(made[7].folder, "o").read_text() == "7\n"
