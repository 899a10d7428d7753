"""Blob storage: one container's objects, as far as files of tasks need it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.message import Message
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from azure.storage.blob import generate_blob_sas

from tests.services.azure_batch import ACCOUNT, KEY

ALLOWED = {"GET": "r", "PUT": "cw", "DELETE": "d"}

Answer = tuple[int, dict[str, str], bytes]


class Blobs:
    """All objects of the account."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def answer(self, method: str, target: str, headers: Message, body: bytes) -> Answer:
        """Do what is asked, by whom may."""
        split = urlsplit(target)
        asked = {name: values[0] for name, values in parse_qs(split.query).items()}
        name = unquote(split.path).removeprefix(f"/{ACCOUNT}/")
        if not _allowed(method, name, asked, headers):
            return _refused(403, "AuthenticationFailed")
        if asked.get("restype") == "container":
            return self._list(name, asked) if asked.get("comp") == "list" else (201, {}, b"")
        if method == "PUT":
            if headers.get("x-ms-blob-type") != "BlockBlob" or "comp" in asked:
                return _refused(400, "InvalidHeaderValue")
            self.kept[name] = body
            return 201, _facts(body), b""
        if name not in self.kept:
            return _refused(404, "BlobNotFound")
        if method == "DELETE":
            del self.kept[name]
            return 202, {}, b""
        return self._read(name, headers.get("x-ms-range") or headers.get("Range") or "")

    def _read(self, name: str, wanted: str) -> Answer:
        whole = self.kept[name]
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", wanted)
        if found is None:
            return 200, _facts(whole), whole
        start = int(found[1])
        if start >= len(whole):
            return _refused(416, "InvalidRange")
        part = whole[start : int(found[2]) + 1 if found[2] else None]
        told = f"bytes {start}-{start + len(part) - 1}/{len(whole)}"
        return 206, {**_facts(whole), "Content-Range": told}, part

    def _list(self, container: str, asked: Mapping[str, str]) -> Answer:
        begin = f"{container}/{asked.get('prefix', '')}"
        names = [name for name in sorted(self.kept) if name.startswith(begin)]
        blobs = "".join(
            f"<Blob><Name>{escape(name.removeprefix(f'{container}/'))}</Name><Properties/></Blob>"
            for name in names
        )
        text = f"<EnumerationResults><Blobs>{blobs}</Blobs><NextMarker/></EnumerationResults>"
        return 200, {"Content-Type": "application/xml"}, text.encode()


def _allowed(method: str, name: str, asked: Mapping[str, str], headers: Message) -> bool:
    """By the account's key, or by a link that was signed for this object and this use of it."""
    if "sig" not in asked:
        return (headers.get("Authorization") or "").startswith(f"SharedKey {ACCOUNT}:")
    container, _, blob = name.partition("/")
    token = generate_blob_sas(
        ACCOUNT, container, blob,
        account_key=KEY, permission=asked["sp"], expiry=asked["se"],
    )  # fmt: skip
    right = bool(set(ALLOWED[method]) & set(asked["sp"]))
    return right and parse_qs(token)["sig"] == [asked["sig"]]


def _facts(body: bytes) -> dict[str, str]:
    return {
        "ETag": '"0x1"',
        "Last-Modified": "Tue, 24 Nov 2026 00:00:00 GMT",
        "x-ms-blob-type": "BlockBlob",
        "x-ms-blob-content-length": str(len(body)),
    }


def _refused(status: int, code: str) -> Answer:
    text = f"<Error><Code>{code}</Code><Message>{code} of the stand-in.</Message></Error>"
    return status, {"x-ms-error-code": code, "Content-Type": "application/xml"}, text.encode()
