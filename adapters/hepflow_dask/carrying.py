"""What a Dask worker does with a bundle; the only module of ours that it loads by name."""

from __future__ import annotations

from distributed import get_worker

from hepflow.pilots.carrying import carry_out
from hepflow.pilots.orders import Order


def carry(order: Order) -> bytes:
    """Run a bundle with what this worker has: its threads are cores, its limit is the memory."""
    worker = get_worker()
    here: dict[str, object] = {}
    if "cpus" not in order.settings:
        here["cpus"] = worker.state.nthreads
    limit = worker.memory_manager.memory_limit
    if "memory_mib" not in order.settings and limit:
        here["memory_mib"] = limit >> 20
    return carry_out(order, here)
