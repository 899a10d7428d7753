"""The weak mixing angle from e+e- -> mu+mu-, by simulation alone: Pythia 8 and a neural ratio.

An ordinary Python package with a command line (``python -m hepflow_weak --help``). It generates
events with Pythia 8 at many values of the effective weak mixing angle, trains a network on the
ratio of densities that they follow, and measures the angle from events whose value it was not
told. The tree-level formula (``hepflow_weak.tree``) is the check, never an input. It knows nothing
of the workflow that may drive it, and imports Pythia, torch and matplotlib only where they are used.
"""

__version__ = "0.1.0"
