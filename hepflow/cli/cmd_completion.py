"""``hepflow completion``: let the shell complete hepflow's words."""

from __future__ import annotations

import os
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from hepflow.cli.entry import COMPLETION_VARIABLE
from hepflow.cli.group import hepflow, verb

EXAMPLES = """
eval "$(hepflow completion bash)"                                     # this shell only
hepflow completion bash >> ~/.bashrc
hepflow completion zsh >> ~/.zshrc
hepflow completion fish > ~/.config/fish/completions/hepflow.fish
"""
SHELLS = ("bash", "zsh", "fish")


@verb(EXAMPLES)
@click.argument("shell", type=click.Choice(SHELLS), required=False)
def command(shell: str | None) -> int:
    """Print what makes a shell complete verbs, options and files; without SHELL, for yours."""
    name = shell or Path(os.environ.get("SHELL", "")).name
    if name not in SHELLS:
        raise click.UsageError(f"which shell? one of {', '.join(SHELLS)}")
    found = get_completion_class(name)
    assert found is not None  # the three are click's own
    click.echo(found(hepflow, {}, "hepflow", COMPLETION_VARIABLE).source())
    return 0
