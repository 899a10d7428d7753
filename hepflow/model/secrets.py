"""Texts without secrets, for whatever is kept or sent: reports, records, messages of other programs."""

from __future__ import annotations

import os
import re
from typing import Final

_IN_ADDRESS: Final = re.compile(r"(?<=://)[^/\s@\"']+(?=@)")
_NAMED: Final = re.compile(
    r"(?i)((?:password|passwd|secret|token(?!s|iz)|api_?key|access_?key|amz-signature|credential)[\w-]*[\"']?\s*[=:]\s*[\"']?)"
    r"(?!\*\*\*)[^\s\"'&,;}]+"
)
_VARIABLE: Final = re.compile(r"(?i)password|passwd|secret|token|_key$|credential")
_SHORTEST: Final = 6
"""Characters from which a variable's value is looked for: ``1`` is no secret that one could hide."""


def masked(text: str) -> str:
    """A text without secrets: credentials in addresses, what is called a password or a token, and the
    values of environment variables that are called so."""
    text = _IN_ADDRESS.sub("***", text)
    text = _NAMED.sub(r"\1***", text)
    for name, value in os.environ.items():
        if len(value) >= _SHORTEST and _VARIABLE.search(name):
            text = text.replace(value, "***")
    return text
