"""Likelihood-free inference, benchmarked: simulate, train a neural posterior, judge it.

An ordinary Python package with a command line (``python -m hepflow_lfi --help``) that reproduces
rows of the simulation-based inference benchmark of Lueckmann et al., AISTATS 2021, PMLR 130:343.
It knows nothing of the workflow that may drive it.  Importing it costs nothing: numpy is loaded
by ``hepflow_lfi.simulate``, torch only by the modules that train or sample a network.
"""

__version__ = "0.1.0"
