"""CWL expressions as the engine takes them: which ports they read, and what they give.

Plain data, kept with a loaded document, so nothing of the libraries is imported here; evaluating
(``evaluation.py``) imports them when the first expression is computed.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from hepflow.model.values import Value, Values
from hepflow.model.workflow import Merge, Pick
from hepflow_cwl.scripts import Reading, Script

_INPUTS: Final = re.compile(
    r"""\binputs\b(?:\s*\.\s*([A-Za-z_]\w*)|\['([^'\\]+)'\]|\["([^"\\]+)"\])?"""
)
_BY_TEXT: Final = re.compile(r"\b(eval|Function)\b")


def needed(script: Script, reads: Sequence[Reading]) -> tuple[Reading, ...]:
    """The inputs a script names; all of them where it may use others.

    What is not needed is not waited for and not made into JSON.
    """
    named: set[str] = set()
    for text in (script.text, *(script.library or ())):
        if _BY_TEXT.search(text):
            return tuple(reads)
        for match in _INPUTS.finditer(text):
            named.add(match[1] or match[2] or match[3] or "")
    if named - {reading.name for reading in reads}:
        return tuple(reads)
    return tuple(reading for reading in reads if reading.name in named)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The value of a script over the ports of an invocation.

    Args:
        reads: what is ``inputs`` in there.
        itself: what is ``self``; ``None`` for null.
        truth: it must give true or false (a condition).
    """

    script: Script
    reads: tuple[Reading, ...] = ()
    itself: Reading | None = None
    truth: bool = False

    @property
    def names(self) -> Collection[str]:
        if self.script.is_constant:
            return ()
        own = (self.itself.port,) if self.itself is not None else ()
        return {*own, *(reading.port for reading in self.reads)}

    def evaluate(self, values: Values) -> Value:
        """The value.

        Raises:
            ValueError: with a sentence that says what went wrong in which expression.
        """
        if self.script.is_constant:
            return self._checked(self.script.text)
        from hepflow_cwl.evaluation import evaluate

        return self._checked(evaluate(self.script, self.reads, self.itself, values))

    def _checked(self, value: Value) -> Value:
        if self.truth and not isinstance(value, bool):
            script = self.script
            raise ValueError(
                f"{script.what} must give true or false, but {script.text} gives {value!r:.80}"
                f" ({script.place})"
            )
        return value


@dataclass(frozen=True, slots=True)
class Carry:
    """What a loop's next round gets for one input (CWL v1.3, LoopInput).

    Args:
        sources: outputs of the finished round.
        merge, pick, default: how they become one value, as of a step's input.
        then: computed from that value (``self``) and the finished round's inputs.
    """

    sources: tuple[str, ...]
    merge: Merge | None = None
    pick: Pick | None = None
    default: Value = None
    then: Evaluation | None = None

    OUTPUTS = "outputs"

    @property
    def names(self) -> Collection[str]:
        return {self.OUTPUTS, *(self.then.names if self.then is not None else ())}

    def evaluate(self, values: Values) -> Value:
        """The next round's value.

        Raises:
            ValueError: nothing is left to pick, or too much is, or the expression fails.
        """
        outputs = values[self.OUTPUTS]
        assert isinstance(outputs, dict)
        value = _gathered([outputs.get(name) for name in self.sources], self.merge)
        if self.pick is not None and isinstance(value, list):
            value = _picked(value, self.pick)
        if value is None:
            value = self.default
        if self.then is None:
            return value
        return self.then.evaluate({**values, CARRIED: value})


CARRIED = "carried value"
"""The port, of no step, that has the value a loop carries on before its ``valueFrom``."""


def _gathered(found: Sequence[Value], merge: Merge | None) -> Value:
    if not found:
        return None
    if merge is Merge.FLATTENED:
        parts = [list(item) if isinstance(item, (list, tuple)) else [item] for item in found]
        return [item for part in parts for item in part]
    return found[0] if merge is None and len(found) == 1 else list(found)


def _picked(values: Sequence[Value], pick: Pick) -> Value:
    found = [value for value in values if value is not None]
    if pick is Pick.ALL_NON_NULL:
        return found
    if not found or (pick is Pick.ONLY_NON_NULL and len(found) > 1):
        raise ValueError(f"{pick.value}: {len(found)} of {len(values)} sources are not null")
    return found[0]
