"""The command line.  Heavy libraries are imported by the verb that needs them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from hepflow_madminer import __version__
from hepflow_verbs import Handler, Verbs, above_zero, parser_of, positive, run, verbs_of, whole

_HELP = """\
The steps of the MadMiner workflow, with a Gaussian latent model in place of MadGraph, Pythia and
Delphes: the exact likelihood ratio is known, and every trained network is held against it.
"""
_EXAMPLE = """\
a whole run:

  python -m hepflow_madminer configure --out config.json
  python -m hepflow_madminer generate config.json
  for job in job-*.json; do
    python -m hepflow_madminer shower $job --out showered.npz
    python -m hepflow_madminer detector showered.npz --out ${job%.json}.npz
  done
  python -m hepflow_madminer combine job-*.npz --out combined.npz
  python -m hepflow_madminer sample config.json combined.npz --methods alices --out data
  python -m hepflow_madminer train data alices --out model
  python -m hepflow_madminer evaluate model config.json combined.npz --out alices.npz
  python -m hepflow_madminer plot alices.npz --out all_methods.png

'train' and 'evaluate' need the library madminer, which brings torch.
Exit status: 0 done, 1 a file is missing or does not fit, 2 wrong usage.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status."""
    return run(_build_parser(), arguments, "hepflow_madminer", "madminer")


def _build_parser() -> argparse.ArgumentParser:
    parser = parser_of("hepflow_madminer", __version__, _HELP, _EXAMPLE)
    verbs = verbs_of(parser)
    _add_configure(verbs)
    _add_generate(verbs)
    _add_shower_and_detector(verbs)
    _add_combine(verbs)
    _add_sample(verbs)
    _add_train(verbs)
    _add_evaluate(verbs)
    _add_plot(verbs)
    return parser


def _add_verb(verbs: Verbs, name: str, text: str, handler: Handler) -> argparse.ArgumentParser:
    verb = verbs.add_parser(name, help=text[0].lower() + text[1:-1], description=text)
    verb.set_defaults(handler=handler)
    return verb


def _add_configure(verbs: Verbs) -> None:
    verb = _add_verb(verbs, "configure", "Choose parameters and benchmarks.", _configure)
    verb.add_argument("--parameters", type=int, choices=(1, 2), default=2, help="default: 2")
    verb.add_argument("--span", type=above_zero, default=4.0, help="region is ±SPAN (default: 4)")
    verb.add_argument("--benchmarks", type=positive, default=6, help="default: 6")
    verb.add_argument("--out", default="config.json", metavar="FILE", help="default: config.json")


def _add_generate(verbs: Verbs) -> None:
    verb = _add_verb(verbs, "generate", "Write a card for each job.", _generate)
    verb.add_argument("config", metavar="CONFIG", help="the file that 'configure' wrote")
    verb.add_argument("--jobs", type=positive, default=6, help="default: 6")
    verb.add_argument("--events", type=positive, default=10_000, help="a job (default: 10000)")
    verb.add_argument("--seed", type=whole, default=0, help="default: 0")
    verb.add_argument("--folder", default=".", help="where to (default: here)")


def _add_shower_and_detector(verbs: Verbs) -> None:
    verb = _add_verb(verbs, "shower", "Draw the latents of one job's events.", _shower)
    verb.add_argument("job", metavar="JOB", help="a card that 'generate' wrote")
    verb.add_argument("--out", default="showered.npz", metavar="FILE", help="default: showered.npz")
    verb = _add_verb(verbs, "detector", "Measure the events of one job.", _detect)
    verb.add_argument("events", metavar="EVENTS", help="the file that 'shower' wrote")
    verb.add_argument("--out", default="measured.npz", metavar="FILE", help="default: measured.npz")


def _add_combine(verbs: Verbs) -> None:
    verb = _add_verb(verbs, "combine", "Put the events of all jobs together.", _combine)
    verb.add_argument("events", nargs="+", metavar="EVENTS", help="files that 'detector' wrote")
    verb.add_argument("--out", default="combined.npz", metavar="FILE", help="default: combined.npz")


def _add_sample(verbs: Verbs) -> None:
    verb = _add_verb(verbs, "sample", "Draw training samples from weighted events.", _sample)
    _add_generated(verb)
    verb.add_argument(
        "--methods", nargs="+", choices=("alice", "alices", "sally"), required=True, help="which"
    )
    verb.add_argument("--thetas", type=positive, default=1000, help="numerators (default: 1000)")
    verb.add_argument("--samples", type=positive, default=100_000, help="default: 100000")
    verb.add_argument("--seed", type=whole, default=0, help="default: 0")
    verb.add_argument("--out", default="data", metavar="FOLDER", help="default: data")


def _add_train(verbs: Verbs) -> None:
    verb = _add_verb(verbs, "train", "Train the network of one method.", _train)
    verb.add_argument("samples", metavar="SAMPLES", help="the folder that 'sample' wrote")
    verb.add_argument(
        "method", metavar="METHOD", choices=("alice", "alices", "sally"), help="which"
    )
    verb.add_argument(
        "--hidden",
        type=_units,
        default=(100, 100, 100),
        metavar="UNITS",
        help="of each hidden layer (default: 100-100-100)",
    )
    verb.add_argument("--epochs", type=positive, default=20, help="default: 20")
    verb.add_argument("--batch", type=positive, default=256, help="default: 256")
    verb.add_argument(
        "--learning-rate", type=above_zero, default=0.001, help="the first (default: 0.001)"
    )
    verb.add_argument(
        "--alpha", type=above_zero, default=1.0, help="weight of the score, ALICES (default: 1)"
    )
    verb.add_argument("--seed", type=whole, default=0, help="default: 0")
    verb.add_argument("--out", default="model", metavar="FOLDER", help="default: model")


def _add_evaluate(verbs: Verbs) -> None:
    verb = _add_verb(verbs, "evaluate", "Hold a network against the exact ratio.", _evaluate)
    verb.add_argument("model", metavar="MODEL", help="the folder that 'train' wrote")
    _add_generated(verb)
    verb.add_argument("--truth", nargs="+", type=float, metavar="THETA", help="default: 0 for each")
    verb.add_argument("--grid", type=positive, default=25, help="points a side (default: 25)")
    verb.add_argument("--observed", type=positive, default=10, help="events (default: 10)")
    verb.add_argument("--tested", type=positive, default=1000, help="events (default: 1000)")
    verb.add_argument("--seed", type=whole, default=0, help="default: 0")
    verb.add_argument("--metrics", metavar="FILE", help="distance from the exact ratio, as JSON")
    verb.add_argument("--out", default="result.npz", metavar="FILE", help="default: result.npz")


def _add_plot(verbs: Verbs) -> None:
    verb = _add_verb(verbs, "plot", "Draw the results of all methods.", _plot)
    verb.add_argument("results", nargs="+", metavar="RESULT", help="files that 'evaluate' wrote")
    verb.add_argument("--out", default="all_methods.png", metavar="FILE", help="a PNG file")


def _add_generated(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("config", metavar="CONFIG", help="the file that 'configure' wrote")
    verb.add_argument("events", metavar="EVENTS", help="the file that 'combine' wrote")


def _units(text: str) -> tuple[int, ...]:
    return tuple(positive(word) for word in text.split("-"))


def _configure(options: argparse.Namespace) -> None:
    from hepflow_madminer.generation import configure

    configure(options.parameters, options.span, options.benchmarks, options.out)


def _generate(options: argparse.Namespace) -> None:
    from hepflow_madminer.generation import generate, read_setup

    setup = read_setup(options.config)
    generate(setup, options.jobs, options.events, options.seed, options.folder)


def _shower(options: argparse.Namespace) -> None:
    from hepflow_madminer.generation import shower

    shower(options.job, options.out)


def _detect(options: argparse.Namespace) -> None:
    from hepflow_madminer.generation import detect

    detect(options.events, options.out)


def _combine(options: argparse.Namespace) -> None:
    from hepflow_madminer.generation import combine

    print(f"{options.out}: {combine(options.events, options.out)} events")


def _sample(options: argparse.Namespace) -> None:
    from hepflow_madminer.generation import read_events, read_setup
    from hepflow_madminer.sampling import sample

    sample(
        read_setup(options.config),
        read_events(options.events),
        options.methods,
        thetas=options.thetas,
        samples=options.samples,
        seed=options.seed,
        folder=options.out,
    )


def _train(options: argparse.Namespace) -> None:
    from hepflow_madminer.estimators import Plan, train

    plan = Plan(
        hidden=options.hidden,
        epochs=options.epochs,
        batch=options.batch,
        learning_rate=options.learning_rate,
        alpha=options.alpha,
        seed=options.seed,
    )
    training, validation = train(options.samples, options.method, plan, options.out)
    print(f"{options.out}: {options.method}, loss {training:.5f}, validation {validation:.5f}")


def _evaluate(options: argparse.Namespace) -> None:
    from hepflow_madminer.estimators import read_estimator
    from hepflow_madminer.evaluation import check_truth, evaluate, write_metrics, write_result
    from hepflow_madminer.generation import read_events, read_setup

    setup = read_setup(options.config)
    truth = tuple(options.truth or (0.0,) * setup.parameters)
    check_truth(truth, setup)
    result, metrics = evaluate(
        read_estimator(options.model),
        setup,
        read_events(options.events),
        truth=truth,
        grid=options.grid,
        observed=options.observed,
        tested=options.tested,
        seed=options.seed,
    )
    write_result(options.out, result)
    if options.metrics is not None:
        write_metrics(options.metrics, result.method, metrics)
    print(f"{result.method}: " + ", ".join(f"{name} {of:.4f}" for name, of in metrics.items()))


def _plot(options: argparse.Namespace) -> None:
    from hepflow_madminer.figure import draw_methods

    draw_methods(options.results, options.out)
