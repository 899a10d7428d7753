"""Run the command line: ``python -m hepflow_lfi``."""

import sys

from hepflow_lfi.cli import main

if __name__ == "__main__":
    sys.exit(main())
