"""Runs attempts in an HTCondor pool: the executor ``htcondor``.

executor.py     the door: what is taken, submitted, cancelled, found again
    watching.py     what becomes of jobs in the queue
batch.py        attempts of equal shape as one cluster, and the folder that is kept of it
description.py  the submit description
events.py       the event log, and what an event means for a job
commands.py     HTCondor's commands, run beside the runner's loop
"""

from hepflow_htcondor.executor import HTCondorExecutor

__all__ = ["HTCondorExecutor"]
