"""What a Dask worker does with a bundle; the only module of ours that it loads by name."""

from __future__ import annotations

from distributed import get_worker

from hepflow.pilots.carrying import carry_out
from hepflow.pilots.orders import Order
from hepflow.pilots.parcels import Parcel, apart


def carry(order: Order, *parcels: Parcel) -> Parcel:
    """Run a bundle with what this worker has: its threads are cores, its limit is the memory.

    What it leaves is Dask's: it stays on this worker, and goes to others that ask for it, as long as the
    head holds on to it.
    """
    worker = get_worker()
    here: dict[str, object] = {}
    if "cpus" not in order.settings:
        here["cpus"] = worker.state.nthreads
    limit = worker.memory_manager.memory_limit
    if "memory_mib" not in order.settings and limit:
        here["memory_mib"] = limit >> 20
    return apart(carry_out(order, here, parcels))


def lay(parcel: Parcel) -> Parcel:
    """Have a parcel from the head lie here, for bundles that ask for it."""
    return parcel
