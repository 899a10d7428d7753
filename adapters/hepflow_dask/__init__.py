"""The executor ``dask``: tasks on a Dask cluster of this machine, of a batch system, or at an address."""

from .executor import DaskExecutor as DaskExecutor
