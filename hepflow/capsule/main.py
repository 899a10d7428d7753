"""The capsule as a program: ``capsule.pyz ORDER.json`` carries out an order on a worker node.

``capsule.pyz call ORDER.json NUMBER ANSWER`` is its own child, which makes one Python call of an order;
``capsule.pyz afar JOB.json`` carries out an order whose files come and go by links.
"""

import os
import sys

from hepflow.capsule import orders
from hepflow.capsule.light import encode
from hepflow.capsule.report import last_line, result_line
from hepflow.capsule.running import Capsule


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
    path = os.path.abspath(words[0])
    order = orders.read(path)
    try:
        Capsule(order, path, [os.path.abspath(sys.argv[0])]).run()
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
    return 0


def _call(path: str, number: int, answer: str) -> None:
    """Make one call, with nothing of hepflow's in the function's way."""
    from hepflow.capsule import calling

    order = orders.read(path)
    call = next(entry.call for entry in order.entries if entry.number == number)
    calling.forget_ourselves(call["path"])
    calling.answer(call, answer)
