"""What a recipe says of a study, as Optuna's own objects: distributions, sampler, pruner.

Samplers and pruners go by the names of their classes (``TPESampler``, or short ``tpe``); those of
other packages as ``package.module:Class``.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from types import ModuleType
from typing import Any, TypeAlias

from optuna import pruners, samplers
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

Data: TypeAlias = Mapping[str, Any]
"""A record as it comes from JSON."""


@dataclass(frozen=True, slots=True)
class Definition:
    """A study as a recipe defines it.

    Args:
        direction: ``minimize`` or ``maximize``.
        distributions: of the parameters, by name.
        first: parameters that are tried before the sampler is asked; the rest of each it suggests.
    """

    direction: str
    distributions: Mapping[str, BaseDistribution]
    sampler: Data
    pruner: Data | None
    seed: int
    first: Sequence[Data]

    @classmethod
    def of(cls, study: Data) -> Definition:
        """From the record that a recipe's tool makes.

        Raises:
            ValueError: a distribution is not sound.
        """
        return cls(
            study["direction"],
            {name: distribution(form) for name, form in study["parameters"].items()},
            study["sampler"],
            study["pruner"],
            study["seed"],
            study["first"],
        )

    def make_sampler(self) -> samplers.BaseSampler:
        """A sampler at the beginning of the study.

        Raises:
            ValueError: there is none of that name, or it takes no such options.
        """
        kind = _class_called(self.sampler["name"], samplers, "Sampler", "sampler")
        parameters = inspect.signature(kind).parameters
        given: dict[str, Any] = {"seed": self.seed} if "seed" in parameters else {}
        if "search_space" in parameters and "search_space" not in self.sampler["options"]:
            given["search_space"] = self._grid()
        found = _made(kind, {**given, **self.sampler["options"]}, "sampler")
        assert isinstance(found, samplers.BaseSampler)
        return found

    def make_pruner(self) -> pruners.BasePruner:
        """The pruner; one that never prunes where the recipe names none.

        Raises:
            ValueError: there is none of that name, or it takes no such options.
        """
        if self.pruner is None:
            return pruners.NopPruner()
        options = dict(self.pruner["options"])
        inner = options.get("wrapped_pruner")  # of the patient one
        if inner is not None:
            inner = inner if isinstance(inner, dict) else {"name": inner}
            kind = _class_called(inner["name"], pruners, "Pruner", "pruner")
            rest = {key: value for key, value in inner.items() if key != "name"}
            options["wrapped_pruner"] = _made(kind, rest, "pruner")
        kind = _class_called(self.pruner["name"], pruners, "Pruner", "pruner")
        found = _made(kind, options, "pruner")
        assert isinstance(found, pruners.BasePruner)
        return found

    def _grid(self) -> dict[str, list[Any]]:
        """All values of each parameter, for samplers that go through them.

        Raises:
            ValueError: a parameter has endlessly many.
        """
        grid: dict[str, list[Any]] = {}
        for name, space in self.distributions.items():
            if isinstance(space, CategoricalDistribution):
                grid[name] = list(space.choices)
            elif isinstance(space, IntDistribution) and not space.log:
                grid[name] = list(range(space.low, space.high + 1, space.step))
            elif isinstance(space, FloatDistribution) and space.step is not None:
                count = round((space.high - space.low) / space.step)
                grid[name] = [space.low + at * space.step for at in range(count + 1)]
            else:
                raise ValueError(
                    f"a grid over '{name}' has no end; give it choices or a step, or give the"
                    " sampler its 'search_space'"
                )
        return grid


def distribution(form: Data) -> BaseDistribution:
    """Where one parameter is looked for.

    Args:
        form: ``choices``; or ``low``, ``high``, ``type`` (int or float), ``log`` and ``step``.
    """
    if "choices" in form:
        return CategoricalDistribution(form["choices"])
    low, high, log, step = form["low"], form["high"], form["log"], form["step"]
    if form["type"] == "int":
        return IntDistribution(low, high, log=log, step=1 if step is None else step)
    return FloatDistribution(low, high, log=log, step=step)


def _class_called(name: str, library: ModuleType, ending: str, what: str) -> type:
    if ":" in name:
        module, _, attribute = name.partition(":")
        try:
            found = getattr(import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise ValueError(f"the {what} '{name}' cannot be loaded: {error}") from None
    else:
        known = {word.lower(): word for word in library.__all__ if word.endswith(ending)}
        short = {word.removesuffix(ending.lower()): word for word in known}
        wanted = name.lower().replace("-", "").replace("_", "")
        wanted = short.get(wanted, wanted)
        if wanted not in known or known[wanted].startswith("Base"):
            near = get_close_matches(wanted, [*known, *short], n=1)
            fix = f"did you mean '{known[short.get(near[0], near[0])]}'?" if near else ""
            raise ValueError(f"Optuna has no {what} '{name}'; {fix or sorted(known.values())}")
        found = getattr(library, known[wanted])
    assert isinstance(found, type)
    return found


def _made(kind: type, options: Data, what: str) -> object:
    try:
        return kind(**options)
    except TypeError as error:
        names = ", ".join(name for name in inspect.signature(kind).parameters)
        raise ValueError(f"the {what} {kind.__name__}: {error}; it takes {names}") from None
