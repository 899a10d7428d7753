"""The capsule as a program: ``capsule.pyz ORDER.json`` carries out an order on a worker node.

``capsule.pyz share ORDER.json`` does so for an array's job, which may go on with orders of others of the array;
``capsule.pyz call ORDER.json NUMBER ANSWER`` is its own child, which makes one Python call of an order;
``capsule.pyz afar JOB.json`` carries out an order whose files come and go by links.
"""

import os
import sys
import time

from hepflow.capsule import orders
from hepflow.capsule.light import encode
from hepflow.capsule.report import last_line, result_line
from hepflow.capsule.running import Capsule
from hepflow.capsule.sharing import Share

TYPE_CHECKING = False
if TYPE_CHECKING:  # what only a checker reads, no worker process need load
    from typing import Callable

    from hepflow.capsule.orders import Entry, Order


def main() -> int:
    """Returns 0 when every task has its result, whatever that is."""
    words = sys.argv[1:]
    if words[:1] == ["call"]:
        _path, number, answer = words[1:]
        _call(words[1], int(number), answer)
        return 0
    if words[:1] == ["afar"]:
        from hepflow.capsule import afar

        afar.carry_out(words[1], [os.path.abspath(sys.argv[0])])
        return 0
    path = os.path.abspath(words[-1])
    program = [os.path.abspath(sys.argv[0])]
    if words[0] == "share":
        return _share(path, program)
    _carry_out(orders.read(path), path, program)
    return 0


def _share(path: str, program: "list[str]") -> int:
    """Carry out the order of one job of an array, and those that wait for others while it is young."""
    began = time.monotonic()
    share = Share(path)
    taken = share.own()
    if not taken:
        return 0  # another job was sooner
    order, *others = [orders.read(one) for one in taken]
    for other in others:
        order.entries += other.entries

    def more() -> "list[Entry]":
        another = share.another() if time.monotonic() - began < order.share_s else ""
        entries = orders.read(another).entries if another else []
        order.entries += entries
        return entries

    _carry_out(order, path, program, more)
    return 0


def _carry_out(
    order: "Order", path: str, program: "list[str]", more: "Callable[[], list[Entry]]" = list
) -> None:
    """Run a capsule; a fault of its own becomes the result of all that have none."""
    try:
        Capsule(order, path, program, more).run()
    except BaseException as error:
        said = f"{type(error).__name__}: {error}"
        message = f"the capsule failed on {os.uname().nodename}{last_line(said)}"
        for entry in order.entries:
            result = order.path(entry)
            if not os.path.exists(result):
                usage = [0.0, 0, 0, 0]
                line = result_line(entry.task[0], "node or worker lost", usage, message=message)
                orders.keep(result, line + encode(os.uname().nodename).encode() + b"\n")
        raise


def _call(path: str, number: int, answer: str) -> None:
    """Make one call, with nothing of hepflow's in the function's way."""
    from hepflow.capsule import calling

    order = orders.read(path)
    call = next(entry.call for entry in order.entries if entry.number == number)
    calling.forget_ourselves(call["path"])
    calling.answer(call, answer)
