"""The tree-level asymmetry of e+e- -> gamma*/Z -> mu+mu-: the oracle, not part of the inference.

With v = -1 + 4 s2eff and a = -1 the couplings of a charged lepton, k = 1 / (16 s2 (1 - s2)) and
chi = s / (s - M^2 + i s G / M), the differential rate is S (1 + c^2) + 2 A c with

    S = 1 + 2 k v^2 Re chi + k^2 (v^2 + a^2)^2 |chi|^2
    A = 4 k a^2 Re chi + 8 k^2 v^2 a^2 |chi|^2

and the forward-backward asymmetry A_FB = (3/8) A / S. See ALEPH, DELPHI, L3, OPAL, SLD, "Precision
electroweak measurements on the Z resonance", Phys. Rept. 427 (2006) 257, section 1.5
(doi:10.1016/j.physrep.2005.12.006). Lepton masses and radiation are left out, as in the generator.
"""

from __future__ import annotations

import numpy as np

from hepflow_weak.samples import EDGES, Counts, Floats

Z_MASS_GEV = 91.188
Z_WIDTH_GEV = 2.4955
S2_ON_SHELL = 0.2312
"""sin^2 of the mixing angle in the strength of the Z against the photon; not what is measured."""


def find_asymmetry(s2eff: Floats | float, energy_gev: float) -> Floats:
    """Return A_FB (dimensionless) at each ``s2eff`` and one centre-of-mass energy in GeV."""
    v2 = (-1.0 + 4.0 * np.asarray(s2eff, float)) ** 2
    k = 1.0 / (16.0 * S2_ON_SHELL * (1.0 - S2_ON_SHELL))
    s = energy_gev**2
    chi = s / complex(s - Z_MASS_GEV**2, s * Z_WIDTH_GEV / Z_MASS_GEV)
    symmetric = 1.0 + 2.0 * k * v2 * chi.real + k**2 * (v2 + 1.0) ** 2 * abs(chi) ** 2
    antisymmetric = 4.0 * k * chi.real + 8.0 * k**2 * v2 * abs(chi) ** 2
    return np.asarray(3.0 / 8.0 * antisymmetric / symmetric)


def draw_counts(
    s2eff: Floats, events: int, energy_gev: float, generator: np.random.Generator
) -> Counts:
    """Draw ``events`` at each ``s2eff`` from the formula: histograms, (points, bins)."""
    probabilities = np.exp(log_density(s2eff, energy_gev))
    return generator.multinomial(events, probabilities / probabilities.sum(axis=1, keepdims=True))


def log_density(s2eff: Floats, energy_gev: float) -> Floats:
    """Return the log probability of each bin of cos(theta) at each ``s2eff``: (points, bins).

    The integral of (3/8) (1 + c^2) + A_FB c over each bin, exactly.
    """
    even = 3.0 / 8.0 * np.diff(EDGES + EDGES**3 / 3.0)
    odd = np.diff(EDGES**2 / 2.0)
    return np.asarray(np.log(even + find_asymmetry(s2eff, energy_gev)[:, None] * odd))
