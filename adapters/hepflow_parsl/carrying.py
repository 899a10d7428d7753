"""What a Parsl worker does with a bundle; the only module of ours that it loads by name."""

from __future__ import annotations

from hepflow.pilots.carrying import carry_out
from hepflow.pilots.orders import Order
from hepflow.pilots.parcels import Parcel, whole


def carry(order: Order) -> Parcel:
    """Run a bundle; all that is to know of the worker stands in the settings."""
    return whole(carry_out(order, {}))
