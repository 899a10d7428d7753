"""The engine: events in, actions out. Pure: no clock, no file, no socket, no thread, no store.

It knows the model and nothing else: not what language a workflow came from, not what runs it.
"""

from hepflow.engine.feed import Feed
from hepflow.engine.scheduler import Policy, Scheduler

__all__ = ["Feed", "Policy", "Scheduler"]
