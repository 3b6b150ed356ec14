"""`greenflow completion`: the script with which a shell completes commands, options and names."""

from __future__ import annotations

import click

from greenflow.cli.completing import VARIABLE


@click.command("completion", short_help="Write the completion script of a shell.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Writes a script that completes commands, options, kinds and the names of stored specs.

    \b
    bash: eval "$(greenflow completion bash)"      in ~/.bashrc
    zsh:  eval "$(greenflow completion zsh)"       in ~/.zshrc, after compinit
    fish: greenflow completion fish >~/.config/fish/completions/greenflow.fish
    """
    from click.shell_completion import get_completion_class

    of_shell = get_completion_class(shell)
    assert of_shell is not None  # click has all of the choices
    commands = click.get_current_context().find_root().command
    click.echo(of_shell(commands, {}, "greenflow", VARIABLE).source(), nl=False)
