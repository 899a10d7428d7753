"""Parsl's interchange, as a program that ends with the head that started it.

Parsl's own goes on for ever when its head was killed, and its workers with it.
"""

from __future__ import annotations

import os
import runpy
import threading
import time
from typing import Final

LOOK_S: Final = 1.0


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK_S)
    os._exit(1)


def main() -> None:
    """Read the configuration from standard input, and serve."""
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    runpy.run_module("parsl.executors.high_throughput.interchange", run_name="__main__")


if __name__ == "__main__":
    main()
