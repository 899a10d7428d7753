"""Requests to Azure: whose they are, and every way in which they fail as one kind of error."""

from __future__ import annotations

from binascii import Error as BinasciiError
from collections.abc import Callable
from typing import Any, Final, TypeVar

from azure.core.exceptions import (
    AzureError,
    HttpResponseError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.identity import DefaultAzureCredential

from hepflow.arrays.service import Fault

RETRIES: Final = 3
"""So often a client asks again by itself: what fails longer is told, and asked again by us."""

TRANSIENT: Final = (408, 429)
"""Statuses below 500 after which asking again may help: too slow, too often."""

Answer = TypeVar("Answer")


def signed_in() -> Any:
    """Whoever Azure's tools would be: by environment, by the machine, by ``az login``."""
    return DefaultAzureCredential()


def asked(whom: str, call: Callable[[], Answer]) -> Answer:
    """Make a request.

    Args:
        whom: begins the message.

    Raises:
        Fault: it was refused, or nobody answered. Its cause is Azure's own error.
    """
    try:
        return call()
    except HttpResponseError as error:
        status = error.status_code or 0
        # Batch says the kind of a failure in one place, storage in another; signing in says none.
        kind = getattr(error.error, "code", None) or getattr(error, "error_code", None)
        kind = getattr(kind, "value", kind)
        code = " ".join(str(part) for part in (status, kind) if part)
        told = _first_line(getattr(error.error, "message", None) or error.message)
        message = f"{whom} refused it{f' ({code})' if code else ''}: {told}"
        raise Fault(message, status >= 500 or status in TRANSIENT) from error
    except (ServiceRequestError, ServiceResponseError, OSError) as error:
        raise Fault(f"{whom} cannot be reached: {_first_line(str(error))}", True) from error
    except (AzureError, BinasciiError) as error:  # no credentials, or such as make no sense
        raise Fault(f"{whom} cannot be asked: {_first_line(str(error))}") from error


def _first_line(text: str) -> str:
    """Without the number and the time of the request, which Azure puts below."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "no reason is given")
