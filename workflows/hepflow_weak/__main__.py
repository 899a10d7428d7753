"""Run the command line: ``python -m hepflow_weak``."""

import sys

from hepflow_weak.cli import main

if __name__ == "__main__":
    sys.exit(main())
