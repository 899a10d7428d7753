"""PBS beyond the contract: both flavours' submit files, their states, and a head that was killed.

Against a stand-in: it knows the manual pages, not a real server.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hepflow.batch.hooks import Witness
from hepflow.model.events import Accepted, Lost, Rejected
from hepflow.model.task import Attempt, Resources, Shell, Task
from hepflow.sites.building import build_site
from hepflow.sites.reading import read_site
from hepflow_pbs import PBSExecutor
from hepflow_pbs.states import read_jobs
from tests.contract.conftest import pbs_site
from tests.contract.heads import Heads
from tests.contract.loop import run_all
from tests.services.pbs import PBSStandIn


@pytest.fixture
def bench(pbs_stand_in: PBSStandIn, tmp_path: Path) -> Iterator[Heads]:
    bench = Heads(tmp_path, PBSExecutor, pbs_site())
    yield bench
    bench.close()


@pytest.mark.parametrize("flavour", ["torque", "pbspro"])
def test_equal_tasks_are_one_array_of_either_flavour(
    bench: Heads, pbs_stand_in: PBSStandIn, flavour: str
) -> None:
    pbs_stand_in.be(flavour)
    before = pbs_stand_in.submitted()
    executor = bench.executor(pbs_site(flavour, pack=2))
    asked = Resources(memory_mib=100, gpus=1, walltime_s=60)
    attempts = bench.attempts(*[f"echo {n}; exit {n % 2}" for n in range(6)], resources=asked)
    run_all(executor, bench.loop, attempts)
    assert [bench.loop.outcome(a.id).exit_code for a in attempts] == [n % 2 for n in range(6)]
    assert pbs_stand_in.submitted() == before + 3
    handles = {event.handle for event in bench.loop.events if isinstance(event, Accepted)}
    assert len(handles) == 3
    assert all(handle.endswith("].pbs.example") for handle in handles)


def test_what_no_node_has_is_refused_for_good(bench: Heads) -> None:
    executor = bench.executor(pbs_site(cpus=0))
    (attempt,) = bench.attempts("true", resources=Resources(cpus=64))
    run_all(executor, bench.loop, [attempt])
    event = bench.loop.final[attempt.id]
    assert isinstance(event, Rejected)
    assert not event.transient
    assert "Torque refused a job of 64 cpus" in event.message
    assert "cannot locate feasible nodes" in event.message


def test_a_server_that_is_away_refuses_for_now_and_loses_nothing(
    bench: Heads, pbs_stand_in: PBSStandIn
) -> None:
    executor = bench.executor()
    (running,) = bench.attempts("sleep 2", name="running")
    executor.submit([running])
    bench.loop.until(lambda: running.id in bench.loop.started)
    pbs_stand_in.away()
    (late,) = bench.attempts("true", name="late")
    run_all(executor, bench.loop, [late])
    event = bench.loop.final[late.id]
    assert isinstance(event, Rejected)
    assert event.transient, event.message
    bench.loop.finish([running.id])
    assert bench.loop.outcome(running.id).succeeded


def test_a_task_whose_job_vanishes_is_lost(bench: Heads, pbs_stand_in: PBSStandIn) -> None:
    executor = bench.executor()
    (attempt,) = bench.attempts("sleep 60")
    executor.submit([attempt])
    bench.loop.until(lambda: attempt.id in bench.loop.started)
    pbs_stand_in.lose(bench.loop.started[attempt.id].where.split()[-1])
    bench.loop.finish([attempt.id])
    event = bench.loop.final[attempt.id]
    assert isinstance(event, Lost)
    assert event.message.startswith("its job ended as KILLED (exit status 265) on node1 job ")


@pytest.mark.parametrize("told", [True, False])
def test_a_later_head_finds_every_job_again_and_none_runs_twice(
    bench: Heads, pbs_stand_in: PBSStandIn, told: bool
) -> None:
    """Also where the earlier head was killed before it read what ``qsub`` had to say."""
    before = pbs_stand_in.submitted()
    traces = bench.folder / "traces"
    traces.mkdir()
    attempts = bench.attempts(*[f"sleep 0.{n}; echo >> {traces}/{n}" for n in range(8)])
    executor = bench.executor()
    executor.submit(attempts)
    bench.loop.until(lambda: bool(bench.loop.events))
    executor.close()
    if not told:
        (answer,) = (bench.folder / "executor" / "jobs").glob("*/answer")
        answer.write_text("")
    later = bench.executor()
    assert len(later.recover({a.id: "" for a in attempts})) == 8
    bench.loop.finish([a.id for a in attempts])
    assert all(bench.loop.outcome(a.id).succeeded for a in attempts)
    assert [path.read_text() for path in traces.iterdir()] == ["\n"] * 8
    assert pbs_stand_in.submitted() == before + 8


# --- submit files ---------------------------------------------------------------------------------


def test_the_site_of_blue_waters_is_spelt_as_its_users_did(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("extends: bluewaters\naccount: abcd\n")
    site = build_site(read_site(str(tmp_path / "mine.yaml")), settings=PBSExecutor.settings)
    text = PBSExecutor(tmp_path, site=site).sample(
        [
            Attempt("fit[0]#1", Task(Shell("true"), resources=Resources(cpus=8, walltime_s=3600))),
            Attempt("gan#1", Task(Shell("true"), resources=Resources(gpus=1, gpu_kind="k20x"))),
        ]
    )
    for line in (
        "#PBS -l nodes=1:ppn=32:xe",
        "#PBS -l nodes=1:ppn=16:xk",
        "#PBS -l walltime=01:01:00",
        "#PBS -l walltime=00:30:00",
        "#PBS -A abcd",
        "#PBS -q normal",
        "#PBS -l gres=shifter16",
    ):
        assert line in text.splitlines()
    assert "exec aprun -n 1 -N 1 -d 8 " in text


def test_pbs_pro_is_asked_in_chunks(tmp_path: Path) -> None:
    site = pbs_site("pbspro", constraint="model=rom", gpu_kinds={"a100": "a100"}, exclusive=True)
    asked = Resources(cpus=3.5, memory_mib=1500, gpus=2, gpu_kind="a100", walltime_s=30)
    made = PBSExecutor(tmp_path, site=site)
    lines = made.sample(
        [Attempt(f"fit[{n}]#1", Task(Shell("true"), resources=asked)) for n in range(3)]
    ).splitlines()
    assert "#PBS -l select=1:ncpus=4:mem=1500mb:ngpus=2:gpu_type=a100:model=rom" in lines
    assert "#PBS -l place=excl" in lines
    assert "#PBS -J 0-2" in lines
    assert lines[-1].endswith("/${PBS_ARRAY_INDEX}.json")


@pytest.mark.parametrize(
    ("flavour", "line"),
    [("torque", "#PBS -l mem=2048mb"), ("pbspro", "#PBS -l select=1:ncpus=1:mem=2048mb")],
)
def test_a_task_that_does_not_say_gets_the_memory_that_the_site_says(
    tmp_path: Path, flavour: str, line: str
) -> None:
    site = pbs_site(flavour, settings={"memory_mib": 2048})
    assert line in PBSExecutor(tmp_path, site=site).sample([Attempt("fit#1", Task(Shell("true")))])


def test_a_jobs_name_is_short_begins_with_a_letter_and_tells_the_step(tmp_path: Path) -> None:
    for step, name in {"simulate": "simul.TAG-1", "_x": "h_x.TAG-1", "3d": "h3d.TAG-1"}.items():
        made = PBSExecutor(tmp_path, site=pbs_site())
        lines = made.sample([Attempt(f"{step}[0]#1", Task(Shell("true")))]).splitlines()
        (line,) = [line for line in lines if line.startswith("#PBS -N ")]
        assert line.removeprefix("#PBS -N ").startswith(name[:5].rstrip("."))
        assert len(line.removeprefix("#PBS -N ")) <= 15


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"flavour": "slurm"}, "the setting 'flavour' takes torque or pbspro, gets 'slurm'"),
        ({"launcher": "aprun {nodes}"}, "the setting 'launcher' knows {cpus}"),
        ({"ppn": "many"}, "the setting 'ppn' takes a number"),
    ],
)
def test_a_wrong_setting_is_told(tmp_path: Path, settings: dict[str, object], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        PBSExecutor(tmp_path, site=replace(pbs_site(), settings=settings))


# --- reading --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "witness"),
    [
        ("job_state = Q", Witness("fit", "PENDING")),
        ("job_state = R\n    exec_host = n12/0+n12/1", Witness("fit", "RUNNING", "n12")),
        ("job_state = E", Witness("fit", "COMPLETING")),
        ("job_state = S", Witness("fit", "SUSPENDED")),
        ("job_state = H", Witness("fit", "HELD")),
        ("job_state = Q\n    comment = Can Never Run: Insufficient amount of resource: ncpus",
         Witness("fit", "PENDING", "", "Can Never Run")),
        ("job_state = C\n    exit_status = 0", Witness("fit", "COMPLETED", "", "exit status 0")),
        ("job_state = C\n    exit_status = 126", Witness("fit", "FAILED", "", "exit status 126")),
        ("job_state = C\n    exit_status = 271", Witness("fit", "CANCELLED", "", "exit status 271")),
        ("job_state = C\n    exit_status = 265", Witness("fit", "KILLED", "", "exit status 265")),
        ("job_state = C\n    exit_status = -10", Witness("fit", "OUT_OF_MEMORY", "", "exit status -10")),
        ("job_state = C\n    exit_status = -11", Witness("fit", "TIMEOUT", "", "exit status -11")),
        ("job_state = F\n    Exit_status = -29", Witness("fit", "TIMEOUT", "", "exit status -29")),
        ("job_state = X\n    Exit_status = -3", Witness("fit", "REQUEUED", "", "exit status -3")),
        ("job_state = C\n    exit_status = -1", Witness("fit", "KILLED", "", "exit status -1")),
    ],
)  # fmt: skip
def test_states_are_told_apart(fields: str, witness: Witness) -> None:
    text = f"Job Id: 12[3].server.example.org\n    Job_Name = fit\n    {fields}\n    Variable_List = A=1,\n\tB=2 = 3\n\n"
    assert dict(read_jobs(text + "Job Id: 13.x\n    mtime = 5\n")) == {
        "12[3].server.example.org": witness
    }
