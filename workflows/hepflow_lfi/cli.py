"""The command line.  Heavy libraries are imported by the verb that needs them."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence

from hepflow_lfi import __version__
from hepflow_lfi.options import (
    CalibrateOptions,
    CheckOptions,
    JudgeOptions,
    SampleOptions,
    TrainOptions,
)
from hepflow_verbs import (
    InputError,
    UsageError,
    Verbs,
    above_zero,
    parser_of,
    positive,
    run,
    verbs_of,
    whole,
)

_STARTED = time.perf_counter()

_HELP = """\
Likelihood-free inference against published references: draw simulations, train a neural
posterior, and score it with the classifier two-sample test (C2ST).
"""
_EXAMPLE = """\
a whole run, in three steps (10,000 simulations, a few minutes on two cores):

  python -m hepflow_lfi simulate two_moons --draws 10000 --seed 0 --out sample.npz
  python -m hepflow_lfi train two_moons sample.npz --out posterior.pt
  python -m hepflow_lfi judge posterior.pt two_moons.npz --metrics metrics.json --plot posterior.png

A C2ST of 0.5 says that the posterior cannot be told from the reference, 1 that it always can.
'simulate' needs numpy; 'train' and 'judge' need torch, sbi, scipy and matplotlib.
Exit status: 0 done, 1 a file is missing or does not fit, 2 wrong usage.
"""
_JUDGE_NOTE = """\
The observation file is a numpy archive with 'observations' (k x data) and 'reference_posterior'
(k x n x parameters).  The published protocol is 10,000 samples a side over ten observations; with
fewer samples scores come out lower, and the metrics file says that they are not comparable.
"""

_METHOD_HELP = "NPE, NRE, NLE or FMPE (default: NPE)"
_OBSERVATIONS_HELP = "numpy archive with 'observations', or a CSV table without a head"
_PROBLEM_HELP = "name of a task (see 'tasks'), or a YAML file with the prior under 'parameters'"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status."""
    return run(_build_parser(), arguments, "hepflow_lfi", "lfi")


def _build_parser() -> argparse.ArgumentParser:
    parser = parser_of("hepflow_lfi", __version__, _HELP, _EXAMPLE)
    verbs = verbs_of(parser)
    _add_tasks(verbs)
    _add_simulate(verbs)
    _add_train(verbs)
    _add_sample(verbs)
    _add_propose(verbs)
    _add_collect(verbs)
    _add_calibrate(verbs)
    _add_check(verbs)
    _add_judge(verbs)
    _add_compare(verbs)
    return parser


def _add_tasks(verbs: Verbs) -> None:
    verb = verbs.add_parser("tasks", help="list the tasks", description="List the tasks.")
    verb.set_defaults(handler=_list_tasks)


def _add_simulate(verbs: Verbs) -> None:
    text = "Draw parameters from the prior, or take those of a table; simulate each, write both."
    verb = verbs.add_parser("simulate", help="draw one shard of simulations", description=text)
    verb.add_argument("task", metavar="TASK", help="name of the task (see 'tasks')")
    verb.add_argument("--draws", type=positive, default=10_000, help="default: 10000")
    verb.add_argument(
        "--parameters",
        metavar="FILE",
        help="simulate the lines of this table (CSV), as 'sample' wrote it",
    )
    verb.add_argument("--seed", type=whole, default=0, help="number of the shard (default: 0)")
    verb.add_argument("--out", default="sample.npz", metavar="FILE", help="default: sample.npz")
    verb.set_defaults(handler=_simulate)


def _add_train(verbs: Verbs) -> None:
    text = "Train a neural estimate of the posterior on one or more shards of simulations."
    verb = verbs.add_parser("train", help="train a posterior on shards", description=text)
    verb.add_argument("problem", metavar="PROBLEM", help=_PROBLEM_HELP)
    verb.add_argument("samples", nargs="+", metavar="SHARD", help="files that 'simulate' wrote")
    verb.add_argument("--method", default="NPE", metavar="NAME", help=_METHOD_HELP)
    verb.add_argument("--out", default="posterior.pt", metavar="FILE", help="default: posterior.pt")
    verb.add_argument("--metrics", metavar="FILE", help="held-out loss and times, as JSON")
    verb.add_argument("--seed", type=whole, default=0, help="of weights and order (default: 0)")
    verb.add_argument("--epochs", type=positive, help="passes over the data (default: by method)")
    verb.add_argument("--batch", type=positive, help="simulations a step (default: by method)")
    verb.add_argument("--learning-rate", type=above_zero, help="its peak (default: by method)")
    verb.add_argument(
        "--network",
        choices=("nsf", "maf", "resnet", "mlp"),
        help="neural spline or autoregressive flow, classifier, vector field (default: by method)",
    )
    verb.add_argument("--hidden", type=positive, help="units a hidden layer (default: by method)")
    verb.add_argument("--layers", type=positive, help="transforms of a flow, blocks of a resnet")
    verb.add_argument(
        "--jobs",
        type=positive,
        default=1,
        help="threads (default: 1; for nets so small more only cost)",
    )
    verb.set_defaults(handler=_train)


def _add_sample(verbs: Verbs) -> None:
    text = "Draw parameters from a posterior, given one observation; write them as a table (CSV)."
    verb = verbs.add_parser("sample", help="draw from a posterior", description=text)
    verb.add_argument("posterior", metavar="POSTERIOR", help="the file that 'train' wrote")
    verb.add_argument("observations", metavar="OBSERVATIONS", help=_OBSERVATIONS_HELP)
    verb.add_argument("--observation", type=positive, default=1, help="which one (default: 1)")
    verb.add_argument("--draws", type=positive, default=10_000, help="default: 10000")
    verb.add_argument("--seed", type=whole, default=0, help="of the draws (default: 0)")
    verb.add_argument("--out", default="draws.csv", metavar="FILE", help="default: draws.csv")
    verb.add_argument("--plot", metavar="FILE", help="figure to draw, as PNG (default: none)")
    verb.set_defaults(handler=_sample)


def _add_propose(verbs: Verbs) -> None:
    text = (
        "Draw the parameters to simulate in the next round: from the prior of a problem, or from a "
        "posterior given one observation."
    )
    verb = verbs.add_parser("propose", help="choose the next round's parameters", description=text)
    verb.add_argument("problem", metavar="PROBLEM", help=_PROBLEM_HELP)
    verb.add_argument("posterior", nargs="?", metavar="POSTERIOR", help="default: the prior")
    verb.add_argument("--observations", metavar="FILE", help=_OBSERVATIONS_HELP)
    verb.add_argument("--observation", type=positive, default=1, help="which one (default: 1)")
    verb.add_argument("--draws", type=positive, default=1000, help="default: 1000")
    verb.add_argument("--seed", type=whole, default=0, help="of the draws (default: 0)")
    verb.add_argument(
        "--previous", metavar="FILE", help="the round before's, to measure the change"
    )
    verb.add_argument("--metrics", metavar="FILE", help="round and change, as JSON")
    verb.add_argument("--out", default="proposal.npz", metavar="FILE", help="default: proposal.npz")
    verb.add_argument(
        "--tables",
        metavar="FOLDER",
        help="write them as tables (CSV) too, for a simulator of one's own",
    )
    verb.add_argument("--parts", type=positive, default=1, help="tables to write (default: 1)")
    verb.set_defaults(handler=_propose)


def _add_collect(verbs: Verbs) -> None:
    text = "Put the data that a simulator of one's own wrote beside the parameters they are for."
    verb = verbs.add_parser("collect", help="make simulations of tables", description=text)
    verb.add_argument("problem", metavar="PROBLEM", help=_PROBLEM_HELP)
    verb.add_argument("proposal", metavar="PROPOSAL", help="the file that 'propose' wrote")
    verb.add_argument(
        "data",
        nargs="+",
        metavar="DATA",
        help="a file for each table that 'propose' wrote, in order: a table, or an archive with 'x'",
    )
    verb.add_argument("--out", default="sample.npz", metavar="FILE", help="default: sample.npz")
    verb.add_argument("--hold-out", type=positive, metavar="N", help="keep the last N apart")
    verb.add_argument(
        "--held-out", default="held_out.npz", metavar="FILE", help="there (default: held_out.npz)"
    )
    verb.set_defaults(handler=_collect)


def _add_calibrate(verbs: Verbs) -> None:
    text = "Test a posterior on fresh simulations: ranks of the truth (SBC), coverage (TARP)."
    verb = verbs.add_parser("calibrate", help="ranks and expected coverage", description=text)
    verb.add_argument("posterior", metavar="POSTERIOR", help="the file that 'train' wrote")
    verb.add_argument(
        "simulations", nargs="+", metavar="SHARD", help="simulations it was not trained on"
    )
    verb.add_argument("--draws", type=positive, default=99, help="for each (default: 99)")
    verb.add_argument("--most", type=positive, help="simulations to use (default: all)")
    verb.add_argument("--seed", type=whole, default=0, help="of the draws (default: 0)")
    verb.add_argument("--metrics", default="calibration.json", metavar="FILE", help="as JSON")
    verb.add_argument("--plot", metavar="FILE", help="figure to draw, as PNG (default: none)")
    verb.set_defaults(handler=_calibrate)


def _add_check(verbs: Verbs) -> None:
    text = "Hold an observation against data simulated from draws of its posterior."
    verb = verbs.add_parser("check", help="posterior-predictive check", description=text)
    verb.add_argument("observations", metavar="OBSERVATIONS", help=_OBSERVATIONS_HELP)
    verb.add_argument(
        "predicted", nargs="+", metavar="DATA", help="tables, or archives with 'x', simulated"
    )
    verb.add_argument("--observation", type=positive, default=1, help="which one (default: 1)")
    verb.add_argument("--metrics", default="check.json", metavar="FILE", help="as JSON")
    verb.add_argument("--plot", metavar="FILE", help="figure to draw, as PNG (default: none)")
    verb.set_defaults(handler=_check)


def _add_judge(verbs: Verbs) -> None:
    text = "Score a posterior against reference posteriors, and draw both."
    verb = verbs.add_parser(
        "judge",
        help="score a posterior against references",
        description=text,
        epilog=_JUDGE_NOTE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.add_argument("posterior", metavar="POSTERIOR", help="the file that 'train' wrote")
    verb.add_argument("reference", metavar="OBSERVATIONS", help="archive with the references")
    verb.add_argument("--metrics", default="metrics.json", metavar="FILE", help="scores, as JSON")
    verb.add_argument("--plot", metavar="FILE", help="figure to draw, as PNG (default: none)")
    verb.add_argument("--samples", type=positive, default=10_000, help="a side (default: 10000)")
    verb.add_argument(
        "--observations", metavar="LIST", help="such as 1,2,5-7, counted from 1 (default: all)"
    )
    verb.add_argument("--jobs", type=positive, help="processes (default: CPUs granted to us)")
    verb.add_argument(
        "--device",
        choices=("auto", "cpu", "cuda"),
        default="auto",
        help="where classifiers are trained (default: an accelerator if there is one)",
    )
    verb.add_argument("--seed", type=whole, default=0, help="of the samples (default: 0)")
    verb.set_defaults(handler=_judge)


def _add_compare(verbs: Verbs) -> None:
    text = "Put the metrics of several judged posteriors beside the published scores."
    verb = verbs.add_parser("compare", help="table and figure of many scores", description=text)
    verb.add_argument("metrics", nargs="+", metavar="METRICS", help="files that 'judge' wrote")
    verb.add_argument("--csv", default="c2st.csv", metavar="FILE", help="default: c2st.csv")
    verb.add_argument("--markdown", default="c2st.md", metavar="FILE", help="default: c2st.md")
    verb.add_argument("--plot", metavar="FILE", help="figure to draw, as PNG (default: none)")
    verb.set_defaults(handler=_compare)


def _say(line: str) -> None:
    print(line, flush=True)


def _list_tasks(_: argparse.Namespace) -> None:
    from hepflow_lfi.tasks import TASKS

    print(f"{'task':18}parameters  data  exact posterior  what")
    for task in TASKS.values():
        exact = "yes" if task.exact_posterior else "no"
        print(f"{task.name:18}{task.prior.dim:<12}{task.data_dim:<6}{exact:<17}{task.doc}")


def _simulate(options: argparse.Namespace) -> None:
    from hepflow_lfi.simulate import draw, simulate_table

    if options.parameters is not None:
        count = simulate_table(options.task, options.parameters, options.seed, options.out)
        _say(f"{options.out}: {count} simulations of {options.task} from {options.parameters}")
        return
    draw(options.task, options.draws, options.seed, options.out)
    _say(f"{options.out}: {options.draws} simulations of {options.task}, seed {options.seed}")


def _train(options: argparse.Namespace) -> None:
    from hepflow_lfi.archives import read_simulations
    from hepflow_lfi.tasks import find_problem

    problem = find_problem(options.problem)
    data = read_simulations(options.samples, problem)
    _say(f"{len(data.theta)} simulations of {problem.name} in {len(options.samples)} files")

    from hepflow_lfi import commands
    from hepflow_lfi.methods import find_method

    commands.train(
        find_method(options.method),
        problem,
        data,
        TrainOptions(
            out=options.out,
            metrics=options.metrics,
            seed=options.seed,
            jobs=options.jobs,
            epochs=options.epochs,
            batch=options.batch,
            learning_rate=options.learning_rate,
            network=options.network,
            hidden=options.hidden,
            layers=options.layers,
        ),
        _say,
    )


def _sample(options: argparse.Namespace) -> None:
    from hepflow_lfi import commands

    commands.sample(options.posterior, _read_sample_options(options), options.plot, _say)


def _propose(options: argparse.Namespace) -> None:
    from hepflow_lfi.tasks import find_problem

    problem = find_problem(options.problem)
    if options.posterior is not None and options.observations is None:
        raise UsageError(
            "--observations", "is missing", why="a posterior needs data", fix="name the file"
        )
    if options.posterior is None:
        from hepflow_lfi.sharing import propose_from_prior

        propose_from_prior(problem, options.draws, options.seed, options.out)
        _say(f"{options.out}: {options.draws} parameters for round 1, from the prior")
    else:
        from hepflow_lfi import commands

        commands.propose(
            options.posterior,
            options.previous,
            options.metrics,
            _read_sample_options(options),
            _say,
        )
    if options.tables is not None:
        from hepflow_lfi.archives import read_proposal
        from hepflow_lfi.sharing import share_out

        proposal = read_proposal(options.out, problem)
        tables = share_out(proposal, problem, options.parts, options.tables)
        _say(f"{options.tables}: {len(tables)} tables of parameters")


def _read_sample_options(options: argparse.Namespace) -> SampleOptions:
    return SampleOptions(
        observations=options.observations,
        observation=options.observation,
        draws=options.draws,
        seed=options.seed,
        out=options.out,
    )


def _collect(options: argparse.Namespace) -> None:
    from hepflow_lfi.archives import read_proposal, write_simulations
    from hepflow_lfi.sharing import hold_out, join_data
    from hepflow_lfi.tasks import find_problem

    problem = find_problem(options.problem)
    data = join_data(read_proposal(options.proposal, problem), options.data)
    if options.hold_out is not None:
        data, apart = hold_out(data, options.hold_out)
        write_simulations(options.held_out, problem, 1, apart.theta, apart.x, apart.rounds)
        _say(f"{options.held_out}: {len(apart.theta)} simulations, held out")
    write_simulations(options.out, problem, 0, data.theta, data.x, data.rounds)
    _say(f"{options.out}: {len(data.theta)} simulations of {problem.name}, {data.x.shape[1]} data")


def _calibrate(options: argparse.Namespace) -> None:
    from hepflow_lfi import calibrating

    calibrating.calibrate(
        CalibrateOptions(
            posterior=options.posterior,
            simulations=tuple(options.simulations),
            metrics=options.metrics,
            plot=options.plot,
            draws=options.draws,
            most=options.most,
            seed=options.seed,
        ),
        _say,
    )


def _check(options: argparse.Namespace) -> None:
    from hepflow_lfi import checking

    checking.check(
        CheckOptions(
            observations=options.observations,
            predicted=tuple(options.predicted),
            observation=options.observation,
            metrics=options.metrics,
            plot=options.plot,
        ),
        _say,
    )


def _judge(options: argparse.Namespace) -> None:
    from hepflow_lfi.cpus import count_cpus

    jobs = options.jobs or count_cpus()
    for path in (options.posterior, options.reference):
        if not os.path.isfile(path):
            raise InputError(path, "no such file", fix="check the path")

    from hepflow_lfi import commands

    commands.judge(
        JudgeOptions(
            posterior=options.posterior,
            reference=options.reference,
            metrics=options.metrics,
            plot=options.plot,
            samples=options.samples,
            observations=options.observations,
            jobs=jobs,
            device=options.device,
            seed=options.seed,
            started=_STARTED,
        ),
        _say,
    )


def _compare(options: argparse.Namespace) -> None:
    from hepflow_lfi.comparison import gather_rows, read_cells, write_table

    rows = gather_rows(read_cells(options.metrics))
    write_table(rows, options.csv, options.markdown)
    if options.plot is not None:
        from hepflow_lfi.comparison_figure import draw_comparison

        draw_comparison(options.plot, rows)
    with open(options.markdown, encoding="utf-8") as file:
        _say(file.read())
