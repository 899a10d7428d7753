"""The verbs: what there is, without importing any of it.

Ours are a module each; plug-ins may bring others (entry points ``hepflow.verbs``).
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from typing import Any, Final

import click
from click.shell_completion import CompletionItem

from hepflow import __version__

SECTIONS: Final[dict[str, dict[str, str]]] = {
    "To begin": {
        "init": "Write a commented starter recipe.",
        "recipes": "List the recipes that come with hepflow, or copy one.",
        "site": "List, show or check the places where recipes can run.",
        "doctor": "Show what is installed and what can be used.",
        "completion": "Print what makes your shell complete hepflow's words.",
    },
    "To run": {
        "validate": "Check a recipe and its inputs; run nothing.",
        "plan": "Show what would run, what is reused, and why.",
        "simulate": "Predict what a run would take and cost.",
        "run": "Run a recipe.",
        "resume": "Go on with a run that was stopped or failed.",
        "retry": "Run failed or named steps of a run again.",
        "cancel": "End a run that is going on.",
        "export": "Write a recipe in another workflow language.",
        "cwl-runner": "Run a CWL document as every CWL runner does.",
    },
    "To look": {
        "list": "List the runs of this project.",
        "status": "Show how far a run is.",
        "logs": "Show what tasks printed.",
        "explain": "Say why a task ran, was reused, waits or failed.",
        "outputs": "Show what a run produced.",
        "metrics": "Show the numbers a run ended with, or compare two.",
        "report": "Write a run as one HTML page.",
        "test": "Check a run of a reana.yaml by the feature files that it names.",
    },
    "To tidy": {
        "gc": "Remove old runs and the files only they need.",
    },
}
BROUGHT: Final = frozenset({"cwl-runner", "test"})
"""Those of the verbs above that an adapter of ours brings."""

VERBS: Final = {verb: line for verbs in SECTIONS.values() for verb, line in verbs.items()}
RECIPE_ENDINGS: Final = (".yaml", ".yml", ".cwl", ".json")

MAIN_HELP: Final = "hepflow runs somebody's analysis, on whatever machine you have."
MAIN_EXAMPLES: Final = """
hepflow init                               # a starter recipe, recipe.yaml
hepflow plan recipe.yaml                   # what would run, and why
hepflow run recipe.yaml n=100              # run it, with the input n set
hepflow run recipe.yaml n=100              # again: everything is reused
hepflow status                             # how far the latest run is
hepflow logs                               # what its failed tasks printed
hepflow resume                             # go on after a failure or Ctrl-C
"""
EXIT_STATUS: Final = """
0 done   1 a task failed   2 wrong usage   3 invalid recipe or input
4 a site, executor or library is not available   130 interrupted
"""


class Verb(click.Command):
    """A verb whose help ends with examples."""

    def __init__(self, *args: Any, examples: str = "", **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.examples = examples

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        write_block(formatter, "Examples", self.examples)


class Verbs(click.Group):
    """The group of all verbs; a verb's module is imported when the verb is invoked."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name.startswith("-"):  # 'hepflow help' has become 'hepflow --help'
            return None
        found: object
        if cmd_name in VERBS and cmd_name not in BROUGHT:
            found = importlib.import_module(f"hepflow.cli.cmd_{cmd_name}").command
        else:
            from hepflow import plugins

            found = plugins.load_verb(cmd_name)
        assert isinstance(found, click.Command)
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        word = args[0]
        if word == "help":
            args = [*args[1:2], "--help"]
            word = args[0]
        if not word.startswith("-") and not _is_verb(word):
            raise click.UsageError(_unknown_verb(word), ctx)
        return super().resolve_command(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The verbs by what one wants to do, then the options, of which there are hardly any."""
        for title, verbs in SECTIONS.items():
            write_block(
                formatter, title, "\n".join(f"{name:<11} {line}" for name, line in verbs.items())
            )
        click.Command.format_options(self, ctx, formatter)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        write_block(formatter, "Examples", MAIN_EXAMPLES)
        write_block(formatter, "Exit status", EXIT_STATUS)
        formatter.write("\n'hepflow VERB --help' shows a verb's options, with examples.\n")

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """From the table: completing a verb must not import them all."""
        if incomplete.startswith("-"):
            return click.Command.shell_complete(self, ctx, incomplete)
        return [
            CompletionItem(verb, help=line)
            for verb, line in VERBS.items()
            if verb.startswith(incomplete)
        ]


def verb(examples: str, **attributes: Any) -> Callable[[Callable[..., Any]], click.Command]:
    """Makes a function a verb; its docstring is the help text."""
    return click.command(cls=Verb, examples=examples, **attributes)


def write_block(formatter: click.HelpFormatter, title: str, text: str) -> None:
    """A titled block whose lines stay as they are."""
    lines = text.strip("\n").splitlines()
    if lines:
        formatter.write(f"\n{title}:\n" + "".join(f"  {line}\n" for line in lines))


def _is_verb(word: str) -> bool:
    """Whether we or a plug-in have a verb; who has plug-ins is asked last, for it takes time."""
    if word in VERBS:
        return True
    from hepflow import plugins

    return word in plugins.names(plugins.VERBS)


def _unknown_verb(word: str) -> str:
    if word.lower().endswith(RECIPE_ENDINGS) or os.path.isfile(word):
        return f"'{word}' is not a verb; to run this recipe: hepflow run {word}"
    from difflib import get_close_matches

    near = get_close_matches(word, VERBS, n=1, cutoff=0.5)
    hint = f"; did you mean '{near[0]}'?" if near else "; 'hepflow --help' lists the verbs"
    return f"there is no verb '{word}'{hint}"


@click.group(
    cls=Verbs,
    help=MAIN_HELP,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    subcommand_metavar="VERB [ARGUMENTS]",
)
@click.version_option(__version__, "-V", "--version", message="hepflow %(version)s")
def hepflow() -> None:
    """The root of all verbs; does nothing itself."""
