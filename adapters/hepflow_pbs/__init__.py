"""PBS: attempts become jobs of Torque (with Moab or Maui), PBS Pro or OpenPBS.

Owns what is particular to PBS: submit files, its commands and the states of its jobs. What a job does on
its node is the capsule's affair.
"""

from .executor import PBSExecutor

__all__ = ["PBSExecutor"]
