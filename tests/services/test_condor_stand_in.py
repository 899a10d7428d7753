"""The stand-in for HTCondor does what the tests of that executor rely on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .condor import CondorStandIn
from .daemons import Unavailable, wait_until
from .fixtures import wanted

htcondor2 = wanted("htcondor2")
Kind = htcondor2.JobEventType


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def script(there: Path, text: str) -> None:
    (there / "job.sh").write_text(f"#!/bin/sh\n{text}\n")


def submit(pool: CondorStandIn, more: str = "", queue: str = "") -> int:
    text = f"executable = job.sh\nlog = job.log\noutput = job.out\n{more}\nqueue {queue}\n"
    return int(pool.call("condor_submit", "-terse", stdin=text).split(".")[0])


def events(there: Path, *wanted: Any, count: int = 1) -> list[Any]:
    """The events so far, once there are so many of the wanted kinds."""

    def read() -> list[Any]:
        return list(htcondor2.JobEventLog("job.log").events(stop_after=0))

    wait_until(lambda: sum(event.type in wanted for event in read()) >= count, f"event {wanted}")
    return read()


def test_a_job_runs_with_its_files(condor_stand_in: CondorStandIn, there: Path) -> None:
    script(there, 'cat in.txt; echo "[$1] [$2] [$A]"; echo made >made.txt; exit 3')
    (there / "in.txt").write_text("brought\n")
    submit(
        condor_stand_in,
        "transfer_input_files = in.txt\n"
        "arguments = \"'two words' it''s\"\n"
        "environment = \"A='x y'\"",
    )
    last = events(there, Kind.JOB_TERMINATED)[-1]
    assert (last["TerminatedNormally"], last["ReturnValue"]) == (True, 3)
    assert (there / "job.out").read_text() == "brought\n[two words] [its] [x y]\n"
    assert (there / "made.txt").read_text() == "made\n"
    assert not (there / "condor_exec.exe").exists()


def test_a_cluster_is_materialized_late(condor_stand_in: CondorStandIn, there: Path) -> None:
    script(there, "sleep 0.2; echo $1 >made-$1")
    submit(condor_stand_in, "max_idle = 2\narguments = $(name)", "name in (a b c d e f g h i)")
    wait_until((there / "job.log").exists, "log")
    kinds = [event.type for event in events(there, Kind.CLUSTER_REMOVE)]
    assert kinds[:3] == [Kind.CLUSTER_SUBMIT, Kind.SUBMIT, Kind.SUBMIT]
    assert kinds.count(Kind.JOB_TERMINATED) == 9
    assert kinds.index(Kind.EXECUTE) < len(kinds) - 1 - kinds[::-1].index(Kind.SUBMIT)
    assert sorted(path.name for path in there.glob("made-*")) == [f"made-{x}" for x in "abcdefghi"]


def test_a_missing_input_holds_the_job(condor_stand_in: CondorStandIn, there: Path) -> None:
    script(there, "cat late.txt")
    cluster = submit(condor_stand_in, "transfer_input_files = late.txt")
    held = events(there, Kind.JOB_HELD)[-1]
    assert (held["HoldReasonCode"], held["HoldReasonSubCode"]) == (13, 2)
    (there / "late.txt").write_text("now\n")
    condor_stand_in.call("condor_release", str(cluster))
    kinds = [event.type for event in events(there, Kind.JOB_TERMINATED)]
    assert Kind.JOB_RELEASED in kinds
    assert (there / "job.out").read_text() == "now\n"


def test_a_missing_output_holds_the_job(condor_stand_in: CondorStandIn, there: Path) -> None:
    script(there, "true")
    submit(condor_stand_in, "transfer_output_files = nowhere.txt")
    assert events(there, Kind.JOB_HELD)[-1]["HoldReasonCode"] == 12


def test_too_much_memory_holds_the_job(condor_stand_in: CondorStandIn, there: Path) -> None:
    script(there, "exec python3 -c 'import time; kept = bytearray(300 << 20); time.sleep(30)'")
    submit(condor_stand_in, "request_memory = 100M\ngetenv = PATH")
    seen = events(there, Kind.JOB_HELD)
    assert seen[-1]["HoldReasonCode"] == 34
    assert Kind.IMAGE_SIZE in [event.type for event in seen]


def test_an_evicted_job_goes_on_from_what_it_saved(
    condor_stand_in: CondorStandIn, there: Path
) -> None:
    script(
        there,
        "trap 'echo saved >state; exit 1' TERM\n"
        "if [ -e state ]; then cat state; exit 0; fi\nsleep 30 & wait",
    )
    cluster = submit(condor_stand_in, "when_to_transfer_output = ON_EXIT_OR_EVICT")
    events(there, Kind.EXECUTE)
    condor_stand_in.call("condor_vacate_job", str(cluster))
    kinds = [event.type for event in events(there, Kind.JOB_TERMINATED)]
    assert kinds.index(Kind.JOB_EVICTED) > kinds.index(Kind.EXECUTE)
    assert (there / "job.out").read_text() == "saved\n"


def test_jobs_are_removed_waiting_and_running(condor_stand_in: CondorStandIn, there: Path) -> None:
    script(there, "sleep 60")
    cluster = submit(condor_stand_in, "request_cpus = 4", "2")
    events(there, Kind.EXECUTE)
    condor_stand_in.call("condor_rm", f"{cluster}")
    ended = events(there, Kind.JOB_ABORTED, count=2)
    assert {event.proc for event in ended if event.type is Kind.JOB_ABORTED} == {0, 1}
    assert condor_stand_in.call("condor_q", str(cluster), "-json") == ""
    past = json.loads(condor_stand_in.call("condor_history", str(cluster), "-json"))
    assert [ad["JobStatus"] for ad in past] == [3, 3]


def test_a_gpu_is_given_and_what_never_fits_waits(
    condor_stand_in: CondorStandIn, there: Path
) -> None:
    script(there, "echo $CUDA_VISIBLE_DEVICES")
    waits = submit(condor_stand_in, 'requirements = Arch == "arm64"')
    submit(condor_stand_in, "request_gpus = 1")
    events(there, Kind.JOB_TERMINATED)
    assert (there / "job.out").read_text().startswith("GPU-")
    assert condor_stand_in.call("condor_q", str(waits), "-af", "JobStatus") == "1\n"


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("request_memroy = 100", "Is it a typo"),
        ("universe = nonsense", "don't know about the 'nonsense' universe"),
        ("executable = absent.sh", "does not exist"),
        ("requirements = (Arch ==", "Parse error in expression"),
        ("should_transfer_files = PERHAPS", "invalid setting"),
        ("output = absent/out", "No such file or directory"),
        ("this is no line", "parse"),
    ],
)
def test_a_wrong_description_is_refused(
    condor_stand_in: CondorStandIn, there: Path, line: str, complaint: str
) -> None:
    script(there, "true")
    with pytest.raises(Unavailable, match=complaint):
        submit(condor_stand_in, line)


def test_commands_fail_while_the_schedd_is_away(
    condor_stand_in: CondorStandIn, there: Path
) -> None:
    script(there, "true")
    with condor_stand_in.away(), pytest.raises(Unavailable, match="Can't find address"):
        submit(condor_stand_in)
    submit(condor_stand_in)
    events(there, Kind.JOB_TERMINATED)
