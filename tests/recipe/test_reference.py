"""The reference stays true: its recipes load, it names every key and code, and the schema agrees."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest

from hepflow.model.protocols import LoadOptions
from hepflow.recipe import (
    NativeLanguage,
    context,
    inputs,
    links,
    modifiers,
    products,
    starter,
    steps,
    workflows,
)
from hepflow.recipe.yaml_nodes import load_yaml
from tests.recipe.test_faults import CASES
from tests.recipe.test_issue_recipes import NUMBERS, TWO_MOONS

ROOT = Path(__file__).resolve().parent.parent.parent
REFERENCE = (ROOT / "docs/recipe-reference.md").read_text(encoding="utf-8")
SCHEMA = json.loads((ROOT / "hepflow/recipe/schema.json").read_text(encoding="utf-8"))
BLOCK = re.compile(r"(?:<!-- file: (\S+) -->\n)?```(\w+)\n(.*?)```", re.DOTALL)
BLOCKS = [match.groups() for match in BLOCK.finditer(REFERENCE)]
RECIPES = [text for _, language, text in BLOCKS if language == "yaml"]
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the files that the reference's recipes use."""
    for name, _, text in BLOCKS:
        if name:
            (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("text", RECIPES, ids=range(len(RECIPES)))
def test_every_recipe_of_the_reference_loads(folder: Path, text: str) -> None:
    path = folder / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    assert NativeLanguage().load(path, LoadOptions()).steps


@pytest.mark.parametrize("text", [*RECIPES, NUMBERS, TWO_MOONS, starter()])
def test_the_schema_knows_what_the_language_knows(text: str) -> None:
    data, _, _ = load_yaml(text, "recipe.yaml")
    errors = [f"{error.json_path}: {error.message}" for error in VALIDATOR.iter_errors(data)]
    assert errors == []


@pytest.mark.parametrize(
    "text",
    ["steps: {a: {comand: x}}", "steps: {a: {command: 5}}", "stepps: {}", "steps: {a: {command: x, resources: {cpu: 1}}}",
     "steps: {a: {command: x, method: sideways}}", "steps: {}", "steps: {a: {command: x, script: y}}"],
)  # fmt: skip
def test_the_schema_refuses_what_is_no_recipe(text: str) -> None:
    data, _, _ = load_yaml(f"hepflow: v1\n{text}", "recipe.yaml")
    assert not VALIDATOR.is_valid(data)


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_the_schema_has_the_keys_of_the_language() -> None:
    definitions = SCHEMA["$defs"]
    for name, keys in {
        "step": steps.KEYS,
        "input": inputs.KEYS,
        "output": products.KEYS,
        "loop": steps.LOOP_KEYS,
        "resources": modifiers.RESOURCE_KEYS,
        "defaults": modifiers.DEFAULT_KEYS,
        "body": workflows.BODY_KEYS,
    }.items():
        assert set(definitions[name]["properties"]) == set(keys), name
    assert set(SCHEMA["properties"]) == set(workflows.KEYS)


def test_the_reference_names_every_key() -> None:
    keys = {*steps.KEYS, *inputs.KEYS, *products.KEYS, *links.KEYS, *steps.LOOP_KEYS, *workflows.KEYS,
            *modifiers.RESOURCE_KEYS, *modifiers.RETRY_KEYS}  # fmt: skip
    assert [key for key in sorted(keys) if not re.search(rf"\b{key}\b", REFERENCE)] == []


def test_the_reference_lists_every_code_that_is_raised() -> None:
    source = "".join(path.read_text() for path in (ROOT / "hepflow/recipe").glob("*.py"))
    raised = set(re.findall(r'"(HF[12]\d\d)"', source))
    listed = set(re.findall(r"^\| (HF\d+) \|", REFERENCE, re.MULTILINE))
    assert raised == listed


def test_every_code_of_a_faulty_recipe_has_a_case() -> None:
    listed = set(re.findall(r"^\| (HF2\d+) \|", REFERENCE, re.MULTILINE))
    # HF214 (profiles) and HF226 (languages) need more than a file: they have tests of their own.
    assert listed - {case[3] for case in CASES.values()} == {"HF214", "HF226"}


def test_words_of_other_tools_lead_to_words_of_ours() -> None:
    assert set(context.SYNONYMS.values()) <= {*steps.KEYS, *workflows.KEYS}
