"""What is placed for a task before it starts, and what is taken away after it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from hepflow.capsule import placing
from hepflow.capsule.placing import CONFINED, COPY, IN, Setting, Slot, prepare
from hepflow.model.task import FOLDER, INPUTS, SCRATCH


def test_the_words_for_a_tasks_folders_are_the_models() -> None:
    assert (placing.OUT, placing.TMP, placing.IN) == (FOLDER, SCRATCH, INPUTS)
    text = f"-o {FOLDER}/x --tmp={SCRATCH} {INPUTS}/0/a"
    assert placing.filled(text, "/w/1", "/t", "/i n") == "-o /w/1/x --tmp=/t /i n/0/a"


def test_a_folder_is_made_with_its_parents_once(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    prepare(str(path), Setting(0, [["x/y.txt", "hé"]], [["/etc/hosts", "in/hosts"]]))
    assert (path / "x" / "y.txt").read_text(encoding="utf-8") == "hé"
    assert (path / "in" / "hosts").is_symlink()
    with pytest.raises(OSError, match="not empty"):
        prepare(str(path))
    (tmp_path / "d").mkdir()
    prepare(str(tmp_path / "d"))


@pytest.mark.parametrize(
    "setting",
    [
        Setting(0, [["../y", ""]]),
        Setting(1, [[f"{IN}/../y", ""]]),
        Setting(0, (), [["/etc/hosts", "/etc/y"]]),
        Setting(0, [["link/y", ""]], [["ELSEWHERE", "link"]]),
        Setting(0, (), [["ELSEWHERE", "link"], ["/etc/hosts", "link/y", COPY]]),
        Setting(1, [[f"{IN}/0/link/y", ""]], [["ELSEWHERE", f"{IN}/0/link"]]),
        Setting(0, [[f"{IN}/0/y", ""]]),
    ],
)
def test_nothing_is_placed_outside(tmp_path: Path, setting: Setting) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    stage = [[part if part != "ELSEWHERE" else str(elsewhere) for part in s] for s in setting.stage]
    slot = Slot(str(tmp_path / "slot")) if setting.apart else None
    with pytest.raises(OSError, match="must stay inside its folders"):
        prepare(str(tmp_path / "task"), setting.but(stage=stage), slot)
    assert list(elsewhere.iterdir()) == []


def test_a_writable_directory_is_a_copy_that_can_be_written_in(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    (source / "deep" / "run").write_text("#!/bin/sh\n")
    (source / "deep" / "run").chmod(0o555)
    (source / "deep").chmod(0o555)
    (source / "link").symlink_to("deep/run")
    prepare(str(tmp_path / "task"), Setting(0, (), [[str(source), "copy", COPY]]))
    made = tmp_path / "task" / "copy"
    assert os.readlink(made / "link") == "deep/run"
    assert (made / "deep").stat().st_mode & 0o777 == 0o755
    assert (made / "deep" / "run").stat().st_mode & 0o777 == 0o755
    (made / "deep" / "run").write_text("changed")
    assert (source / "deep" / "run").read_text() == "#!/bin/sh\n"


def test_an_entry_may_be_placed_in_a_copied_directory(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "a").touch()
    stage = [[str(tmp_path / "source"), "d", COPY], ["/etc/hosts", "d/hosts"], ["", "d/empty/deep"]]
    prepare(str(tmp_path / "task"), Setting(0, [["d/text", "x"]], stage))
    names = {path.name for path in (tmp_path / "task" / "d").rglob("*")}
    assert names == {"a", "hosts", "text", "empty", "deep"}


@pytest.fixture
def slot(tmp_path: Path) -> Slot:
    return Slot(str(tmp_path / "slot"))


def left(slot: Slot) -> list[str]:
    """Everything but folders in a slot."""
    both = [Path(slot.tmp), Path(slot.inputs)]
    return [str(path) for folder in both for path in folder.rglob("*") if not path.is_dir()]


SPOILS = {
    "nothing": "",
    "files": "touch $TMP/x $IN/0/y $IN/z; mkdir $IN/0/deep $IN/new; touch $IN/new/x",
    "locked": "mkdir -p $TMP/a/b $IN/0/c; touch $TMP/a/b/x; chmod 0 $TMP/a/b $TMP/a $IN/0 $TMP",
    "links": "ln -s $KEPT $TMP/x; ln -s $KEPT $IN/0/y; ln -s $KEPT $IN/y",
    "swapped": "rmdir $TMP; ln -s $KEPT $TMP; rm -r $IN/0; ln -s $KEPT $IN/0",
    "gone": "rmdir $TMP; rm -r $IN/0 $IN/1",
    "replaced": "rmdir $TMP; touch $TMP; rm $IN/0/kept; mkdir -p $IN/0/kept/x",
}


@pytest.mark.parametrize("spoil", SPOILS.values(), ids=SPOILS)
def test_a_slot_is_cleared_for_the_next_task_whatever_the_last_one_did(
    slot: Slot, tmp_path: Path, spoil: str
) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").touch()
    stage = [[str(kept), f"{IN}/0/kept"], [str(kept), f"{IN}/2/deep/copy", COPY]]
    setting = Setting(CONFINED, [[f"{IN}/1/text", "x"]], stage)
    env = {"TMP": slot.tmp, "IN": slot.inputs, "KEPT": str(kept), "PATH": os.defpath}
    for turn in range(3):
        folder = tmp_path / f"task{turn}"
        prepare(str(folder), setting, slot)
        assert (Path(slot.inputs) / "0" / "kept" / "file").exists()
        subprocess.run(["sh", "-ec", spoil], env=env, check=True)
        slot.clear(setting)
        assert left(slot) == []
        assert os.listdir(slot.tmp) == []
    assert (kept / "file").exists()


def test_a_slot_shows_a_task_nothing_but_its_own(slot: Slot, tmp_path: Path) -> None:
    many = Setting(CONFINED, (), [["/etc/hosts", f"{IN}/{n}/x"] for n in range(3)])
    prepare(str(tmp_path / "a"), many, slot)
    slot.clear(many)
    one = Setting(CONFINED, (), [["/etc/hosts", f"{IN}/1/y"]])
    prepare(str(tmp_path / "b"), one, slot)
    assert left(slot) == [f"{slot.inputs}/1/y"]
