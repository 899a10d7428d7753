"""S3, and every object store that speaks it (Ceph, MinIO, R2), as a way for files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from botocore.config import Config

from hepflow.arrays.buckets import AT_ONCE, Link
from hepflow.arrays.service import Fault
from hepflow.model.site import text
from hepflow_clouds.asking import asked, connect

LINK_S: Final = 7 * 86_400
"""How long a link is good: as long as S3 signs for (one week). A link ends sooner where the keys do that
signed it, as those of a role."""

DELETED_AT_ONCE: Final = 1000

Answer = TypeVar("Answer")


class S3Bucket:
    """A bucket, or the part of one below a prefix.

    Args:
        address: ``name`` or ``name/prefix``.
        settings: ``region`` and ``endpoint`` of it; keys are found as AWS's tools find them.
    """

    def __init__(self, address: str, settings: Mapping[str, object]) -> None:
        self._name, _, prefix = address.partition("/")
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        config = Config(
            signature_version="s3v4",
            retries={"max_attempts": 5, "mode": "standard"},
            max_pool_connections=AT_ONCE,
            # Stores that only speak S3 do not know the checksums that AWS adds.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        region, endpoint = text(settings, "region"), text(settings, "endpoint")
        self._client: Any = connect("s3", region, config, endpoint)

    def put(self, key: str, body: bytes | Path) -> None:
        """Write an object; a large one in parts."""
        name = self._prefix + key
        if isinstance(body, bytes):
            self._asked(lambda: self._client.put_object(Bucket=self._name, Key=name, Body=body))
        else:
            self._asked(lambda: self._client.upload_file(str(body), self._name, name))

    def fetch(self, key: str, path: Path) -> None:
        """Read an object into a file."""
        self._asked(lambda: self._client.download_file(self._name, self._prefix + key, str(path)))

    def keys(self, prefix: str) -> Iterator[str]:
        """The names of objects that begin so."""
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._name, Prefix=self._prefix + prefix
        )
        found = self._asked(
            lambda: [item["Key"] for page in pages for item in page.get("Contents", [])]
        )
        yield from (key.removeprefix(self._prefix) for key in found)

    def remove(self, prefix: str) -> None:
        """Delete the objects whose names begin so."""
        names = [self._prefix + key for key in self.keys(prefix)]
        for start in range(0, len(names), DELETED_AT_ONCE):
            some = names[start : start + DELETED_AT_ONCE]
            try:
                self._delete(some)
            except Fault as fault:
                if fault.transient:
                    raise
                # Not every store that speaks S3 deletes many at once.
                for name in some:
                    self._asked(partial(self._client.delete_object, Bucket=self._name, Key=name))

    def _delete(self, names: Sequence[str]) -> None:
        doomed = {"Objects": [{"Key": name} for name in names], "Quiet": True}
        self._asked(lambda: self._client.delete_objects(Bucket=self._name, Delete=doomed))

    def link(self, key: str, *, write: bool = False) -> Link:
        """A signed link."""
        what = "put_object" if write else "get_object"
        params = {"Bucket": self._name, "Key": self._prefix + key}
        url = self._asked(
            lambda: self._client.generate_presigned_url(what, Params=params, ExpiresIn=LINK_S)
        )
        return Link(url, {})

    def _asked(self, call: Callable[[], Answer]) -> Answer:
        return asked(f"bucket '{self._name}'", call)
