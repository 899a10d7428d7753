"""Values computed from ports: ``{{ range(inputs.n) }}``, ``{{ shard }}``, ``{{ a.x + b.y }}``.

A text that is one ``{{ }}`` gives the value itself; text around it makes a string. Plain names,
literals and ranges are evaluated here, everything else by ``jinja.py``.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from hepflow.model.values import Value, Values
from hepflow.recipe.spelling import location_of
from hepflow.recipe.templates import (
    Frame,
    TextTemplate,
    attribute,
)


@dataclass(frozen=True, slots=True)
class Literal:
    """A value that depends on nothing."""

    value: Value
    names: Collection[str] = ()

    def evaluate(self, values: Values) -> Value:
        return self.value


@dataclass(frozen=True, slots=True)
class Lookup:
    """A port's value, or a part of it."""

    port: str
    attributes: tuple[str, ...] = ()

    @property
    def names(self) -> Collection[str]:
        return (self.port,)

    def evaluate(self, values: Values) -> Value:
        value = values[self.port]
        try:
            for name in self.attributes:
                value = attribute(value, name)
        except ValueError as error:
            dotted = ".".join((self.port, *self.attributes))
            raise ValueError(f"'{dotted}': {error}") from None
        return value


@dataclass(frozen=True, slots=True)
class RangeOf:
    """Whole numbers from, to (without the last), and step, as Python counts."""

    arguments: tuple[Literal | Lookup, ...]
    names: tuple[str, ...]

    def evaluate(self, values: Values) -> Value:
        arguments = [argument.evaluate(values) for argument in self.arguments]
        try:
            return range(*arguments)  # type: ignore[arg-type]
        except (TypeError, ValueError) as error:
            raise ValueError(f"range: {error}") from None


@dataclass(frozen=True, slots=True)
class Mixed:
    """Text around values: a string."""

    template: TextTemplate

    @property
    def names(self) -> Collection[str]:
        return self.template.ports

    def evaluate(self, values: Values) -> Value:
        return self.template.render(Frame(values, {}, {}, location_of, []))
