"""Requests to AWS, and to what speaks like it: every way to fail as one kind of error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import boto3
from boto3.exceptions import Boto3Error
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    HTTPClientError,
)

from hepflow.arrays.service import Fault

THROTTLED: Final = frozenset({"TooManyRequestsException", "ThrottlingException", "SlowDown"})

Answer = TypeVar("Answer")


def connect(name: str, region: str, config: Config | None = None, endpoint: str = "") -> Any:
    """A client, by the keys that AWS's tools find; nobody is asked anything yet.

    Raises:
        Fault: what is configured here makes no sense.
    """
    return asked(
        "AWS",
        lambda: boto3.client(
            name, region_name=region or None, endpoint_url=endpoint or None, config=config
        ),
    )


def asked(whom: str, call: Callable[[], Answer]) -> Answer:
    """Make a request.

    Args:
        whom: begins the message.

    Raises:
        Fault: it was refused, or nobody answered.
    """
    try:
        return call()
    except ClientError as error:
        said = error.response.get("Error", {})
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)
        code = said.get("Code", str(status))
        message = f"{whom}: {code} {said.get('Message', error)}"
        raise Fault(" ".join(message.split()), status >= 500 or code in THROTTLED) from error
    except (BotoCoreError, Boto3Error) as error:
        # What has to do with the network may pass; no key, no region and wrong parameters do not.
        passing = isinstance(error, (ConnectionError, HTTPClientError))
        raise Fault(f"{whom}: {' '.join(str(error).split())}", passing) from error
