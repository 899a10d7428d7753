"""Help that teaches, and the nearest right word for a wrong one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click
import pytest
from click.testing import CliRunner

from hepflow import plugins
from hepflow.cli.group import BROUGHT, VERBS, hepflow


def command_of(verb: str) -> click.Command:
    with hepflow.make_context("hepflow", ["--help"], resilient_parsing=True) as context:
        command = hepflow.get_command(context, verb)
    assert command is not None
    return command


def test_the_main_help_names_every_verb_with_its_line() -> None:
    shown = CliRunner().invoke(hepflow, ["--help"]).output
    for verb, line in VERBS.items():
        assert f"{verb:<11} {line}" in shown
    assert "Exit status:" in shown


def test_the_main_help_names_what_adapters_of_ours_bring() -> None:
    assert set(plugins.BUILTIN[plugins.VERBS]) == BROUGHT


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_a_command_with_examples(verb: str) -> None:
    command = command_of(verb)
    assert isinstance(command, click.Command)
    result = CliRunner().invoke(hepflow, [verb, "--help"])
    assert result.exit_code == 0
    assert "Examples:\n  " in result.output
    assert f"hepflow {verb}" in result.output


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_says_what_it_does(verb: str) -> None:
    command = command_of(verb)
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{verb} {parameter.opts}"


# (What 'cwl-runner' prints is JSON as it is.)
@pytest.mark.parametrize("verb", sorted({*VERBS} - {"init", "completion", "cwl-runner"}))
def test_what_a_program_would_read_comes_as_json(verb: str) -> None:
    command = command_of(verb)
    assert "--json" in {name for parameter in command.params for name in parameter.opts}


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("rnu", "did you mean 'run'?"),
        ("staus", "did you mean 'status'?"),
        ("analysis.yaml", "to run this recipe: hepflow run analysis.yaml"),
        ("zzzzzz", "'hepflow --help' lists the verbs"),
    ],
)
def test_a_wrong_verb_gets_the_nearest_right_word(
    call: Callable[..., Any], word: str, hint: str
) -> None:
    ended = call(word)
    assert ended.status == 2
    assert hint in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["run", "x.yaml", "--cpu", "3"], "did you mean '--cpus'?"),
        (["run", "x.yaml", "--simulations", "3"], "given as simulations=VALUE"),
        (["status", "--simulations"], "see 'hepflow status --help'"),
        (["gc", "--older-than", "ages"], "write '30d', '12h', or a number of days"),
        (["run", "x.yaml", "--memory", "lots"], "write '8 GB' or '512 MiB'"),
    ],
)
def test_a_wrong_option_gets_help(
    call: Callable[..., Any], arguments: list[str], hint: str
) -> None:
    ended = call(*arguments)
    assert ended.status == 2
    assert hint in ended.err
    assert "HF300" in ended.err


def test_no_arguments_show_the_help_as_wrong_usage(call: Callable[..., Any]) -> None:
    ended = call()
    assert ended.status == 2
    assert "To begin:" in ended.out


def test_help_is_a_word_too(call: Callable[..., Any]) -> None:
    assert "Usage: hepflow run" in call("help", "run").out
    assert "To begin:" in call("help").out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_printed_for_each_shell(call: Callable[..., Any], shell: str) -> None:
    ended = call("completion", shell)
    assert ended.status == 0
    assert "_HEPFLOW_COMPLETE" in ended.out


def test_completion_asks_which_shell(
    call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHELL", "/bin/tcsh")
    ended = call("completion")
    assert ended.status == 2
    assert "which shell?" in ended.err
