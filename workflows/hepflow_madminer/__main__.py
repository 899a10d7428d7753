"""Run the command line: ``python -m hepflow_madminer``."""

import sys

from hepflow_madminer.cli import main

if __name__ == "__main__":
    sys.exit(main())
