"""The little of json, signal, hashlib and collections that every task needs, without what they bring along.

A capsule lives as long as a short task. To start Python takes 8 ms, to load json with re and enum 9, signal and
hashlib (OpenSSL) 8 more, on the machine where that was measured: more than many tasks. What stands behind those
modules is loaded at once; where it is not to be had, the modules themselves are. Python 3.6.
"""

import sys

__all__ = ["decode", "deque", "encode", "sha256", "signal"]

TYPE_CHECKING = False
if TYPE_CHECKING:  # what only a checker reads, no worker process need load
    import signal
    from collections import deque
    from collections.abc import Callable
    from hashlib import sha256
    from typing import Any

    encode: "Callable[[Any], str]"
    decode: "Callable[[str], Any]"
else:
    try:
        import _signal as signal
    except ImportError:
        import signal
    try:
        from _collections import deque
    except ImportError:
        from collections import deque
    try:
        if sys.version_info >= (3, 12):  # to look for what is not there takes time as well
            from _sha2 import sha256
        else:
            from _sha256 import sha256
    except ImportError:
        from hashlib import sha256

    def _refuse(value):
        raise TypeError(f"{type(value).__name__} is not JSON data")

    class _Plain:
        """How json reads by default, as its scanner asks for it."""

        strict = True
        object_hook = object_pairs_hook = None
        parse_float, parse_int = float, int
        parse_constant = {
            "NaN": float("nan"),
            "Infinity": float("inf"),
            "-Infinity": float("-inf"),
        }.__getitem__
        memo = {}

    try:
        import _json

        _pieces = _json.make_encoder(
            None, _refuse, _json.encode_basestring_ascii, None, ":", ",", False, False, True
        )
        _scan = _json.make_scanner(_Plain)
    except (ImportError, AttributeError, TypeError):
        import json

        encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
        decode = json.loads
    else:

        def encode(value):
            """A value as a line of JSON."""
            return "".join(_pieces(value, 0))

        def decode(text):
            """The value in a text that begins with it.

            Raises:
                ValueError: it does not.
            """
            try:
                return _scan(text, 0)[0]
            except StopIteration:
                raise ValueError("this is not JSON") from None
