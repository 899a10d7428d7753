"""The command line. Pythia, torch and matplotlib are imported by the verb that needs them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np

from hepflow_verbs import InputError, Verbs, parser_of, run, verbs_of
from hepflow_weak import __version__, tree
from hepflow_weak.measuring import find_posterior, make_grid
from hepflow_weak.ratio import STEPS, Ratio, read_ratio, train_ratio, write_ratio
from hepflow_weak.report import (
    Measurement,
    describe_coverage,
    describe_measurement,
    draw_figure,
    write_metrics,
)
from hepflow_weak.samples import Floats, Sample, read_samples

_EXAMPLE = """\
a whole measurement, in five commands (a minute or two):

  python -m hepflow_weak generate --points 200 --events 2000 --first-seed 1 --out train.npz
  python -m hepflow_weak generate --points 100 --events 2000 --first-seed 1001 --out trial.npz
  python -m hepflow_weak generate --points 1 --events 200000 --first-seed 2001 \\
      --low 0.2312 --high 0.2312 --out seen.npz
  python -m hepflow_weak train train.npz --out ratio.npz
  python -m hepflow_weak measure ratio.npz --observed seen.npz --trials trial.npz \\
      --metrics metrics.json --plot figure.png

Exit status: 0 done, 1 a file is missing or does not fit, 2 wrong usage.
"""

REHEARSAL_SEED = 3_000_001


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status."""
    return run(_build_parser(), arguments, "hepflow_weak", "weak")


def _build_parser() -> argparse.ArgumentParser:
    about = "Measure the weak mixing angle from e+e- -> mu+mu- by simulation alone."
    parser = parser_of("hepflow_weak", __version__, about, _EXAMPLE)
    verbs = verbs_of(parser)
    _add_generate(verbs)
    _add_train(verbs)
    _add_measure(verbs)
    return parser


def _add_generate(verbs: Verbs) -> None:
    verb = verbs.add_parser("generate", help="generate events with Pythia 8")
    verb.add_argument("--points", type=int, required=True, help="values of s2eff")
    verb.add_argument("--events", type=int, required=True, help="events at each")
    verb.add_argument("--first-seed", type=int, required=True, help="point i has this seed + i")
    verb.add_argument("--low", type=float, default=0.20, help="of the flat prior (default: 0.20)")
    verb.add_argument("--high", type=float, default=0.25, help="of the flat prior (default: 0.25)")
    verb.add_argument("--energy", type=float, default=tree.Z_MASS_GEV, help="in GeV (default: MZ)")
    verb.add_argument("--out", default="sample.npz", metavar="FILE", help="default: sample.npz")
    verb.set_defaults(handler=_generate)


def _add_train(verbs: Verbs) -> None:
    verb = verbs.add_parser("train", help="train the ratio on generated events")
    verb.add_argument("samples", nargs="+", metavar="SAMPLE", help="files of 'generate'")
    verb.add_argument("--members", type=int, default=10, help="networks (default: 10)")
    verb.add_argument("--steps", type=int, default=STEPS, help=f"of each (default: {STEPS})")
    verb.add_argument("--seed", type=int, default=0, help="default: 0")
    verb.add_argument("--out", default="ratio.npz", metavar="FILE", help="default: ratio.npz")
    verb.set_defaults(handler=_train)


def _add_measure(verbs: Verbs) -> None:
    verb = verbs.add_parser("measure", help="measure, and try the measurement many times")
    verb.add_argument("ratio", metavar="RATIO", help="file of 'train'")
    verb.add_argument("--observed", nargs="+", required=True, metavar="SAMPLE", help="one value")
    verb.add_argument(
        "--trials",
        nargs="+",
        required=True,
        metavar="SAMPLE",
        help="a point is a pseudo-experiment",
    )
    verb.add_argument("--metrics", default="metrics.json", metavar="FILE")
    verb.add_argument("--plot", metavar="FILE", help="figure to draw, as PNG (default: none)")
    verb.set_defaults(handler=_measure)


def _generate(options: argparse.Namespace) -> None:
    from hepflow_weak.generate import draw

    draw(
        options.points,
        options.events,
        options.first_seed,
        options.low,
        options.high,
        options.energy,
        options.out,
    )
    print(f"{options.out}: {options.points} points with {options.events} events each")


def _train(options: argparse.Namespace) -> None:
    sample = read_samples(options.samples)
    print(f"{sample.events} events at {len(sample.s2eff)} points", flush=True)
    ratio = train_ratio(
        sample, options.members, options.seed, options.steps, lambda line: print(line, flush=True)
    )
    write_ratio(options.out, ratio)


def _measure(options: argparse.Namespace) -> None:
    ratio = read_ratio(options.ratio)
    observed, trials = read_samples(options.observed), read_samples(options.trials)
    generated = _check(ratio, observed, trials, options)
    grid = make_grid(ratio.low, ratio.high)
    neural = _evaluate(grid, ratio.log_density(grid), observed, trials)
    formula = _evaluate(grid, tree.log_density(grid, ratio.energy_gev)[None], observed, trials)
    metrics = describe_measurement(neural, generated)
    write_metrics(
        options.metrics,
        {
            **metrics,
            "generated": generated,
            "energy_gev": ratio.energy_gev,
            "events": {
                "training": ratio.training_events,
                "observed": observed.events,
                "each_pseudo_experiment": trials.events // len(trials.s2eff),
            },
            "at_full_size": _rehearse(ratio, grid, observed.events, len(trials.s2eff)),
            "tree_level": describe_measurement(formula, generated),
        },
    )
    if options.plot is not None:
        draw_figure(options.plot, neural, formula, generated)
    print(f"s2eff = {metrics['s2eff']} +- {metrics['s2eff_sd']}, generated {generated}")


def _check(ratio: Ratio, observed: Sample, trials: Sample, options: argparse.Namespace) -> float:
    """Return the one value the observed events were generated at."""
    if observed.low != observed.high:
        raise InputError(
            options.observed[0], "holds events of several values of s2eff", fix="use --low = --high"
        )
    for sample, path in ((observed, options.observed[0]), (trials, options.trials[0])):
        if sample.energy_gev != ratio.energy_gev:
            raise InputError(
                path,
                f"was made at {sample.energy_gev} GeV, the ratio at {ratio.energy_gev} GeV",
                fix="generate all at one energy",
            )
        if not ratio.low <= sample.low <= sample.high <= ratio.high:
            raise InputError(
                path,
                f"has points outside {ratio.low:g} to {ratio.high:g}, where the ratio was trained",
                fix="train over a range that holds them",
            )
    return float(observed.s2eff[0])


def _evaluate(grid: Floats, log_density: Floats, observed: Sample, trials: Sample) -> Measurement:
    together = observed.counts.sum(axis=0, keepdims=True)
    return Measurement(
        find_posterior(together, grid, log_density),
        find_posterior(trials.counts, grid, log_density),
        trials.s2eff,
    )


def _rehearse(ratio: Ratio, grid: Floats, events: int, experiments: int) -> dict[str, object]:
    """Return the coverage for experiments as large as the measurement, where training errs most.

    So many events come from the formula: the generator would take hours.
    """
    rng = np.random.default_rng(REHEARSAL_SEED)
    truths = rng.uniform(ratio.low, ratio.high, experiments)
    counts = tree.draw_counts(truths, events, ratio.energy_gev, rng)
    return describe_coverage(find_posterior(counts, grid, ratio.log_density(grid)), truths)
