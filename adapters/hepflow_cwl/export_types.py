"""What is known of a value before anything runs, and how CWL spells its type.

JavaScript has one kind of number. Whether a value is spelled ``2`` or ``2.0`` must therefore be known
from its type, and where it is not, an export is refused rather than wrong.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from hepflow.model.types import ANY, Type, type_of
from hepflow.model.values import Value

INT: Final = Type("int")
FLOAT: Final = Type("float")
STRING: Final = Type("string")
BOOLEAN: Final = Type("boolean")
NULL: Final = Type("null")


class Known(NamedTuple):
    """What is known of a value.

    Args:
        exact: numbers of unknown kind in it are as Python has them: JavaScript never had them.
    """

    type: Type
    exact: bool = True


def array(items: Type) -> Type:
    """The type of an array."""
    return Type("array", items=items)


def optional(found: Type) -> Type:
    """The type, or null."""
    if found.name in ("any", "null"):
        return found
    return Type(found.name, found.items, found.symbols, True)


def required(found: Type) -> Type:
    """The type without null."""
    return Type(found.name, found.items, found.symbols)


def join(one: Type, other: Type) -> Type:
    """The narrowest type that holds both, as far as types here can say."""
    if one == other:
        return one
    if one.name == "null" or other.name == "null":
        return optional(other if one.name == "null" else one)
    if one.optional or other.optional:
        return optional(join(required(one), required(other)))
    if one.items is not None and other.items is not None:
        return array(join(one.items, other.items))
    if {one.name, other.name} == {"string", "enum"}:
        return STRING
    return ANY


def of_value(value: Value) -> Type:
    """The type of a constant; that of an empty array is one of nothing."""
    if value is None:
        return NULL
    if isinstance(value, list | tuple | range):
        found = [of_value(item) for item in value]
        if not found:
            return array(NULL)
        whole = found[0]
        for one in found[1:]:
            whole = join(whole, one)
        return array(whole)
    return type_of(value)


def numbers(found: Type) -> str:
    """Which numbers a value of this type holds: ``none``, ``int``, ``float`` or ``unknown``."""
    if found.items is not None:
        return numbers(found.items)
    if found.name in ("int", "float"):
        return found.name
    return "unknown" if found.name in ("any", "record") else "none"


def holds_files(found: Type) -> bool:
    """Whether a value of this type can be or hold a file."""
    if found.items is not None:
        return holds_files(found.items)
    return found.name in ("File", "Directory", "any", "record")


_SPELLED: Final = {"int": "long", "float": "double", "record": "Any"}


def cwl_type(found: Type) -> object:
    """A type as CWL writes it in a ``type`` field, in the short form where there is one."""
    items = found.items
    if items is None or items.optional or items.name in ("any", "null", "array", "enum"):
        return _whole(found)
    return f"{_spelled(items)}[]{'?' if found.optional else ''}"


def parameter(found: Type) -> object:
    """An input or output of which no more than its type is said."""
    written = cwl_type(found)
    return written if isinstance(written, str) else {"type": written}


def _spelled(found: Type) -> str:
    return _SPELLED.get(found.name, found.name)


def _whole(found: Type) -> object:
    """The type without short forms. ``Any`` of CWL excludes null, ours does not."""
    if found.name == "any":
        return ["null", "Any"]
    whole: object = _spelled(found)
    if found.items is not None:
        whole = {"type": "array", "items": _whole(found.items)}
    elif found.symbols:
        whole = {"type": "enum", "symbols": list(found.symbols)}
    return ["null", whole] if found.optional else whole
