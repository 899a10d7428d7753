"""Slurm: attempts become jobs of a batch system, many of them in one array.

Owns what is particular to Slurm: submit files, its commands and the states of its jobs. What a job does on
its node is the capsule's affair.
"""

from .executor import SlurmExecutor

__all__ = ["SlurmExecutor"]
