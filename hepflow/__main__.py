"""The program ``hepflow``: answers ``--version`` at once, hands everything else to the verbs."""

from __future__ import annotations

import gc
import sys


def main() -> int:
    """Runs the command line and returns the exit status."""
    arguments = sys.argv[1:]
    if arguments in (["--version"], ["-V"]):  # asked for by scripts; needs no command-line parser
        from hepflow import __version__

        sys.stdout.write(f"hepflow {__version__}\n")
        return 0
    # A run keeps hundreds of thousands of objects and makes few cycles: by default the collector
    # would walk them all again and again, at a third of the engine's time.
    gc.set_threshold(50_000, 20, 20)
    from hepflow.cli.entry import enter

    status = enter(arguments)
    # All goes with the process: to look for garbage first would take longer than a short run.
    gc.freeze()
    return status


if __name__ == "__main__":
    sys.exit(main())
