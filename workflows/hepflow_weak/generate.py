"""Generate e+e- -> gamma*/Z -> mu+mu- with Pythia 8 at values of the weak mixing angle.

C. Bierlich et al., "A comprehensive guide to the physics and usage of PYTHIA 8.3", SciPost Phys.
Codebases 8 (2022), doi:10.21468/SciPostPhysCodeb.8. Hard process only: no radiation off the beams,
no shower. The effective angle is ``StandardModel:sin2thetaWbar``, which sets the vector couplings;
``StandardModel:sin2thetaW`` sets the strength of the Z against the photon and is kept.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hepflow_verbs import InputError
from hepflow_weak.samples import BINS, AnyPath, Counts, Floats, Sample, write_sample
from hepflow_weak.tree import S2_ON_SHELL, Z_MASS_GEV, Z_WIDTH_GEV

LARGEST_SEED = 900_000_000
_MU_MINUS = 13
_SETTINGS = (
    "Print:quiet = on",
    "Beams:idA = 11",
    "Beams:idB = -11",
    "PDF:lepton = off",
    "WeakSingleBoson:ffbar2gmZ = on",
    "23:onMode = off",
    "23:onIfAny = 13",
    f"23:m0 = {Z_MASS_GEV}",
    f"23:mWidth = {Z_WIDTH_GEV}",
    "23:doForceWidth = on",
    f"StandardModel:sin2thetaW = {S2_ON_SHELL}",
    "PartonLevel:all = off",
    "Check:event = off",
    "Random:setSeed = on",
)


def draw(
    points: int,
    events: int,
    first_seed: int,
    low: float,
    high: float,
    energy_gev: float = Z_MASS_GEV,
    sample: AnyPath = "sample.npz",
) -> None:
    """Draw ``points`` values of s2eff, uniform in [``low``, ``high``]; generate ``events`` at each.

    Point i is generated with seed ``first_seed`` + i. ``low`` = ``high`` generates all at one
    value. Writes ``sample`` (see ``Sample``); the same arguments give the same bytes. Raises
    ``InputError`` for a request that makes no sense.
    """
    if points < 1 or events < 1:
        raise InputError("generate", "needs one point and one event at least", fix="ask for more")
    if not 0.0 < low <= high < 1.0:
        raise InputError(
            "generate", f"no range of sin^2: [{low}, {high}]", fix="give 0 < low <= high < 1"
        )
    if not 0 < first_seed <= LARGEST_SEED - points:
        raise InputError(
            "generate",
            f"first seed {first_seed} is out of range",
            fix=f"1 to {LARGEST_SEED} - points",
        )
    s2eff = np.random.default_rng(first_seed).uniform(low, high, points)
    seeds = first_seed + np.arange(points)
    counts = [
        _generate(value, events, seed, energy_gev)
        for value, seed in zip(s2eff.tolist(), seeds.tolist(), strict=True)
    ]
    write_sample(sample, Sample(s2eff, np.stack(counts), seeds, low, high, energy_gev))


def _generate(s2eff: float, events: int, seed: int, energy_gev: float) -> Counts:
    pythia = _prepare(s2eff, seed, energy_gev)
    cosines: Floats = np.empty(events)
    done = 0
    while done < events:
        if not pythia.next():
            continue  # a rejected phase-space point is no event
        process = pythia.process
        first, second = process[process.size() - 2], process[process.size() - 1]
        muon = first if first.id() == _MU_MINUS else second
        cosines[done] = muon.pz() / muon.pAbs()
        done += 1
    return np.histogram(cosines, BINS, (-1.0, 1.0))[0].astype(np.int64)


def _prepare(s2eff: float, seed: int, energy_gev: float) -> Any:
    import pythia8mc

    pythia = pythia8mc.Pythia("", False)
    for setting in (*_SETTINGS, f"Beams:eCM = {energy_gev}", f"Random:seed = {seed}"):
        if not pythia.readString(setting):
            raise InputError(
                "Pythia", f"does not take {setting!r}", fix="use pythia8mc 8.317 or later"
            )
    # Forced, because Pythia takes no value outside 0.225 to 0.240, too narrow for a prior.
    pythia.settings.forceParm("StandardModel:sin2thetaWbar", s2eff)
    if not pythia.init():
        raise InputError(
            "Pythia", f"does not start at {energy_gev} GeV", fix="choose another energy"
        )
    return pythia
