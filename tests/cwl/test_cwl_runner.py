"""``hepflow cwl-runner`` as ``cwltest`` and users of the reference runner meet it."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytest.importorskip("cwltool", reason="needs hepflow[cwl]")

Run = Callable[..., "subprocess.CompletedProcess[str]"]

COPY = """\
cwlVersion: v1.2
class: CommandLineTool
baseCommand: cat
inputs:
  text: {type: File, inputBinding: {position: 1}, doc: what to copy}
  times: {type: "int?", doc: how often}
stdout: copy.txt
outputs:
  copy: {type: stdout}
"""
FAIL = """\
cwlVersion: v1.2
class: CommandLineTool
baseCommand: [sh, -c, "echo no such number >&2; exit 7"]
inputs: []
outputs: []
"""
TREE = """\
cwlVersion: v1.2
class: CommandLineTool
baseCommand: [sh, -c, "mkdir -p tree/deep; echo a > tree/a; echo b > tree/deep/b; ln -s a tree/link"]
inputs: []
outputs:
  tree: {type: Directory, outputBinding: {glob: tree}}
"""
TWICE = """\
cwlVersion: v1.2
class: Workflow
requirements: {ScatterFeatureRequirement: {}}
inputs: {texts: "File[]"}
steps:
  copy: {run: copy.cwl, scatter: text, in: {text: texts}, out: [copy]}
outputs:
  copies: {type: "File[]", outputSource: copy/copy}
"""


@pytest.fixture
def copy(project: Path) -> Path:
    """A tool, an input object for it, and its file."""
    (project / "copy.cwl").write_text(COPY)
    (project / "hello.txt").write_text("Hello\n")
    (project / "job.yml").write_text("text: {class: File, location: hello.txt}\n")
    return project


def test_the_output_object_says_all_that_cwltool_says(copy: Path, hepflow: Run) -> None:
    ended = hepflow("cwl-runner", "--outdir", "out", "copy.cwl", "job.yml")
    assert ended.returncode == 0, ended.stderr
    place = copy / "out/copy.txt"
    assert json.loads(ended.stdout) == {
        "copy": {
            "class": "File",
            "location": place.as_uri(),
            "path": str(place),
            "basename": "copy.txt",
            "size": 6,
            "checksum": f"sha1${hashlib.sha1(b'Hello' + bytes([10])).hexdigest()}",
        }
    }
    assert place.read_text() == "Hello\n"
    assert not place.is_symlink()


def test_the_same_again_is_reused_and_put_in_place_anew(copy: Path, hepflow: Run) -> None:
    first = hepflow("cwl-runner", "copy.cwl", "job.yml")
    (copy / "copy.txt").unlink()
    again = hepflow("cwl-runner", "copy.cwl", "job.yml")
    assert again.stdout == first.stdout
    assert "1 reused" in again.stderr
    assert (copy / "copy.txt").read_text() == "Hello\n"
    assert json.loads(hepflow("list", "--json").stdout)[0]["state"] == "succeeded"


def test_a_quiet_run_writes_the_output_object_and_nothing_else(copy: Path, hepflow: Run) -> None:
    ended = hepflow("cwl-runner", "--outdir=out", "--quiet", "copy.cwl", "job.yml")
    assert json.loads(ended.stdout)["copy"]["basename"] == "copy.txt"
    assert ended.stderr == ""


def test_the_output_object_goes_into_a_file(copy: Path, hepflow: Run) -> None:
    ended = hepflow("cwl-runner", "--write-summary", "out.json", "copy.cwl", "job.yml")
    assert ended.stdout == ""
    assert json.loads((copy / "out.json").read_text())["copy"]["size"] == 6


def test_inputs_are_options_of_their_own(copy: Path, hepflow: Run) -> None:
    ended = hepflow("cwl-runner", "copy.cwl", "--text", "hello.txt", "--times", "3")
    assert ended.returncode == 0, ended.stderr
    told = hepflow("cwl-runner", "--tool-help", "copy.cwl")
    assert told.returncode == 0
    assert "--times TIMES" in told.stdout
    assert "what to copy" in told.stdout
    missing = hepflow("cwl-runner", "copy.cwl", "--times", "3")
    assert missing.returncode == 2
    assert "--text" in missing.stderr


def test_inputs_come_from_standard_input(copy: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "hepflow", "cwl-runner", "copy.cwl", "-"],
        input='{"text": {"class": "File", "path": "hello.txt"}}',
        cwd=copy, capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert json.loads(ended.stdout)["copy"]["size"] == 6


def test_an_inputs_file_can_name_its_document(copy: Path, hepflow: Run) -> None:
    (copy / "sub").mkdir()
    (copy / "sub/job.yml").write_text(
        "cwl:tool: ../copy.cwl\ntext: {class: File, location: ../hello.txt}\n"
    )
    ended = hepflow("cwl-runner", "sub/job.yml")
    assert json.loads(ended.stdout)["copy"]["size"] == 6, ended.stderr


def test_places_of_inputs_are_uris_and_paths_are_not(copy: Path, hepflow: Run) -> None:
    (copy / "a 100%25.txt").write_text("odd\n")
    (copy / "location.yml").write_text("text: {class: File, location: a%20100%2525.txt}\n")
    (copy / "path.yml").write_text("text: {class: File, path: a 100%25.txt}\n")
    for job in ("location.yml", "path.yml"):
        ended = hepflow("cwl-runner", "--relax-path-checks", "copy.cwl", job)
        assert json.loads(ended.stdout)["copy"]["size"] == 4, ended.stderr


def test_an_input_the_document_does_not_have_is_a_warning(copy: Path, hepflow: Run) -> None:
    with (copy / "job.yml").open("a") as job:
        job.write("colour: blue\n")
    ended = hepflow("cwl-runner", "copy.cwl", "job.yml")
    assert ended.returncode == 0
    assert "warning: job.yml: the document has no input colour" in ended.stderr
    assert "warning" not in hepflow("cwl-runner", "--no-warnings", "copy.cwl", "job.yml").stderr


def test_files_of_one_name_are_numbered(copy: Path, hepflow: Run) -> None:
    (copy / "twice.cwl").write_text(TWICE)
    for name in ("one", "two"):
        (copy / name).write_text(name)
    job = {"texts": [{"class": "File", "path": name} for name in ("one", "two", "one")]}
    (copy / "job.json").write_text(json.dumps(job))
    ended = hepflow("cwl-runner", "--outdir", "out", "twice.cwl", "job.json")
    found = json.loads(ended.stdout)["copies"]
    assert [item["basename"] for item in found] == ["copy.txt", "copy.txt_2", "copy.txt"]
    assert [Path(item["path"]).read_text() for item in found] == ["one", "two", "one"]


def test_a_directory_is_listed_whole_and_holds_no_links(project: Path, hepflow: Run) -> None:
    (project / "tree.cwl").write_text(TREE)
    ended = hepflow("cwl-runner", "--outdir", "out", "tree.cwl")
    tree = json.loads(ended.stdout)["tree"]
    assert tree["class"] == "Directory"
    assert [item["basename"] for item in tree["listing"]] == ["a", "deep", "link"]
    assert tree["listing"][1]["listing"][0]["checksum"].startswith("sha1$")
    assert not (project / "out/tree/link").is_symlink()
    assert (project / "out/tree/link").read_text() == "a\n"


def test_copies_share_nothing_with_the_store(copy: Path, hepflow: Run) -> None:
    hepflow("cwl-runner", "--outdir=linked", "copy.cwl", "job.yml")
    hepflow("cwl-runner", "--outdir=copied", "--copy-outputs", "copy.cwl", "job.yml")
    assert (copy / "linked/copy.txt").stat().st_nlink == 2
    assert (copy / "copied/copy.txt").stat().st_nlink == 1
    left = hepflow("cwl-runner", "--outdir=left", "--leave-outputs", "copy.cwl", "job.yml")
    assert "/.hepflow/" in json.loads(left.stdout)["copy"]["path"]
    assert not (copy / "left").exists()


def test_what_earlier_runs_left_in_the_folder_is_replaced(copy: Path, hepflow: Run) -> None:
    (copy / "copy.txt").write_text("mine\n")
    ended = hepflow("cwl-runner", "copy.cwl", "job.yml")
    assert ended.returncode == 0, ended.stderr
    assert (copy / "copy.txt").read_text() == "Hello\n"


def test_a_run_without_cache_leaves_nothing_but_its_outputs(copy: Path, hepflow: Run) -> None:
    ended = hepflow("cwl-runner", "--no-cache", "--outdir=out", "copy.cwl", "job.yml")
    assert ended.returncode == 0, ended.stderr
    assert not (copy / ".hepflow").exists()
    assert (copy / "out/copy.txt").read_text() == "Hello\n"


def test_a_cache_folder_holds_the_store(copy: Path, hepflow: Run) -> None:
    for _ in range(2):
        ended = hepflow("cwl-runner", "--cachedir", "cache", "--outdir=out", "copy.cwl", "job.yml")
        assert ended.returncode == 0, ended.stderr
    assert "1 reused" in ended.stderr
    assert not (copy / ".hepflow").exists()
    assert (copy / "cache/.hepflow").is_dir()


def test_two_at_once_in_one_folder_both_succeed(copy: Path, hepflow: Run) -> None:
    with ThreadPoolExecutor() as pool:
        both = list(
            pool.map(
                lambda out: hepflow("cwl-runner", "--outdir", out, "copy.cwl", "job.yml"), "ab"
            )
        )
    assert [ended.returncode for ended in both] == [0, 0], [ended.stderr for ended in both]
    assert (copy / "a/copy.txt").read_text() == (copy / "b/copy.txt").read_text() == "Hello\n"


def test_a_failed_step_is_told_with_what_it_said(project: Path, hepflow: Run) -> None:
    (project / "fail.cwl").write_text(FAIL)
    ended = hepflow("cwl-runner", "fail.cwl")
    assert ended.returncode == 1
    assert ended.stdout == ""
    for words in ("exit code 7", "| no such number", "sh -c", "hepflow resume 1"):
        assert words in ended.stderr
    gone = hepflow("cwl-runner", "--no-cache", "fail.cwl")
    assert gone.returncode == 1
    assert "hepflow resume" not in gone.stderr


def test_an_invalid_document_has_a_status_and_a_place_of_its_own(copy: Path, hepflow: Run) -> None:
    (copy / "bad.cwl").write_text(COPY.replace("type: File", "type: Fil"))
    for flags in ([], ["--validate"]):
        ended = hepflow("cwl-runner", *flags, "bad.cwl", "job.yml")
        assert ended.returncode == 3
        assert "bad.cwl:5:" in ended.stderr
        assert "Traceback" not in ended.stderr
    wrong = hepflow("cwl-runner", "copy.cwl", "--text", "absent.txt")
    assert wrong.returncode == 3
    assert "absent.txt" in wrong.stderr


def test_what_is_not_supported_has_status_33(project: Path, hepflow: Run) -> None:
    (project / "image.cwl").write_text(
        FAIL + "requirements: {DockerRequirement: {dockerPull: debian}}\n"
    )
    ended = hepflow("cwl-runner", "--no-container", "image.cwl")
    assert ended.returncode == 33
    assert "HF249" in ended.stderr
    assert "debian" in ended.stderr


def test_a_valid_document_is_said_to_be_valid(copy: Path, hepflow: Run) -> None:
    ended = hepflow("cwl-runner", "--validate", "copy.cwl")
    assert ended.returncode == 0
    assert ended.stdout == "copy.cwl is valid CWL.\n"
    assert not (copy / ".hepflow").exists()
    assert hepflow("cwl-runner", "--validate", "copy.cwl", "job.yml").returncode == 0


def test_a_process_of_a_packed_document_is_chosen_behind_the_hash(copy: Path, hepflow: Run) -> None:
    (copy / "twice.cwl").write_text(TWICE)
    packed = hepflow("cwl-runner", "--pack", "twice.cwl").stdout
    (copy / "packed.json").write_text(packed)
    assert {entry["id"] for entry in json.loads(packed)["$graph"]} == {"#main", "#copy.cwl"}
    ended = hepflow("cwl-runner", "packed.json#copy.cwl", "job.yml")
    assert json.loads(ended.stdout)["copy"]["size"] == 6, ended.stderr
    run = hepflow("run", "packed.json#copy.cwl", "job.yml")
    assert run.returncode == 0, run.stderr


def test_documents_are_also_named_by_uri(copy: Path, hepflow: Run) -> None:
    ended = hepflow("cwl-runner", (copy / "copy.cwl").as_uri(), (copy / "job.yml").as_uri())
    assert json.loads(ended.stdout)["copy"]["size"] == 6, ended.stderr


def test_only_what_a_target_needs_is_run(copy: Path, hepflow: Run) -> None:
    (copy / "both.cwl").write_text(
        "cwlVersion: v1.2\nclass: Workflow\ninputs: {text: File}\nsteps:\n"
        "  one: {run: copy.cwl, in: {text: text}, out: [copy]}\n"
        "  two: {run: copy.cwl, in: {text: text}, out: [copy]}\n"
        "outputs:\n  a: {type: File, outputSource: one/copy}\n"
        "  b: {type: File, outputSource: two/copy}\n"
    )
    ended = hepflow("cwl-runner", "--target", "b", "both.cwl", "job.yml")
    assert list(json.loads(ended.stdout)) == ["b"], ended.stderr


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--print-deps", '"location": "copy.cwl"'),
        ("--make-template", "times: 0"),
        ("--print-targets", "  text"),
        ("--print-supported-versions", "v1.2"),
        ("--print-pre", '"class": "CommandLineTool"'),
    ],
)
def test_what_the_library_prints_is_the_librarys(
    copy: Path, hepflow: Run, flag: str, said: str
) -> None:
    ended = hepflow("cwl-runner", flag, "copy.cwl")
    assert ended.returncode == 0, ended.stderr
    assert said in ended.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["--provenance", "x", "copy.cwl"],
            "--provenance is a flag of cwltool that hepflow cannot",
        ),
        (["--strict-memory-limit", "copy.cwl"], "site's configuration"),
        (["--colour", "copy.cwl"], "there is no option '--colour'"),
        (["--podman", "--docker", "copy.cwl"], "--docker and --podman cannot both be given"),
        (["absent.cwl"], "there is no document 'absent.cwl'"),
        ([], "name a CWL document"),
    ],
)
def test_a_wrong_command_line_is_told_in_a_sentence(
    copy: Path, hepflow: Run, arguments: list[str], said: str
) -> None:
    ended = hepflow("cwl-runner", *arguments)
    assert ended.returncode == 2
    assert said in ended.stderr
    assert ended.stderr.startswith(("hepflow cwl-runner  HF300", "HF391"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the inputs file is empty"),
        ("- 1\n", "a mapping of input names to values"),
        ("text: {class: File\n", "job.yml:2:1  HF224  not valid YAML"),
        ("text: {class: File}\n", "neither 'location' nor 'contents'"),
    ],
)
def test_a_faulty_inputs_file_is_told_with_its_place(
    copy: Path, hepflow: Run, text: str, said: str
) -> None:
    (copy / "job.yml").write_text(text)
    ended = hepflow("cwl-runner", "copy.cwl", "job.yml")
    assert ended.returncode == 3
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
