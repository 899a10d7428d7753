"""The MadMiner workflow with a generator whose likelihood is known.

The steps of SCAILFIN's ``madminer-workflow`` (configure, generate, shower, detector, combine,
sample, train, evaluate, plot) as commands: ``python -m hepflow_madminer --help``. Networks are
trained by the `madminer` library; in place of MadGraph, Pythia and Delphes stands a Gaussian latent
model, whose exact likelihood ratio every estimate is held against. It knows nothing of the workflow
that may drive it. Importing it costs nothing; madminer and torch are loaded by ``estimators`` only.
"""

__version__ = "0.1.0"
