"""Bodies held against the models of the service that its client has: their fields, types and values."""

from __future__ import annotations

import re
import types
import typing
from datetime import timedelta
from enum import Enum

from azure.batch import models

DURATION = re.compile(r"P(?=.)(\d+D)?(T(?=.)(\d+H)?(\d+M)?(\d+(\.\d+)?S)?)?")


class Wrong(Exception):
    """A body is not what its model says; where, and why."""


def check(value: object, kind: type, where: str = "") -> None:
    """Hold a value, as JSON has it, against a type of the client's.

    Raises:
        Wrong: it is something else.
    """
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        _check_one_of(value, typing.get_args(kind), where)
    elif origin is list:
        if not isinstance(value, list):
            raise Wrong(f"{where} is no list")
        for number, item in enumerate(value):
            check(item, *typing.get_args(kind), f"{where}[{number}]")  # type: ignore[misc]
    elif kind is timedelta:
        if not isinstance(value, str) or not DURATION.fullmatch(value):
            raise Wrong(f"{where} is no duration: {value!r}")
    elif hasattr(kind, "as_dict"):
        _check_model(value, kind, where)
    elif kind in (str, int, bool) and type(value) is not kind:
        raise Wrong(f"{where} is not of type {kind.__name__}: {value!r}")


def _check_one_of(value: object, kinds: tuple[type, ...], where: str) -> None:
    choices = [kind for kind in kinds if kind is not type(None)]
    values = [kind for kind in choices if isinstance(kind, type) and issubclass(kind, Enum)]
    if values:
        if not any(value in {item.value for item in kind} for kind in values):
            raise Wrong(f"{where} has no such value: {value!r}")
    else:
        check(value, choices[0], where)


def _check_model(value: object, kind: type, where: str) -> None:
    if not isinstance(value, dict):
        raise Wrong(f"{where} is no object")
    kind()  # what a model calls its fields it knows once there has been one of it
    known = {
        field._rest_name: typing.get_type_hints(kind, localns={"_models": models})[name]
        for name, field in kind._attr_to_rest_field.items()  # type: ignore[attr-defined]
    }
    for name in value.keys() - known.keys():
        raise Wrong(f"{where}.{name} is not known")
    for name, hint in known.items():
        if name in value:
            check(value[name], hint, f"{where}.{name}")
        elif type(None) not in typing.get_args(hint):
            raise Wrong(f"{where}.{name} is missing")
