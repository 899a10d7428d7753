"""Attempts as jobs of a batch system with a shared file system: what Slurm and PBS have in common.

Results come back as files that capsules write, and the batch system is the second witness. What is
particular to one system stands in its adapter, as a table of hooks. Must never know which system it is.
"""
