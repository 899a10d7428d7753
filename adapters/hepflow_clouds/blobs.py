"""Azure's Blob storage as a way for files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Lock
from typing import Any, Final, TypeVar

from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob import BlobSasPermissions, BlobServiceClient, generate_blob_sas

from hepflow.arrays.buckets import AT_ONCE, Link
from hepflow.arrays.service import Fault
from hepflow.model.site import text
from hepflow_clouds.azure_asking import RETRIES, asked, signed_in

LINK_S: Final = 7 * 86_400
"""How long a link is good: as long as Azure lets a key be delegated for (one week)."""

KEY_S: Final = 6 * 3600
"""So long one delegated key signs links, so the shortest of them lasts that much less."""

ASIDE_S: Final = 900
"""So much clocks may differ: what is good from now on would not be, where it is earlier."""

Answer = TypeVar("Answer")


class BlobBucket:
    """A container, or the part of one below a prefix.

    The account is that of ``AZURE_STORAGE_CONNECTION_STRING``, which has its key, or the one that is named,
    as whoever is signed in.

    Args:
        address: ``container`` or ``container/prefix``.
        settings: ``storage_account``, where ``AZURE_STORAGE_ACCOUNT`` does not name it.
    """

    def __init__(self, address: str, settings: Mapping[str, object]) -> None:
        self._name, _, prefix = address.partition("/")
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._service = _connect(settings)
        self._container = self._service.get_container_client(self._name)
        self._lock = Lock()
        self._delegated: Any = None
        self._delegated_at = datetime.min.replace(tzinfo=UTC)

    def put(self, key: str, body: bytes | Path) -> None:
        """Write an object; a large one in parts."""
        blob = self._container.get_blob_client(self._prefix + key)
        if isinstance(body, bytes):
            self._asked(lambda: blob.upload_blob(body, overwrite=True))
        else:
            with body.open("rb") as file:
                self._asked(lambda: blob.upload_blob(file, overwrite=True))

    def fetch(self, key: str, path: Path) -> None:
        """Read an object into a file."""
        blob = self._container.get_blob_client(self._prefix + key)
        with path.open("wb") as file:
            self._asked(lambda: blob.download_blob().readinto(file))

    def keys(self, prefix: str) -> Iterator[str]:
        """The names of objects that begin so."""
        begin = self._prefix + prefix
        found = self._asked(lambda: list(self._container.list_blob_names(name_starts_with=begin)))
        yield from (name.removeprefix(self._prefix) for name in found)

    def remove(self, prefix: str) -> None:
        """Delete the objects whose names begin so."""
        with ThreadPoolExecutor(AT_ONCE) as threads:
            list(threads.map(self._delete, self.keys(prefix)))

    def _delete(self, key: str) -> None:
        try:
            self._asked(lambda: self._container.delete_blob(self._prefix + key))
        except Fault as fault:
            if not isinstance(fault.__cause__, ResourceNotFoundError):
                raise

    def link(self, key: str, *, write: bool = False) -> Link:
        """A signed link; to write by it, a request must say what kind of object it makes."""
        blob = self._container.get_blob_client(self._prefix + key)
        token = self._asked(
            lambda: generate_blob_sas(
                self._service.account_name,
                self._name,
                blob.blob_name,
                permission=BlobSasPermissions(read=not write, create=write, write=write),
                **self._key(),
            )
        )
        headers = {"x-ms-blob-type": "BlockBlob"} if write else {}
        return Link(f"{blob.url}?{token}", headers)

    def _key(self) -> dict[str, Any]:
        """What signs, and until when that is good: the account's key, or one that Azure lends for a week."""
        now = datetime.now(UTC)
        account_key = getattr(self._service.credential, "account_key", "")
        if account_key:
            return {"account_key": account_key, "expiry": now + timedelta(seconds=LINK_S)}
        with self._lock:
            if now - self._delegated_at > timedelta(seconds=KEY_S):
                self._delegated = self._service.get_user_delegation_key(
                    now - timedelta(seconds=ASIDE_S), now + timedelta(seconds=LINK_S - ASIDE_S)
                )
                self._delegated_at = now
            until = self._delegated_at + timedelta(seconds=LINK_S - ASIDE_S)
            return {"user_delegation_key": self._delegated, "expiry": until}

    def _asked(self, call: Callable[[], Answer]) -> Answer:
        return asked(f"container '{self._name}'", call)


def _connect(settings: Mapping[str, object]) -> Any:
    """A client of the account; nobody is asked anything yet.

    Raises:
        Fault: no account is named, or what is said of it makes no sense.
    """
    said = os.environ.get("AZURE_STORAGE_CONNECTION_STRING", "")
    if said:
        try:
            return BlobServiceClient.from_connection_string(said, retry_total=RETRIES)
        except ValueError as error:
            raise Fault(f"AZURE_STORAGE_CONNECTION_STRING cannot be used: {error}") from error
    account = text(settings, "storage_account") or os.environ.get("AZURE_STORAGE_ACCOUNT", "")
    if not account:
        raise Fault(
            "no account is named: say 'settings: {storage_account: NAME}', or set AZURE_STORAGE_ACCOUNT"
        )
    url = f"https://{account}.blob.core.windows.net"
    return BlobServiceClient(url, credential=signed_in(), retry_total=RETRIES)
