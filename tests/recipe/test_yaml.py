"""The files themselves: YAML 1.2 words, JSON, and everything that is not a recipe."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from hepflow.model.errors import RecipeError
from hepflow.model.protocols import LoadOptions
from hepflow.recipe import NativeLanguage
from hepflow.recipe.yaml_nodes import load_yaml, plain_scalar
from tests.recipe.conftest import Faults, Load


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("yes", "yes"), ("on", "on"), ("No", "No"), ("true", True), ("False", False), ("~", None),
        ("null", None), ("12", 12), ("-3", -3), ("0x1f", 31), ("0o17", 15), ("1e5", 1e5),
        (".5", 0.5), ("1.", 1.0), ("1:30", "1:30"), ("190:20:30", "190:20:30"), ("1_000", "1_000"),
        ("2020-01-01", "2020-01-01"), ("-", "-"), ("1.2.3", "1.2.3"), ("-.inf", float("-inf")),
        ("=", "="), ("012", 12), ("+1", 1), ("1e", "1e"),
    ],
)  # fmt: skip
def test_unquoted_words_mean_what_yaml_1_2_says(written: str, meant: object) -> None:
    assert plain_scalar(written) == meant
    assert type(plain_scalar(written)) is type(meant)


def test_quoted_words_are_text() -> None:
    data, _, problems = load_yaml("a: '1'\nb: \"true\"\nc: !!str 5\nd: !!float 5\n", "f")
    assert (data, problems) == ({"a": "1", "b": "true", "c": "5", "d": 5.0}, [])


def test_merge_keys_lay_a_mapping_under_another() -> None:
    data, _, _ = load_yaml("a: &a {x: 1, y: 2}\nb:\n  <<: *a\n  y: 3\n", "f")
    assert data == {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}}


@pytest.mark.parametrize(
    ("text", "line", "column", "code", "what"),
    [
        ("inputs: {n: 1, n: 2}", 2, 16, "HF103", "the key 'n' stands twice"),
        ("steps:\n\ta: 1", 3, 1, "HF101", "a tab is used to indent"),
        ("name: a: b", 2, 8, "HF101", "mapping values are not allowed"),
        ("inputs: [1, 2", 3, 1, "HF101", "not valid YAML"),
        ("inputs:\n  1: 2", 3, 3, "HF107", "the key 1 is not a word"),
        ("inputs:\n  n: {{ x }}", 3, 7, "HF107", "a key must be a word"),
        ("name: *nowhere", 2, 7, "HF101", "undefined alias"),
        ("name: !thing x", 2, 7, "HF106", "the tag '!thing' does not fit 'x'"),
        ("inputs: &a {b: *a}", 2, 9, "HF105", "an alias that holds itself"),
        ("name: x\n---\nname: y", 3, 1, "HF101", "a second document begins"),
        ('name: "a\\0b"\nx: "\\q"', 3, 5, "HF101", "unknown escape character"),
    ],
)
def test_bad_yaml_is_told_with_its_place(
    faults: Faults, text: str, line: int, column: int, code: str, what: str
) -> None:
    found = next(problem for problem in faults(f"hepflow: v1\n{text}\n") if problem.code == code)
    assert what in found.what
    assert (found.place.line, found.place.column) == (line, column)


def test_an_unquoted_expression_is_told_to_be_quoted(faults: Faults) -> None:
    fixes = [problem.fix for problem in faults("inputs:\n  n: {{ x }}\nsteps: {a: {command: b}}\n")]
    assert 'put quotes around an expression: "{{ ... }}"' in fixes


def test_an_alias_bomb_is_defused(faults: Faults) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    (problem,) = faults("\n".join(lines))
    assert problem.code == "HF105"
    assert problem.what == "aliases repeat more than 20,000 pieces"


@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_bottomless_nesting_is_refused_before_the_parser_falls_in(
    faults: Faults, opening: str
) -> None:
    (problem,) = faults("name:\n  " + opening * 100_000)
    assert problem.code == "HF104"


def test_bottomless_json_is_refused(faults: Faults) -> None:
    (problem,) = faults('{"hepflow": "v1", "x": ' + "[" * 200_000, name="deep.json")
    assert problem.code == "HF104"


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "the file is empty"),
        (b"- a\n- b\n", "a recipe is a mapping of keys"),
        (b"hepflow: v1\nname: \xff\xfe\n", "not UTF-8 text"),
        (b"hepflow: v1\nname: a\x01b\n", "control character"),
    ],
)
def test_what_is_no_recipe_is_told_so(tmp_path: Path, content: bytes, what: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_bytes(content)
    with pytest.raises(RecipeError, match=what):
        NativeLanguage().load(path, LoadOptions())


def test_a_missing_file_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "train.yaml").write_text("hepflow: v1\n")
    with pytest.raises(RecipeError, match=r"did you mean 'train\.yaml'"):
        NativeLanguage().load(tmp_path / "trian.yaml", LoadOptions())


def test_a_folder_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="cannot be read"):
        NativeLanguage().load(tmp_path, LoadOptions())


def test_json_is_read_and_its_faults_have_places(load: Load, faults: Faults) -> None:
    text = '{"hepflow": "v1", "steps": {\n "a": {"command": "true"%s}}}'
    assert load(text % "", name="r.json").steps[0].name == "a"
    (problem,) = faults(text % ', "comand": 1', name="r.json")
    assert (problem.place.line, problem.place.column) == (2, 27)
    (problem,) = faults(text % ', "command": 1', name="r.json")
    assert (problem.code, problem.place.line) == ("HF103", 2)
    (problem,) = faults(text % ",", name="r.json")
    assert (problem.code, problem.place.line) == ("HF101", 2)


def test_claims_asks_for_the_ending_and_the_top_key(tmp_path: Path) -> None:
    language = NativeLanguage()
    for name, text, claimed in [
        ("a.yaml", "# comment\nhepflow: v1\n", True),
        ("a.yml", "'hepflow': v1\n", True),
        ("a.json", '{"hepflow": "v1"}', True),
        ("b.yaml", "cwlVersion: v1.2\nhepflows: 1\n", False),
        ("c.yaml", "a:\n  hepflow: v1\n", False),
        ("a.txt", "hepflow: v1\n", False),
    ]:
        (tmp_path / name).write_text(text)
        assert language.claims(tmp_path / name) is claimed, name
    assert not language.claims(tmp_path / "gone.yaml")


def test_importing_the_language_loads_neither_yaml_nor_jinja() -> None:
    import subprocess

    code = "import sys, hepflow.recipe; print([m for m in ('yaml', 'jinja2') if m in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
