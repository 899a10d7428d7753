"""What the kinds of process, environment and publisher may say (yadage-schemas 0.11.1, ``packtivity/``).

Owns the tables, and the check of a record against one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, Final, NamedTuple

from hepflow.model.errors import Place, Problem
from hepflow_yadage.documents import Record

INVALID: Final = "HF273"
UNSUPPORTED: Final = "HF279"

Tell = Callable[[Problem], None]


class Needed(NamedTuple):
    """A key that must be there."""

    type: type | tuple[type, ...]


class Default(NamedTuple):
    """A key that need not be there."""

    type: type | tuple[type, ...]
    value: object


Shape = Mapping[str, Needed | Default]

_ANY: Final = (dict, list, str, bool, int, float, type(None))
_GLOBBING: Final = {"glob": Default(bool, False), "relative_paths": Default(bool, False)}

PROCESSES: Final[Mapping[str, Shape]] = {
    "string-interpolated-cmd": {"cmd": Needed(str)},
    "interpolated-script-cmd": {"script": Needed(str), "interpreter": Default(str, "sh")},
}
ENVIRONMENTS: Final[Mapping[str, Shape]] = {
    "docker-encapsulated": {
        "image": Needed(str),
        "imagetag": Default((str, int, float), ""),
        "resources": Default(list, ()),
        "envscript": Default((str, type(None)), ""),
        "env": Default((dict, type(None)), None),
        "workdir": Default((str, type(None)), None),
        "par_mounts": Default(list, ()),
    },
    "localproc-env": {},
    "noop-env": {},
}
PUBLISHERS: Final[Mapping[str, Shape]] = {
    "frompar-pub": {"outputmap": Needed(dict)},
    "interpolated-pub": {"publish": Needed(_ANY), **_GLOBBING},
    "fromparjq-pub": {
        "script": Default(str, "."), "tryExact": Default(bool, True), **_GLOBBING,
    },
    "fromyaml-pub": {"yamlfile": Needed(str)},
    "fromglob-pub": {"globexpression": Needed(str), "outputkey": Needed(str)},
    "constant-pub": {"publish": Needed(_ANY)},
}  # fmt: skip

_NAMES: Final = {
    dict: "a mapping", list: "a list", str: "a text", bool: "true or false", int: "a number",
    float: "a number", type(None): "nothing",
}  # fmt: skip


def kind_of(
    record: Record, key: str, kinds: Mapping[str, Shape], tell: Tell
) -> dict[str, Any] | None:
    """A record of one of several kinds, with its defaults filled in; ``None`` if it has faults.

    Args:
        key: what names the kind.
    """
    kind = record.get(key)
    if not isinstance(kind, str) or kind not in kinds:
        near = get_close_matches(str(kind), kinds, n=1)
        fix = f"did you mean '{near[0]}'?" if near else f"one of {', '.join(kinds)}"
        if kind is None:
            tell(Problem(record.place, INVALID, f"there is no '{key}'", fix=f"add one: {fix}"))
        else:
            code = UNSUPPORTED if str(kind).startswith(("manual-", "test-")) else INVALID
            tell(Problem(record.at(key), code, f"there is no {key} '{kind}'", fix=fix))
        return None
    return fields_of(record, {key: Needed(str), **kinds[kind]}, f"a '{kind}'", tell)


def fields_of(record: Record, shape: Shape, what: str, tell: Tell) -> dict[str, Any] | None:
    """The keys of a record, with defaults filled in; ``None`` if it has faults, which are told.

    Args:
        what: what it is, for messages.
    """
    faults: list[Problem] = []
    for key in record:
        if key not in shape:
            near = get_close_matches(key, shape, n=1)
            fix = (
                f"did you mean '{near[0]}'?" if near else f"it has {', '.join(shape) or 'no keys'}"
            )
            faults.append(Problem(record.at(key), INVALID, f"{what} has no '{key}'", fix=fix))
    found: dict[str, Any] = {}
    for key, wanted in shape.items():
        if key not in record:
            if isinstance(wanted, Needed):
                faults.append(Problem(record.place, INVALID, f"{what} needs '{key}'"))
            else:
                found[key] = wanted.value
        elif mistyped(record[key], wanted.type):
            faults.append(_mistyped(record.at(key), key, wanted.type, record[key]))
        else:
            found[key] = record[key]
    for fault in faults:
        tell(fault)
    return None if faults else found


def mistyped(value: object, wanted: type | tuple[type, ...]) -> bool:
    """Whether a value is not of a type; ``true`` is no number."""
    types = wanted if isinstance(wanted, tuple) else (wanted,)
    return not isinstance(value, types) or (isinstance(value, bool) and bool not in types)


def _mistyped(place: Place, key: str, wanted: type | tuple[type, ...], value: object) -> Problem:
    types = wanted if isinstance(wanted, tuple) else (wanted,)
    names = " or ".join(dict.fromkeys(_NAMES[each] for each in types if each in _NAMES))
    return Problem(place, INVALID, f"'{key}' is {names}, here it is {value!r:.60}")
