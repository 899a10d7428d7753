"""From a record to a packtivity, with every fault at its place (yadage-schemas 0.11.1, ``packtivity/``)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from difflib import get_close_matches
from string import Formatter
from typing import Final

from hepflow.model.errors import Place, Problem
from hepflow_yadage.documents import Record
from hepflow_yadage.queries import check_jq
from hepflow_yadage.shapes import (
    ENVIRONMENTS,
    INVALID,
    PROCESSES,
    PUBLISHERS,
    Needed,
    Shape,
    fields_of,
    kind_of,
)
from hepflow_yadage.specs import JSON, Body, Packtivity

_PART: Final = (dict, type(None))
_SHAPE: Final[Shape] = {
    "process": Needed(_PART),
    "environment": Needed(_PART),
    "publisher": Needed(dict),
}


class Packtivities:
    """The packtivities of one document, each read once, from however many places it is referred to.

    Args:
        problems: where faults are told.
    """

    def __init__(self, problems: list[Problem]) -> None:
        self._problems = problems
        self._read: dict[int, Packtivity | None] = {}

    def read(self, record: Record) -> Packtivity | None:
        """A packtivity; ``None`` if it has faults."""
        if id(record) not in self._read:
            self._read[id(record)] = self._packtivity(record)
        return self._read[id(record)]

    def check_words(self, stage: str, body: Body, parameters: Mapping[str, JSON]) -> None:
        """Look for words in a command's braces that stand for no parameter of its stage."""
        if isinstance(body, tuple):
            for case in body:
                self.check_words(stage, case.body, parameters)
        if not isinstance(body, Packtivity) or body.process is None:
            return
        text = body.process.get("cmd", body.process.get("script"))
        escape = "'{{' and '}}' are braces that are meant as such"
        try:
            fields = [field for _, field, _, _ in Formatter().parse(text) if field is not None]
        except ValueError as error:
            self._fault(body.place, f"its braces do not match: {error}", escape)
            return
        for field in dict.fromkeys(fields):
            word = re.split(r"[.\[]", field, maxsplit=1)[0]
            if word not in parameters:
                near = get_close_matches(word, parameters, n=1)
                fix = f"did you mean '{near[0]}'?" if near else escape
                what = f"'{{{word}}}' stands for no parameter of stage '{stage}'"
                self._fault(body.place, what, fix)

    def _fault(self, place: Place, what: str, fix: str = "") -> None:
        self._problems.append(Problem(place, INVALID, what, fix=fix))

    def _packtivity(self, record: Record) -> Packtivity | None:
        said = fields_of(record, _SHAPE, "a packtivity", self._problems.append)
        if said is None:
            return None
        before = len(self._problems)
        process = self._kind(said["process"], "process_type", PROCESSES)
        environment = self._kind(said["environment"], "environment_type", ENVIRONMENTS)
        publisher = self._kind(said["publisher"], "publisher_type", PUBLISHERS)
        if len(self._problems) > before or publisher is None:
            return None
        self._check_script(said["publisher"])
        if said["environment"] is not None:
            self._check_mounts(said["environment"])
        around = dict(environment or {})
        for key in ("image", "imagetag", "resources"):
            around.pop(key, None)
        text = json.dumps([process, around, publisher], sort_keys=True, default=str)
        key = next((key for key in ("cmd", "script") if key in (process or {})), "")
        place = said["process"].at(key) if key else record.place
        return Packtivity(process, environment, publisher, text, place)

    def _kind(
        self, record: Record | None, key: str, kinds: Mapping[str, Shape]
    ) -> dict[str, JSON] | None:
        return None if record is None else kind_of(record, key, kinds, self._problems.append)

    def _check_script(self, publisher: Record) -> None:
        why = check_jq(publisher["script"]) if "script" in publisher else ""
        if why:
            self._fault(publisher.at("script"), f"'script' is not jq: {why}")

    def _check_mounts(self, environment: Record) -> None:
        for mount in environment.get("par_mounts", ()):
            texts = isinstance(mount, Record) and all(isinstance(v, str) for v in mount.values())
            if not texts or mount.keys() != {"jqscript", "mountpath"}:
                what = "an entry of 'par_mounts' has a 'jqscript' and a 'mountpath'"
                self._fault(environment.at("par_mounts"), what)
                continue
            why = check_jq(mount["jqscript"])
            if why:
                self._fault(mount.at("jqscript"), f"'jqscript' is not jq: {why}")
