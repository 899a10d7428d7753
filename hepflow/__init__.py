"""hepflow: run somebody's analysis, on whatever machine you have.

The package's face is :mod:`hepflow.api`; importing ``hepflow`` itself loads nothing else,
so that ``hepflow --version`` costs no more than the interpreter's own start.
"""

__version__ = "0.1.0"
