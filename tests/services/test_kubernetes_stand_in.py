"""The stand-in for Kubernetes does what the tests of that executor rely on."""

from __future__ import annotations

import json
import subprocess
from typing import Any
from urllib.error import HTTPError

import pytest

from .daemons import wait_until
from .fixtures import wanted
from .kubernetes import NAMESPACE, KubernetesStandIn

JOBS = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"


def job(name: str, script: str, *, pod: Any = None, container: Any = None, **spec: Any) -> Any:
    """A Job of one container that runs a shell script."""
    main = {"name": "main", "image": "any", "command": ["sh", "-c", script], **(container or {})}
    template = {"spec": {"restartPolicy": "Never", "containers": [main], **(pod or {})}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"backoffLimit": 0, **spec, "template": template},
    }


def wait(cluster: KubernetesStandIn, name: str, condition: str) -> Any:
    """A Job's status once it has that condition."""

    def status() -> Any:
        return cluster.request("GET", f"{JOBS}/{name}")["status"]

    wait_until(
        lambda: condition in [one["type"] for one in status().get("conditions", [])],
        f"job {name} {condition}",
    )
    return status()


def pods(cluster: KubernetesStandIn, name: str) -> list[Any]:
    found: list[Any] = cluster.request("GET", f"{PODS}?labelSelector=job-name={name}")["items"]  # type: ignore[assignment]
    return found


def wait_for_pod(cluster: KubernetesStandIn, name: str, phase: str) -> Any:
    """A Pod of a Job once it is in that phase."""

    def found() -> list[Any]:
        return [pod for pod in pods(cluster, name) if pod["status"]["phase"] == phase]

    wait_until(lambda: bool(found()), f"a pod of {name} {phase}")
    return found()[0]


def test_an_indexed_job_runs(kubernetes_stand_in: KubernetesStandIn) -> None:
    cluster = kubernetes_stand_in
    indexed = {"completions": 4, "parallelism": 3, "completionMode": "Indexed"}
    cluster.request("POST", JOBS, job("four", "echo is $JOB_COMPLETION_INDEX", **indexed))
    status = wait(cluster, "four", "Complete")
    assert (status["succeeded"], status["completedIndexes"]) == (4, "0-3")


def test_an_exit_code_is_reported(kubernetes_stand_in: KubernetesStandIn) -> None:
    kubernetes_stand_in.request("POST", JOBS, job("three", "exit 3"))
    status = wait(kubernetes_stand_in, "three", "Failed")
    assert status["conditions"][-1]["reason"] == "BackoffLimitExceeded"
    (pod,) = pods(kubernetes_stand_in, "three")
    state = pod["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (state["exitCode"], state["reason"]) == (3, "Error")


def test_too_much_memory_kills(kubernetes_stand_in: KubernetesStandIn) -> None:
    hungry = "exec python3 -c 'import time; kept = bytearray(300 << 20); time.sleep(30)'"
    limited = {"resources": {"limits": {"memory": "100Mi", "cpu": "1"}}}
    kubernetes_stand_in.request("POST", JOBS, job("hungry", hungry, container=limited))
    wait(kubernetes_stand_in, "hungry", "Failed")
    (pod,) = pods(kubernetes_stand_in, "hungry")
    state = pod["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (state["exitCode"], state["reason"]) == (137, "OOMKilled")


def test_only_volumes_are_shared(kubernetes_stand_in: KubernetesStandIn) -> None:
    cluster = kubernetes_stand_in
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "work"},
        "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    cluster.request("POST", PODS.replace("pods", "persistentvolumeclaims"), claim)
    program = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "program"},
        "data": {"say.sh": "echo said >/work/said"},
    }
    cluster.request("POST", PODS.replace("pods", "configmaps"), program)
    volumes = [
        {"name": "work", "persistentVolumeClaim": {"claimName": "work"}},
        {"name": "program", "configMap": {"name": "program"}},
    ]
    mounts = [
        {"name": "work", "mountPath": "/work"},
        {"name": "program", "mountPath": "/program"},
    ]
    for name, script in (
        ("writes", f"sh /program/say.sh && ! test -e {cluster.at}"),
        ("reads", "grep said /work/said"),
    ):
        mounted = job(name, script, pod={"volumes": volumes}, container={"volumeMounts": mounts})
        cluster.request("POST", JOBS, mounted)
        wait(cluster, name, "Complete")
    assert (cluster.at / "claims" / NAMESPACE / "work" / "said").read_text() == "said\n"


def test_an_evicted_pod_gets_a_signal_and_is_replaced(
    kubernetes_stand_in: KubernetesStandIn,
) -> None:
    cluster = kubernetes_stand_in
    cluster.request(
        "POST",
        JOBS,
        job("moved", "trap 'exit 1' TERM; echo ready; sleep 60 & wait", backoffLimit=1),
    )
    first = wait_for_pod(cluster, "moved", "Running")["metadata"]["name"]
    # The first process of a container has no signal's default action: before the trap is set
    # it would sit out the grace period.
    wait_until(lambda: cluster.log(first) == "ready\n", "a trap")
    cluster.evict(first)
    wait_until(
        lambda: [pod["metadata"]["name"] != first for pod in pods(cluster, "moved")] == [True],
        "another pod",
    )
    wait_for_pod(cluster, "moved", "Running")
    assert cluster.request("GET", f"{JOBS}/moved")["status"]["failed"] == 1  # type: ignore[index]


def test_a_gpu_is_given_and_what_never_fits_waits(kubernetes_stand_in: KubernetesStandIn) -> None:
    cluster = kubernetes_stand_in
    gpu = {"resources": {"limits": {"nvidia.com/gpu": "1"}}}
    cluster.request("POST", JOBS, job("gpu", "test -n $NVIDIA_VISIBLE_DEVICES", container=gpu))
    wait(cluster, "gpu", "Complete")
    assert pods(cluster, "gpu")[0]["spec"]["nodeName"] == "gpu-1"
    cluster.request("POST", JOBS, job("never", "true", pod={"nodeSelector": {"gpu": "none"}}))
    pod = wait_for_pod(cluster, "never", "Pending")
    wait_until(lambda: "conditions" in pods(cluster, "never")[0]["status"], "a verdict")
    pod = pods(cluster, "never")[0]
    assert pod["status"]["conditions"][0]["reason"] == "Unschedulable"


def test_an_image_that_is_absent(kubernetes_stand_in: KubernetesStandIn) -> None:
    cluster = kubernetes_stand_in
    cluster.request("POST", JOBS, job("pull", "true", container={"image": "absent:1"}))
    wait_until(
        lambda: (
            [
                pod["status"].get("containerStatuses", [{}])[0].get("state")
                for pod in pods(cluster, "pull")
            ]
            == [
                {
                    "waiting": {
                        "reason": "ImagePullBackOff",
                        "message": 'Back-off pulling image "absent:1"',
                    }
                }
            ]
        ),
        "a complaint about the image",
    )


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"container": {"comand": ["x"]}}, "'comand' was unexpected"),
        ({"container": {"image": ""}}, "image: Required value"),
        ({"container": {"resources": {"limits": {"memory": "lots"}}}}, "Invalid value: 'lots'"),
        ({"container": {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}}, 'Not found: "v"'),
        ({"pod": {"restartPolicy": "Always"}}, "restartPolicy: Required value"),
        ({"completionMode": "Indexed"}, "spec.completions: Required value"),
        ({"podFailurePolicy": {"rules": []}}, "the stand-in does not do this"),
    ],
)
def test_a_wrong_job_is_refused(
    kubernetes_stand_in: KubernetesStandIn, change: Any, complaint: str
) -> None:
    with pytest.raises(HTTPError) as error:
        kubernetes_stand_in.request("POST", JOBS, job("wrong", "true", **change))
    with error.value as refusal:
        assert complaint in json.load(refusal)["message"]


def test_kubectl(kubernetes_stand_in: KubernetesStandIn) -> None:
    """The official command, unchanged."""

    def call(*argv: str, stdin: str = "") -> str:
        done = subprocess.run(
            ["kubectl", *argv], input=stdin, capture_output=True, text=True, check=False
        )
        return done.stdout + done.stderr

    if not call("version", "--client"):
        pytest.skip("not installed: kubectl")
    said = call("create", "-f", "-", stdin=json.dumps(job("said", "echo words")))
    assert said == "job.batch/said created\n"
    assert "condition met" in call("wait", "--for=condition=complete", "job/said", "--timeout=20s")
    assert call("logs", "job/said") == "words\n"
    assert call("delete", "job", "said") == 'job.batch "said" deleted\n'
    assert "No resources found" in call("get", "pods")


def test_the_python_client(kubernetes_stand_in: KubernetesStandIn) -> None:
    """The official library, unchanged: create, watch, read a log, delete."""
    client = wanted("kubernetes").client
    from kubernetes import config, watch

    config.load_kube_config(str(kubernetes_stand_in.at / "config"))
    batch, core = client.BatchV1Api(), client.CoreV1Api()
    batch.create_namespaced_job(NAMESPACE, job("watched", "sleep 0.3; echo words; exit 2"))
    watcher = watch.Watch()
    phases: list[str] = []
    for event in watcher.stream(
        core.list_namespaced_pod, NAMESPACE, label_selector="job-name=watched", timeout_seconds=20
    ):
        pod = event["object"]
        phases.append(pod.status.phase)
        if pod.status.phase == "Failed":
            watcher.stop()
    assert list(dict.fromkeys(phases)) == ["Pending", "Running", "Failed"]
    assert pod.status.container_statuses[0].state.terminated.exit_code == 2
    # As bytes: some versions of the client answer with the text of Python's own b'...'.
    log = core.read_namespaced_pod_log(pod.metadata.name, NAMESPACE, _preload_content=False)
    assert log.data == b"words\n"
    # Without a policy the Pods would stay.
    batch.delete_namespaced_job("watched", NAMESPACE, propagation_policy="Background")
    wait_until(lambda: not core.list_namespaced_pod(NAMESPACE).items, "no pods")
    with pytest.raises(client.exceptions.ApiException) as error:
        batch.read_namespaced_job("watched", NAMESPACE)
    assert error.value.status == 404
