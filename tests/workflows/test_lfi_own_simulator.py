"""A simulator of one's own: tables out, data back, and the documented five lines end to end."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.wire.test_containers import podman, root_file_system  # noqa: F401 - one is a fixture

np = pytest.importorskip("numpy")

from hepflow_lfi.archives import Proposal, read_data, read_simulations  # noqa: E402
from hepflow_lfi.cli import main  # noqa: E402
from hepflow_lfi.priors import read_prior  # noqa: E402
from hepflow_lfi.problems import Problem  # noqa: E402
from hepflow_lfi.sharing import hold_out, join_data, share_out  # noqa: E402
from hepflow_lfi.tables import read_table, write_table  # noqa: E402
from hepflow_verbs import InputError, UsageError  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "science" / "own-simulator.md"
PROBLEM = Problem("mine", read_prior({"a": [0, 1], "b": [0, 2]}), number=7)


@pytest.fixture
def proposal():
    rng = np.random.default_rng(20260301)
    return Proposal(PROBLEM.prior.draw(23, rng).astype(np.float32), 1)


# --- tables ---------------------------------------------------------------------------------


def test_shares_are_all_parameters_in_the_order_of_the_files_names(proposal, tmp_path):
    share_out(proposal, PROBLEM, 11, tmp_path)
    paths = sorted(tmp_path.iterdir())
    assert [path.name for path in paths[:2]] == ["parameters-00.csv", "parameters-01.csv"]
    assert paths[0].read_text().startswith("a,b\n")
    again = np.concatenate([read_table(path) for path in paths])
    assert (again.astype(np.float32) == proposal.theta).all()


def test_data_come_back_beside_their_parameters(proposal, tmp_path):
    paths = share_out(proposal, PROBLEM, 4, tmp_path)
    for number, path in enumerate(paths):
        theta = read_table(path)
        if number % 2:
            np.savez(path.with_suffix(".npz"), x=theta.sum(axis=1, keepdims=True))
        else:
            path.with_suffix(".dat").write_text("".join(f"{row.sum()}\n" for row in theta))
    data = [p.with_suffix(".npz" if number % 2 else ".dat") for number, p in enumerate(paths)]
    joined = join_data(proposal, data)
    assert joined.x[:, 0] == pytest.approx(joined.theta.sum(axis=1), rel=1e-6)
    train, apart = hold_out(joined, 5)
    assert (len(train.theta), len(apart.theta)) == (18, 5)
    assert (np.concatenate([train.x, apart.x]) == joined.x).all()
    with pytest.raises(UsageError, match="23 of 23 leave none"):
        hold_out(joined, 23)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("1,2\n3\n", r"data\.csv:2: has 1 numbers, the line before 2"),
        ("1,2\n3,nan\n", r"data\.csv:2: 'nan' is no finite number"),
        ("mean,sd\n1,2\nbroken,2\n", r"data\.csv:3: 'broken' is no finite number"),
        ("mean,sd\n", r"data\.csv: holds no row of numbers"),
        ("1,2\n3,4\n", r"data\.csv: holds 2 rows, needed are 23"),
        ("1e300\n", r"no rows of finite data"),
    ],
)
def test_data_that_are_none_are_told(proposal, tmp_path, content, message):
    path = tmp_path / "data.csv"
    path.write_text(content)
    with pytest.raises(InputError, match=message) as caught:
        join_data(proposal, [path])
    assert "  fix: " in str(caught.value)


def test_shares_of_other_length_are_told(proposal, tmp_path):
    for name, width in (("0.csv", 2), ("1.csv", 3)):
        rows = 12 if width == 2 else 11
        write_table(tmp_path / name, ["x"] * width, np.ones((rows, width)))
    with pytest.raises(InputError, match=r"1\.csv: has 3 numbers a row, .*0\.csv has 2"):
        join_data(proposal, [tmp_path / "0.csv", tmp_path / "1.csv"])


def test_an_archive_of_counts_is_data(tmp_path):
    np.savez(tmp_path / "x.npz", x=np.arange(6).reshape(3, 2))
    assert read_data(tmp_path / "x.npz").tolist() == [[0, 1], [2, 3], [4, 5]]
    np.savez(tmp_path / "words.npz", x=np.array([["a"]]))
    with pytest.raises(InputError, match="array 'x' holds no numbers"):
        read_data(tmp_path / "words.npz")


def test_the_verbs_share_out_and_collect(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text("name: mine\nparameters: {a: [0, 1], b: [0, 2]}\n")
    words = ["--draws", "30", "--tables", "out", "--parts", "3"]
    assert main(["propose", "mine.yaml", *words]) == 0
    tables = sorted(map(str, Path("out").iterdir()))
    assert main(["collect", "mine.yaml", "proposal.npz", *tables, "--hold-out", "10"]) == 0
    data = read_simulations(["sample.npz", "held_out.npz"], PROBLEM)
    assert (data.theta == data.x).all()  # the simulator was the identity
    assert len(data.theta) == 30


# --- the document ---------------------------------------------------------------------------


def _blocks(kind: str) -> dict[str, str]:
    """The fenced blocks that are marked as ``kind: NAME``, by name."""
    text = DOCUMENT.read_text(encoding="utf-8")
    found = re.findall(rf"^<!-- {kind}: (.+?) -->\n```\w+\n(.*?)^```", text, re.M | re.S)
    return dict(found)


def _hepflow(folder: Path, *arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "hepflow", *map(str, arguments)],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def write_recipe(tmp_path):
    """The recipe as a user copies it, with its simulator replaced by a block of the document."""

    def write(name: str) -> Path:
        _hepflow(tmp_path, "recipes", "copy", "lfi/own_simulator")
        for file, content in _blocks("file").items():
            (tmp_path / file).write_text(content, encoding="utf-8")
        recipe = tmp_path / "own_simulator.yaml"
        step = re.compile(r"^  simulator: .*?\n(?=\n)", re.M | re.S)
        text, count = step.subn(lambda _: _blocks("splice")[name], recipe.read_text())
        assert count == 1
        recipe.write_text(text)
        return recipe

    return write


QUICK = ("--profile", "quick", "--input", "prior=prior.yaml", "--input", "observation=measured.csv")


def test_the_replaced_step_is_five_lines():
    assert _blocks("splice")["simulator"].count("\n") == 5


@pytest.mark.needs("cc")
@pytest.mark.slow
def test_five_lines_replace_the_simulator_by_a_program_in_c(write_recipe, tmp_path):
    pytest.importorskip("sbi")
    write_recipe("simulator")
    compiler = ["cc", "-O2", "-o", "peak", "peak.c", "-lm"]
    subprocess.run(compiler, cwd=tmp_path, check=True)
    said = _hepflow(tmp_path, "run", "own_simulator.yaml", *QUICK)
    assert "12 tasks run" in said
    results = tmp_path / "results" / "own-simulator"
    draws = read_table(results / "draws.csv")
    assert draws.shape == (500, 2)
    # 100 events, three fifths of them in a peak of width 2: known to a third, and to 0.05
    assert draws[:, 0].mean() == pytest.approx(124.6, abs=2.5)
    assert draws[:, 1].mean() == pytest.approx(0.55, abs=0.15)
    for figure in ("posterior.png", "calibration.png", "prediction.png"):
        assert (results / figure).read_bytes().startswith(b"\x89PNG")
    assert "calibration.smallest_rank_p" in _hepflow(tmp_path, "metrics")
    _hepflow(tmp_path, "report", "--out", "page.html")
    page = (tmp_path / "page.html").read_text()
    assert page.count("data:image/png") >= 3


def test_a_simulator_in_a_container_is_a_valid_step(write_recipe, tmp_path):
    write_recipe("container")
    assert "valid" in _hepflow(tmp_path, "validate", "own_simulator.yaml")


GENERATE = b"""\
#!/bin/sh
# generate --seed N --points FILE --out FILE: a line of data for each of parameters, and the seed
{ read -r names; while read -r point; do echo "$point,$2"; done; } < "$4" > "$6"
"""


@pytest.fixture
def image(podman):  # noqa: F811 - the fixture
    """The image that the document names, with a generator in it that is a few words of shell."""
    data = io.BytesIO(root_file_system())
    with tarfile.open(fileobj=data, mode="a") as tar:
        program = tarfile.TarInfo("bin/generate")
        program.size, program.mode = len(GENERATE), 0o755
        tar.addfile(program, io.BytesIO(GENERATE))
    name = re.search(r"container: (\S+)", _blocks("splice")["container"]).group(1)
    command = [*podman, "import", "--change", "ENV PATH=/bin", "-", name]
    subprocess.run(command, input=data.getvalue(), capture_output=True, check=True)
    yield name
    subprocess.run([*podman, "rmi", "--force", name], capture_output=True, check=False)


@pytest.mark.slow
@pytest.mark.needs("podman", "busybox")
def test_a_simulator_in_a_container_gives_data_for_every_parameter(image, write_recipe, tmp_path):
    recipe = write_recipe("container")
    whole = recipe.read_text()
    assert image in whole
    upto, _, rest = whole.partition("  train:\n")  # what comes after needs no container
    collected = "outputs: {sample: collect.sample, held_out: collect.held_out}\n"
    recipe.write_text(upto + collected + rest[rest.index("profiles:") :])
    said = _hepflow(tmp_path, "run", "own_simulator.yaml", *QUICK)
    assert "6 tasks run" in said  # four of them the container's
    results = tmp_path / "results" / "own-simulator"
    peak = Problem("peak", read_prior({"position": [115, 135], "strength": [0, 1]}), number=0)
    for name, count in (("sample.npz", 400), ("held_out.npz", 40)):
        found = read_simulations([results / name], peak)
        assert found.x[:, :2] == pytest.approx(found.theta, rel=1e-5)
        assert len(found.x) == count
        assert set(found.x[:, 2]) <= {0.0, 1.0, 2.0, 3.0}


@pytest.mark.long
def test_a_function_is_a_simulator_too(write_recipe, tmp_path):
    write_recipe("function")
    assert "12 tasks run" in _hepflow(tmp_path, "run", "own_simulator.yaml", *QUICK)


@pytest.mark.long
@pytest.mark.needs("awk")
def test_the_recipe_as_it_comes_finds_the_mean_life_that_was_simulated(tmp_path):
    _hepflow(tmp_path, "recipes", "copy", "lfi/own_simulator")
    _hepflow(tmp_path, "run", "own_simulator.yaml")
    draws = read_table(tmp_path / "results" / "own-simulator" / "draws.csv")
    spread = draws.std(axis=0)
    assert (abs(draws.mean(axis=0) - [2.0, 0.15]) < 3 * spread).all()
