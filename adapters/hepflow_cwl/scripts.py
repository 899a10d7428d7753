"""What an expression is: its text, what it may read, and under which rules. Plain data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from hepflow.model.errors import Place
from hepflow.model.workflow import NOWHERE


class Listing(Enum):
    """How much of a directory an expression sees (CWL v1.2, LoadListingEnum)."""

    NONE = "no_listing"
    SHALLOW = "shallow_listing"
    DEEP = "deep_listing"


@dataclass(frozen=True, slots=True)
class Reading:
    """One input an expression may read.

    Args:
        name: what the expression calls it: ``inputs.NAME``.
        port: the step's port that has the value.
        contents: its files come with their text.
        listing: how far its directories come with what is in them.
    """

    name: str
    port: str
    contents: bool = False
    listing: Listing = Listing.NONE


@dataclass(frozen=True, slots=True)
class Script:
    """A text with expressions in it, and all that evaluating it takes.

    Args:
        text: as the document has it; without ``$(`` and ``${`` it stands for itself.
        what: whose it is, for messages: ``valueFrom of input 'x' of step 'y'``.
        place: where it stands.
        library: the parts of ``expressionLib``; ``None`` where JavaScript is not allowed and there
            are parameter references only.
        timeout_s: seconds of computing time; 0 for no limit.
        tell: log what it prints with ``console.log``.
    """

    text: str
    what: str
    place: Place = NOWHERE
    library: tuple[str, ...] | None = None
    timeout_s: float = 20.0
    tell: bool = False

    @property
    def is_constant(self) -> bool:
        return "$(" not in self.text and "${" not in self.text
