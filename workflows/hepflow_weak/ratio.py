"""Learn the ratio of densities p(c | s2eff) / p(c) of events from simulations alone.

Neural ratio estimation: a network f(c, s2eff) tells events of a parameter point from events of all
points (K. Cranmer, J. Pavez, G. Louppe, arXiv:1506.02169; J. Hermans, V. Begy, G. Louppe,
arXiv:1903.04057). With the binary cross entropy its best value is the log of the ratio. Events come
as histograms, so the loss runs over bins instead of events, and each point is held against the
events of *all* points at once, which spares the noise of drawing partners by chance.

Of many events the log ratios are summed, and a fault common to all of them sums as well: at a
million events a normalisation wrong by 1e-6 counts. So what is used is p(c) exp f, normalised over
the bins. The members of an ensemble are trained on resampled points; that they differ tells how far
the training itself is uncertain (J. Hermans et al., arXiv:2110.06581).
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hepflow_verbs import InputError
from hepflow_weak.samples import BINS, CENTRES, AnyPath, Counts, Floats, Sample

HIDDEN = 16
STEPS = 1000
CHECK_EVERY = 10
FEWEST_POINTS = 10

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Ratio:
    """An ensemble of trained networks, two hidden layers of tanh each.

    ``weights``: three layers, each with its weights (members, in, out) and offsets
    (members, 1, out), standing one after the other; ``marginal`` (BINS,): p(c), the density of
    training events over all points; ``low``, ``high``: the range of s2eff trained in.
    """

    weights: tuple[Floats, ...]
    marginal: Floats
    low: float
    high: float
    energy_gev: float
    training_events: int

    @property
    def members(self) -> int:
        """How many networks there are."""
        return len(self.weights[0])

    def log_density(self, s2eff: Floats) -> Floats:
        """Return the log probability of each bin by each member: (members, points, BINS)."""
        values = np.asarray(_lay_out(self._scale(s2eff)))
        for index in (0, 2, 4):
            weight, offset = self.weights[index : index + 2]
            values = values @ weight + offset
            values = np.tanh(values) if index < 4 else values
        unnormalised = values.reshape(self.members, len(s2eff), BINS) + np.log(self.marginal)
        top = unnormalised.max(axis=2, keepdims=True)
        total = np.log(np.exp(unnormalised - top).sum(axis=2, keepdims=True)) + top
        return np.asarray(unnormalised - total)

    def _scale(self, s2eff: Floats) -> Floats:
        return np.asarray(2.0 * (s2eff - self.low) / (self.high - self.low) - 1.0)


def _lay_out(scaled: Floats) -> Floats:
    """Return the rows a network sees: cos(theta) and the parameter, (points x BINS, 2)."""
    return np.stack([np.tile(CENTRES, len(scaled)), np.repeat(scaled, BINS)], axis=1)


def train_ratio(sample: Sample, members: int, seed: int, steps: int, say: Say) -> Ratio:
    """Train an ensemble of ``members`` networks on the points of ``sample``.

    Each member sees points drawn with replacement, and keeps the weights that were best on those
    it did not draw. The same arguments give the same networks. Raises ``InputError`` for too few
    points, or points that are all the same.
    """
    low, high = sample.low, sample.high
    if len(sample.s2eff) < FEWEST_POINTS or low == high:
        raise InputError(
            "train",
            f"{len(sample.s2eff)} points from {low:g} to {high:g} teach nothing",
            fix=f"generate {FEWEST_POINTS} points or more over a range",
        )
    marginal = (sample.counts.sum(axis=0) + 0.5) / (sample.events + 0.5 * BINS)
    scaled = 2.0 * (sample.s2eff - low) / (high - low) - 1.0
    trained = []
    for member in range(members):
        generator = np.random.default_rng((seed, member))
        drawn = generator.multinomial(len(scaled), np.full(len(scaled), 1.0 / len(scaled)))
        weights, step = _train_member(scaled, sample.counts, drawn, marginal, generator, steps)
        trained.append(weights)
        say(f"network {member + 1} of {members}: best on points not seen at step {step} of {steps}")
    stacked = tuple(np.stack(layer) for layer in zip(*trained, strict=True))
    return Ratio(stacked, marginal, low, high, sample.energy_gev, sample.events)


def _train_member(
    scaled: Floats,
    counts: Counts,
    drawn: Counts,
    marginal: Floats,
    generator: np.random.Generator,
    steps: int,
) -> tuple[list[Floats], int]:
    """Return the weights and offsets of one network, and the step they are from."""
    import torch
    from torch.nn.functional import softplus

    layers = [
        torch.tensor(array, requires_grad=True)
        for width, size in ((2, HIDDEN), (HIDDEN, HIDDEN), (HIDDEN, 1))
        for array in (generator.normal(size=(width, size)) / width**0.5, np.zeros((1, size)))
    ]
    rows = torch.from_numpy(_lay_out(scaled))
    fractions = counts / counts.sum(axis=1, keepdims=True)
    events = counts.sum(axis=1)
    seen, unseen = (
        torch.from_numpy(events * times / (events * times).sum())[:, None]
        for times in (drawn, drawn == 0)
    )
    mine, everyones = torch.from_numpy(fractions), torch.from_numpy(marginal)[None]

    def cross_entropies() -> torch.Tensor:
        values = torch.tanh(rows @ layers[0] + layers[1])
        values = torch.tanh(values @ layers[2] + layers[3])
        ratio = (values @ layers[4] + layers[5]).reshape(len(scaled), BINS)
        return mine * softplus(-ratio) + everyones * softplus(ratio)

    # Second order: the differences to learn are so small that first-order steps never end.
    optimiser = torch.optim.LBFGS(
        layers, max_iter=CHECK_EVERY, history_size=50, line_search_fn="strong_wolfe",
        tolerance_grad=0.0, tolerance_change=0.0,
    )  # fmt: skip

    def descend() -> torch.Tensor:
        optimiser.zero_grad()
        loss = (cross_entropies() * seen).sum()
        loss.backward()
        return loss

    best, best_step, kept = np.inf, 0, [layer.detach().numpy().copy() for layer in layers]
    for step in range(CHECK_EVERY, steps + 1, CHECK_EVERY):
        optimiser.step(descend)
        with torch.no_grad():
            held_out = float((cross_entropies() * unseen).sum())
        if held_out < best:
            best, best_step = held_out, step
            kept = [layer.detach().numpy().copy() for layer in layers]
    return kept, best_step


def write_ratio(path: AnyPath, ratio: Ratio) -> None:
    """Write the ensemble as a numpy archive: numbers only, safe to read from a stranger."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Any] = {f"layer_{index}": each for index, each in enumerate(ratio.weights)}
    with path.open("wb") as file:
        np.savez(
            file,
            marginal=ratio.marginal,
            low=np.array(ratio.low),
            high=np.array(ratio.high),
            energy_gev=np.array(ratio.energy_gev),
            training_events=np.array(ratio.training_events),
            **arrays,
        )


def read_ratio(path: AnyPath) -> Ratio:
    """Read what ``write_ratio`` wrote; ``InputError`` where it is missing or something else."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return Ratio(
                tuple(file[f"layer_{index}"] for index in range(6)),
                file["marginal"],
                float(file["low"]),
                float(file["high"]),
                float(file["energy_gev"]),
                int(file["training_events"]),
            )
    except FileNotFoundError:
        raise InputError(path, "no such file", fix="check the path") from None
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(
            path, f"is no trained ratio ({error})", fix="write one with the command 'train'"
        ) from error
