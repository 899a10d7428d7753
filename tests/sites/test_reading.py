"""Site files: what extends what, where values come from, and every fault at its line."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from hepflow.model.errors import RecipeError, UnavailableError
from hepflow.model.site import Caches, Container, Limits, Price, Queue, Runtime, Site, Staging
from hepflow.sites.building import build_site
from hepflow.sites.files import find_site, site_files
from hepflow.sites.reading import read_site
from hepflow.sites.schema import SCHEMA
from tests.sites.conftest import Write

FULL = """
doc: Ours
executor: slurm
account: m1234
defaults: {array: 500, settings: {a: 1, b: 2}}
queues:
  short: {partition: p, qos: q, constraint: c, cpus: 8, memory: 16 GiB, disk: 1 GiB, walltime: 1 h}
  gpu:
    gpus: 4
    gpu_kinds: {a100: A100-SXM4, any: ""}
    default_walltime: 30 min
    exclusive: true
    preemptible: true
    automatic: false
    array: 10
    jobs: 5
    pack: 25
    price: {hour: 1.5, unit: node hours}
    lines: ["#SBATCH --requeue"]
    settings: {b: 3}
container: {runtime: podman-hpc, image: "docker:{image}", options: [--gpu]}
modules: [python]
setup: [ulimit -s unlimited]
env: {OMP_NUM_THREADS: "1"}
scratch: $SCRATCH
staging: capsule
caches: {xrootd: ["root://x:1094"], http: ["http://y"], cvmfs: [/cvmfs]}
limits: {jobs: 100, submits_per_s: 2.5, poll: 1 min}
lines: ["#SBATCH --mail-type=NONE"]
settings: {a: 0}
"""


def faults(name: str) -> str:
    """Everything that is said of a site that is wrong."""
    with pytest.raises(RecipeError) as caught:
        build_site(read_site(name))
    return str(caught.value)


def test_every_key_reaches_the_model_in_its_units(write: Write) -> None:
    write("full.yaml", FULL)
    assert build_site(read_site("full")) == Site(
        name="full",
        executor="slurm",
        doc="Ours",
        account="m1234",
        queues=(
            Queue(
                "short", partition="p", qos="q", constraint="c", cpus=8, memory_mib=16384,
                disk_mib=1024, walltime_s=3600, array=500, settings={"a": 1, "b": 2},
            ),
            Queue(
                "gpu", gpus=4, gpu_kinds={"a100": "A100-SXM4", "any": "any"},
                default_walltime_s=1800, exclusive=True, preemptible=True, automatic=False,
                array=10, jobs=5, pack=25, price=Price(hour=1.5, unit="node hours"),
                lines=("#SBATCH --requeue",), settings={"a": 1, "b": 3},
            ),
        ),
        anywhere=Queue("", array=500, settings={"a": 1, "b": 2}),
        container=Container(Runtime.PODMAN_HPC, "docker:{image}", ("--gpu",)),
        modules=("python",),
        setup=("ulimit -s unlimited",),
        env={"OMP_NUM_THREADS": "1"},
        scratch="$SCRATCH",
        staging=Staging.CAPSULE,
        caches=Caches(("root://x:1094",), ("http://y",), ("/cvmfs",)),
        limits=Limits(100, 2.5, 60),
        lines=("#SBATCH --mail-type=NONE",),
        settings={"a": 0},
    )  # fmt: skip


def test_a_site_says_only_what_differs_from_what_it_extends(write: Write) -> None:
    base = write("base.yaml", FULL)
    own = write(
        "mine.yaml",
        """
        extends: base
        account: other
        queues:
          short: {cpus: 4, qos: null}
          gpu: null
          new: {cpus: 1}
        settings: {c: 1}
        """,
    )
    file = read_site("mine")
    made = build_site(file)
    assert (made.name, made.account, made.doc) == ("mine", "other", "Ours")
    assert made.settings == {"a": 0, "c": 1}
    short, new = made.queues
    assert (short.cpus, short.qos, short.partition) == (4, "", "p")
    assert (new.name, new.array) == ("new", 500)
    assert file.files == (own, base)
    assert str(file.at(("account",))) == f"{own}:2:10"
    assert str(file.at(("doc",))) == f"{base}:1:6"
    assert str(file.at(("queues", "short", "cpus"))) == f"{own}:4:17"
    assert str(file.at(("queues", "short", "partition"))) == f"{base}:6:22"


def test_the_users_own_site_stands_before_the_shipped_of_its_name(write: Write) -> None:
    own = write("slurm.yaml", "extends: slurm\naccount: mine\n")
    file = read_site("slurm")
    assert file.files[0] == own
    assert file.files[1] == find_site("slurm", {})
    assert build_site(file).account == "mine"
    assert site_files()["slurm"] == own


def test_a_site_may_be_given_as_a_file_and_extend_one_beside_it(
    write: Write, tmp_path: Path
) -> None:
    write("base.yaml", "executor: local\n", tmp_path)
    path = write("other.yaml", "extends: ./base.yaml\ndoc: x\n", tmp_path)
    assert build_site(read_site(str(path))).executor == "local"


def test_every_fault_is_told_at_its_line(write: Write) -> None:
    path = write(
        "bad.yaml",
        """
        executer: slurm
        account: 1234
        queues:
          debug: {walltime: 1:30, memory: much, cpus: -1, gpu: 1, exclusive: maybe}
          "a b": {}
        container: {runtime: singularity}
        staging: [shared]
        limits: {jobs: 1.5}
        """,
    )
    said = faults("bad")
    for line in (
        f"{path}:1:1  HF251  there is no key 'executer'\n  fix: did you mean 'executor'?",
        f"{path}:2:10  HF250  'account' takes text, gets a number\n  fix: put it in quotes: \"1234\"",
        f"{path}:4:21  HF250  'queues.debug.walltime' is wrong: '1:30' may mean hours or minutes",
        f"{path}:4:35  HF250  'queues.debug.memory' is wrong: 'much' is not an amount of memory",
        f"{path}:4:47  HF250  'queues.debug.cpus' takes 0 or more, gets -1",
        f"{path}:4:51  HF251  there is no key 'gpu' in 'queues.debug'\n  fix: did you mean 'gpus'?",
        f"{path}:4:70  HF250  'queues.debug.exclusive' takes true or false, gets text",
        f"{path}:5:3  HF251  'a b' is not a name",
        f"{path}:6:22  HF250  'container.runtime' does not know 'singularity'",
        f"{path}:7:10  HF250  'staging' takes text, gets a list",
        f"{path}:8:16  HF250  'limits.jobs' takes a whole number, gets a number",
    ):
        assert line in said


@pytest.mark.parametrize(
    "key",
    ["password: x", "settings: {api_key: x}", "env: {MY_TOKEN: x}", "settings: {a: [{secret: x}]}"],
)
def test_a_site_file_holds_no_secrets(write: Write, key: str) -> None:
    write("open.yaml", f"executor: slurm\n{key}\n")
    said = faults("open")
    assert "a site file never holds secrets" in said
    assert "open.yaml:2:" in said


def test_what_a_user_must_say_is_told_with_where_to_write_it(write: Write, tmp_path: Path) -> None:
    said = faults("nersc-perlmutter")
    own = tmp_path / "config/hepflow/sites/nersc-perlmutter.yaml"
    assert "HF258  the site 'nersc-perlmutter' needs your 'account'" in said
    assert f"fix: write {own} with 'extends: nersc-perlmutter' and 'account: ...'" in said
    said = faults("kubernetes")
    assert "'settings: {namespace: ...}'" in said
    said = faults("aws-batch")
    assert said.count("and 'settings: {bucket: ..., job_queue: ...}'") == 2
    path = write("nersc-perlmutter.yaml", "extends: nersc-perlmutter\n")
    assert f"fix: write into {path}: 'account: ...'" in faults("nersc-perlmutter")


def test_variables_of_the_environment_are_filled_in_where_they_are_named(write: Write) -> None:
    path = write(
        "env.yaml",
        """
        executor: slurm
        account: ${env:MYPROJ}
        scratch: ${env:NOWHERE}/$USER
        """,
    )
    file = read_site("env")
    assert file.find("account") == "${env:MYPROJ}"
    made = build_site(file, {"MYPROJ": "m1", "NOWHERE": "/fast"})
    assert (made.account, made.scratch) == ("m1", "/fast/$USER")
    with pytest.raises(RecipeError) as caught:
        build_site(file, {"MYPROJ": "m1"})
    assert f"{path}:3:10  HF257  the environment variable NOWHERE is not set" in str(caught.value)


def test_a_site_that_extends_itself_is_told_the_way_round(write: Write) -> None:
    write("a.yaml", "extends: b\n")
    path = write("b.yaml", "extends: a\n")
    said = faults("a")
    assert f"{path}:1:10  HF253  'a' extends this site in turn" in said
    assert "why: a -> b -> a" in said


def test_an_unknown_parent_gets_the_nearest_name(write: Write) -> None:
    path = write("a.yaml", "extends: slrum\n")
    said = faults("a")
    assert f"{path}:1:10  HF253  there is no site 'slrum'" in said
    assert "did you mean 'slurm'?" in said


def test_an_unknown_site_gets_the_nearest_name(write: Write) -> None:
    with pytest.raises(UnavailableError, match=r"did you mean 'nersc-perlmutter'\?"):
        read_site("nersc-perlmuter")
    with pytest.raises(UnavailableError, match=r"there is no site file './nowhere.yaml'"):
        read_site("./nowhere.yaml")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "the file is empty"),
        ("- a\n", "a site file takes a mapping, gets a list"),
        ("a: [", "not valid YAML"),
        ("doc: no executor\n", "the site has no executor"),
        ("executor: x\nqueue: dbug\nqueues: {debug: {}}\n", "there is no queue 'dbug'"),
    ],
)
def test_a_file_that_is_no_site_is_told_why(write: Write, text: str, what: str) -> None:
    write("odd.yaml", text)
    said = faults("odd")
    assert what in said
    assert "odd.yaml:" in said


def test_a_setting_the_executor_does_not_know_gets_the_nearest_word(write: Write) -> None:
    path = write("mine.yaml", "extends: local\nsettings: {cpu: 4}\n")
    with pytest.raises(RecipeError) as caught:
        build_site(read_site("mine"), settings={"cpus": "cores"})
    assert f"{path}:2:17  HF256  the executor 'local' has no setting 'cpu'" in str(caught.value)
    assert "did you mean 'cpus'?" in str(caught.value)


SAMPLES = [
    FULL, "executor: x\n", "executor: 1\n", "account: null\n", "queues: []\n", "queues: {a: {b: 1}}\n",
    "queues: {a: {cpus: true}}\n", "queues: {a: {cpus: -2}}\n", "limits: {jobs: 2.5}\n",
    "container: {runtime: lxc}\n", "modules: [1]\n", "queues: {'a b': {}}\n", "nothing: 1\n",
    "settings: {x: [1, {y: 2}]}\n", "env: {A: 1}\n", "staging: none\n", "queues: {a: null}\n",
]  # fmt: skip


@pytest.mark.parametrize("text", SAMPLES)
def test_the_published_schema_and_we_are_of_one_mind(write: Write, text: str) -> None:
    """Editors and other programs read the same file; the reference reader must agree with ours."""
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    from hepflow.recipe.yaml_nodes import load_yaml

    data = load_yaml(text, "x")[0]
    theirs = jsonschema.Draft202012Validator(schema).is_valid(data)
    write("one.yaml", text)
    try:
        read_site("one")
    except RecipeError:
        assert not theirs
    else:
        assert theirs
