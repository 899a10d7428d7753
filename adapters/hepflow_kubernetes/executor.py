"""The Kubernetes executor: arrays are indexed Jobs; files are on a claim that all see, or in a bucket."""

from __future__ import annotations

import math
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Final

from hepflow.arrays.buckets import BucketPost, Link, open_bucket
from hepflow.arrays.executor import Arrays, Kind
from hepflow.arrays.posts import Post, Sent, SharedPost
from hepflow.arrays.service import Service
from hepflow.model.protocols import Sink
from hepflow.model.site import Site, Staging, number, text
from hepflow.model.task import Attempt
from hepflow_kubernetes.objects import Pods
from hepflow_kubernetes.service import KubernetesService

IMAGE: Final = "python:3.12-slim"
POLL_S: Final = 10.0


class KubernetesExecutor:
    """Runs attempts in Pods.

    Args:
        workdir: the executor's own folder; with shared files on a claim that Pods see at the same path.
        site: its queues, limits and settings are what goes into the Jobs.
    """

    settings: Final = {
        "bucket": "where files travel through, such as s3://name/prefix, with 'staging: capsule'",
        "context": "the context of your kubeconfig; its current one, or the cluster this runs in",
        "disk_mib": "mebibytes of ephemeral storage to ask for where a task does not say; none",
        "endpoint": "address of the object store, where it is not AWS's",
        "gpu_label": "the node label that has the kind of GPU; nvidia.com/gpu.product",
        "gpu_resource": "what a GPU is called as a resource; nvidia.com/gpu",
        "grace_s": "seconds a task that must end may take between SIGTERM and SIGKILL; 10",
        "image": f"the image for tasks that name none; {IMAGE}",
        "limits_over_requests": "how much greater limits are than requests; 1.0",
        "memory_mib": "mebibytes of memory to ask for where a task does not say; 1024",
        "namespace": "the namespace; your context's",
        "parallelism": "most Pods of one Job at a time; 1000",
        "patience_s": "seconds that an image may take to be found, or a result to be seen; 20",
        "pod": "more of a Pod's spec, as Kubernetes has it, merged into ours",
        "priority_class": "the priority class; a queue's qos comes first",
        "python": "the Python 3.6 or later of images; this one with shared files, else python3",
        "region": "region of the object store",
        "service_account": "the service account of Pods; the namespace's default",
        "tolerations": "taints to tolerate, each as key:effect or key=value:effect",
        "volumes": "what Pods mount, each as CLAIM:/path or /folder-of-the-node:/path, and :ro for"
        " reading only",
    }

    def __init__(self, workdir: Path, *, site: Site) -> None:
        if site.lines or any(queue.lines for queue in site.queues):
            raise ValueError(
                "the kubernetes executor has no use for 'lines': say 'settings: {pod: ...}'"
            )
        said = site.settings
        self._site = site
        # Below the folder that it is given, which may hold what tasks have left.
        self._workdir = workdir.absolute() / ".arrays"
        self._grace_s = number(said, "grace_s", 10.0)
        self._travels = site.staging is Staging.CAPSULE
        self._python = text(said, "python", "python3" if self._travels else sys.executable)
        self._bucket = text(said, "bucket")
        if self._travels and not self._bucket:
            raise ValueError(
                "with 'staging: capsule' files travel through a bucket: say 'settings: {bucket: s3://NAME}',"
                " or 'staging: shared' where Pods mount a claim that this host sees too"
            )
        if self._bucket and "://" not in self._bucket:
            self._bucket = f"s3://{self._bucket}"
        self._pods = Pods(site, math.ceil(self._grace_s) + 10)
        self._patience_s = number(said, "patience_s", 20.0)
        kind = Kind(
            image=text(said, "image", IMAGE),
            service=self._service,
            post=self._post,
            poll_s=min(site.limits.poll_s or POLL_S, POLL_S),
            patience_s=min(self._patience_s, 5.0),
        )
        self._arrays = Arrays(self._workdir, site, kind)
        self.capacity = self._arrays.capacity

    def _service(self, tag: str) -> Service:
        return KubernetesService(self._site, self._pods, tag, self._patience_s)

    def _post(self, tag: str) -> Post:
        if not self._travels:
            return self._shared()
        bucket = open_bucket(self._bucket, self._site.settings)
        return BucketPost(bucket, self._workdir, self._site, self._python, self._grace_s, tag)

    def _shared(self) -> SharedPost:
        return SharedPost(self._workdir, self._site, self._python, self._grace_s)

    def start(self, sink: Sink) -> None:
        """Watch our Pods.

        Raises:
            UnavailableError: the cluster cannot be reached.
        """
        self._arrays.start(sink)

    def submit(self, attempts: Sequence[Attempt]) -> None:
        """Take attempts."""
        self._arrays.submit(attempts)

    def cancel(self, attempts: Collection[str]) -> None:
        """End attempts."""
        self._arrays.cancel(attempts)

    def recover(self, attempts: Mapping[str, str]) -> Collection[str]:
        """Find the Jobs of an earlier head again, by their names."""
        return self._arrays.recover(attempts)

    def close(self, *, settled: bool = False) -> None:
        """Leave Jobs to a later head; when there will be none, delete them."""
        self._arrays.close(settled=settled)

    def sample(self, attempts: Sequence[Attempt]) -> str:
        """The manifests of the Jobs that these attempts would be."""
        return self._arrays.sample(attempts, self._sent)

    def _sent(self, folder: Path, index: str) -> Sent:
        if not self._travels:
            return self._shared().sent(folder, index)
        return BucketPost.sent_by(
            self._site, self._python, index, Link("(a signed link, made when it is submitted)", {})
        )
