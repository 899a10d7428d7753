"""The executor ``parsl``: tasks on the workers of Parsl's HighThroughputExecutor."""

from .executor import ParslExecutor as ParslExecutor
