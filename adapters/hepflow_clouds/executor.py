"""The executor for the clouds' batch services: arrays are array jobs; files travel through a bucket."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Final

from hepflow.arrays.buckets import BucketPost, Link, open_bucket
from hepflow.arrays.executor import Arrays, Kind
from hepflow.arrays.posts import Post, Sent
from hepflow.arrays.service import Service
from hepflow.model.errors import UnavailableError
from hepflow.model.protocols import Sink
from hepflow.model.site import Queue, Site, Staging, number, text
from hepflow.model.task import Attempt
from hepflow_clouds.clouds import Clouds, Maker
from hepflow_clouds.providers import Provider

IMAGE: Final = "python:3.12-slim"
POLL_S: Final = 15.0
PATIENCE_S: Final = 5.0
"""Seconds that a result may take to be seen: object stores show at once what was written."""


def _maker(module: str, name: str) -> Maker:
    """What makes a provider; its library is dear to load, and only its users need it."""

    def make(site: Site, region: str, tag: str) -> Provider:
        try:
            found = getattr(import_module(module), name)
        except ImportError as error:
            raise UnavailableError.of(
                "HF402", f"the library for '{name}' cannot be loaded", why=str(error),
                fix="pip install 'hepflow[clouds]'",
            ) from error  # fmt: skip
        provider: Provider = found(site, region, tag)
        return provider

    return make


MAKERS: Final[Mapping[str, Maker]] = {
    "aws": _maker("hepflow_clouds.aws", "AwsBatch"),
    "gcp": _maker("hepflow_clouds.google", "GoogleBatch"),
    "azure": _maker("hepflow_clouds.azure", "AzureBatch"),
}
"""The providers by the names that sites have for them."""

PARTS: Final = 4
"""Of the name of a system of Azure's machines."""
NEEDED: Final[Mapping[str, Sequence[tuple[str, ...]]]] = {
    "aws": [("region",), ("job_queue",)],
    "gcp": [("region",), ("project",)],
    "azure": [("region",), ("batch_account",), ("machine", "pool")],
}
"""Settings without which a provider is nothing: one of each group."""


class CloudsExecutor:
    """Runs attempts in batch services of clouds.

    Args:
        workdir: the executor's own folder.
        site: its queues name the providers, regions and job queues; its limits and settings hold.
    """

    settings: Final = {
        "batch_account": "Azure: the Batch account, one for each region",
        "bucket": "where files travel through, such as s3://name/prefix or az://container/prefix",
        "endpoint": "address of the object store, where it is not AWS's",
        "execution_role": "AWS: the role that pulls the image",
        "grace_s": "seconds a task that must end may take between SIGTERM and SIGKILL; 10",
        "image": f"the image for tasks that name none; {IMAGE}",
        "job_definition": "AWS: a job definition of yours; one for each image is made",
        "job_queue": "AWS: the job queue",
        "job_role": "AWS: the role that tasks have",
        "machine": "the kind of machine, as the provider calls it",
        "machines": "Azure: most machines of an array that has its own; 10",
        "memory_mib": "mebibytes of memory to ask for where a task does not say; 2048",
        "pool": "Azure: a pool of yours; without it each array has machines of its own",
        "project": "Google: the project",
        "provider": f"whose service: {', '.join(MAKERS)}",
        "python": "the Python 3.6 or later of images; python3",
        "region": "the provider's region",
        "share": "AWS: the share identifier of a queue with fair shares",
        "slots": "Azure: into how many parts a machine is divided that tasks share; 1",
        "storage_account": "Azure: the storage account that has the bucket",
        "system": "Azure: what machines of an array's own run, PUBLISHER:OFFER:SKU:AGENT",
    }

    def __init__(self, workdir: Path, *, site: Site) -> None:
        if site.lines or any(queue.lines for queue in site.queues):
            raise ValueError("the clouds executor has no use for 'lines'")
        if site.staging is not Staging.CAPSULE:
            raise ValueError("the clouds executor needs 'staging: capsule': files travel")
        providers = {_provider(site, queue) for queue in site.queues or (site.anywhere,)}
        self._site = site
        # Below the folder that it is given, which may hold what tasks have left.
        self._workdir = workdir.absolute() / ".arrays"
        self._python = text(site.settings, "python", "python3")
        self._grace_s = number(site.settings, "grace_s", 10.0)
        address = text(site.settings, "bucket")
        if not address:
            raise ValueError("files travel through a bucket: say 'settings: {bucket: s3://NAME}'")
        scheme = "az" if providers == {"azure"} else "s3"
        self._bucket = address if "://" in address else f"{scheme}://{address}"
        self._poll_s = site.limits.poll_s or POLL_S
        kind = Kind(
            image=text(site.settings, "image", IMAGE),
            service=self._service,
            post=self._post,
            poll_s=self._poll_s,
            patience_s=PATIENCE_S,
        )
        self._arrays = Arrays(self._workdir, site, kind)
        self.capacity = self._arrays.capacity

    def _service(self, tag: str) -> Service:
        return Clouds(self._site, tag, MAKERS, self._poll_s)

    def _post(self, tag: str) -> Post:
        bucket = open_bucket(self._bucket, self._site.settings)
        return BucketPost(bucket, self._workdir, self._site, self._python, self._grace_s, tag)

    def start(self, sink: Sink) -> None:
        """Begin to ask.

        Raises:
            UnavailableError: a service cannot be reached, or a library is missing.
        """
        self._arrays.start(sink)

    def submit(self, attempts: Sequence[Attempt]) -> None:
        """Take attempts."""
        self._arrays.submit(attempts)

    def cancel(self, attempts: Collection[str]) -> None:
        """End attempts."""
        self._arrays.cancel(attempts)

    def recover(self, attempts: Mapping[str, str]) -> Collection[str]:
        """Find the jobs of an earlier head again, by their names."""
        return self._arrays.recover(attempts)

    def close(self, *, settled: bool = False) -> None:
        """Leave jobs to a later head; when there will be none, end them."""
        self._arrays.close(settled=settled)

    def sample(self, attempts: Sequence[Attempt]) -> str:
        """The requests for these attempts."""
        return self._arrays.sample(attempts, self._sent)

    def _sent(self, _folder: Path, index: str) -> Sent:
        return BucketPost.sent_by(self._site, self._python, index, Link("", {}))


def _provider(site: Site, queue: Queue) -> str:
    """Whose service a queue is, where it says all that is needed.

    Raises:
        ValueError: it does not; a sentence for the user.
    """
    settings = site.settings_for(queue)
    provider = text(settings, "provider")
    if provider not in MAKERS:
        raise ValueError(f"the setting 'provider' is one of {', '.join(MAKERS)}, not '{provider}'")
    settings = {"job_queue": queue.partition, "pool": queue.partition, **settings}
    for names in NEEDED[provider]:
        if not any(text(settings, name) for name in names):
            wanted = " or ".join(f"'{name}'" for name in names)
            where = f" in queue '{queue.name}'" if queue.name else ""
            raise ValueError(f"the provider '{provider}' needs the setting {wanted}{where}")
    for name in ("memory_mib", "machines", "slots"):
        if number(settings, name, 1) < 1:
            raise ValueError(f"the setting '{name}' is 1 or more, not {settings[name]}")
    system = text(settings, "system")
    if system and len([part for part in system.split(":") if part.strip()]) != PARTS:
        shape = "PUBLISHER:OFFER:SKU:AGENT"
        raise ValueError(f"the setting 'system' takes {shape}, not '{system}'")
    return provider
