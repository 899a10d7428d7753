"""Journals: read after a crash, whatever state they are in."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from hepflow.capsule import report
from hepflow.executors import journal
from hepflow.model.task import Reason


def test_results_are_read_back_and_torn_lines_passed_over(tmp_path: Path) -> None:
    _number, _path, descriptor = journal.claim_journal(tmp_path, 0)
    writer = report.Journal(descriptor)
    assert writer.write(report.result_line("a#1", "", [1.5, 2, 3, 4], {"v": [1]})) == ""
    failed = report.result_line("b[1]#1", "program", [0, 0, 0, 0], message="no", exit_code=3)
    writer.write(failed)
    with (tmp_path / "journal-0.jsonl").open("ab") as file:
        file.write(b'[0,"torn#1","",[1,2\n[0]\nnonsense\n')
    (tmp_path / "journal-1.jsonl").write_bytes(failed[:-5])
    outcomes = journal.read_journal(tmp_path)
    assert set(outcomes) == {"a#1", "b[1]#1"}
    assert outcomes["a#1"].succeeded
    assert outcomes["a#1"].outputs == {"v": [1]}
    assert outcomes["a#1"].usage.wall_s == 2
    assert (outcomes["b[1]#1"].reason, outcomes["b[1]#1"].exit_code) == (Reason.PROGRAM, 3)
    journal.clear_journals(tmp_path)
    assert journal.read_journal(tmp_path) == {}


def test_a_journal_has_one_owner(tmp_path: Path) -> None:
    first = journal.claim_journal(tmp_path, 0)
    second = journal.claim_journal(tmp_path, 0)
    assert (first[0], second[0]) == (0, 1)


def test_a_reader_waits_for_the_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "journal-0.jsonl"
    writer = path.open("ab")
    fcntl.flock(writer, fcntl.LOCK_EX)
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            writer.close()

    assert journal.wait_for_writers(tmp_path, pause)
    assert len(pauses) == 3
    monkeypatch.setattr(journal, "PATIENCE_S", 0.0)
    with path.open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert not journal.wait_for_writers(tmp_path, lambda _seconds: None)


def test_a_full_disk_is_told_and_the_next_line_stands_alone(tmp_path: Path) -> None:
    descriptor = os.open("/dev/full", os.O_WRONLY)
    assert report.Journal(descriptor).write(b"[0]\n") == "No space left on device"
    os.close(descriptor)
