"""Completion in shells: the scripts for bash, zsh and fish, and a command for them.

click has them; two of its scripts are replaced: in the one for bash words such as
``alice@host`` are lost, and in the one for fish what is behind a comma.
"""

import os
from typing import Final

import click
from click.shell_completion import (
    BashComplete,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
    split_arg_string,
)

_BASH: Final = """\
%(complete_func)s() {
    local IFS=$'\\n' line type value
    COMPREPLY=()
    # The words that bash made are of no use: it divides them at @ and : too.
    for line in $(%(complete_var)s=bash_complete \\
        COMP_WORDS="${COMP_LINE:0:COMP_POINT}" "$1" 2>/dev/null); do
        IFS=, read -r type value <<<"$line"
        case $type in
        plain) COMPREPLY+=("$value") ;;
        dir) compopt -o dirnames ;;
        file) compopt -o default ;;
        esac
    done
}

complete -o nosort -F %(complete_func)s %(prog_name)s 2>/dev/null ||
    complete -F %(complete_func)s %(prog_name)s
"""


_FISH: Final = """\
function %(complete_func)s
    for line in (env %(complete_var)s=fish_complete COMP_WORDS=(commandline -cp) \\
            COMP_CWORD=(commandline -t) %(prog_name)s 2>/dev/null)
        set -l found (string split -m 1 , -- $line)
        switch $found[1]
            case dir
                __fish_complete_directories $found[2]
            case file
                __fish_complete_path $found[2]
            case plain
                echo $found[2]
        end
    end
end

complete --no-files --command %(prog_name)s --arguments "(%(complete_func)s)"
"""


class _Bash(BashComplete):
    """Completion in bash, from the line as it was typed."""

    source_template = _BASH

    def source(self) -> str:
        """Return the script; which bash is here says nothing about who will use it."""
        return ShellComplete.source(self)

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words behind the program's name, and the half-typed one."""
        line = os.environ["COMP_WORDS"]
        words = split_arg_string(line)
        incomplete = "" if line[-1:].isspace() or not words else words.pop()
        # Variables may be set before the program.
        while words and "=" in words[0]:
            del words[0]
        return words[1:], incomplete


class _Fish(FishComplete):
    """Completion in fish, of words with commas too."""

    source_template = _FISH


SHELLS: Final[dict[str, type[ShellComplete]]] = {
    "bash": _Bash,
    "zsh": ZshComplete,
    "fish": _Fish,
}

_HELP: Final = """Print a script that makes Tab complete the words of {program}.

To have it in every new shell:

\b
  bash  {program} completion bash \\
          > ~/.local/share/bash-completion/completions/{program}
  zsh   {program} completion zsh > ~/.zfunc/_{program}
        with this in ~/.zshrc: fpath+=~/.zfunc; autoload -Uz compinit; compinit
  fish  {program} completion fish > ~/.config/fish/completions/{program}.fish

The folder has to be there; bash needs its package bash-completion for that. For one
shell only:


  bash, zsh  eval "$({program} completion bash)", or zsh
  fish       {program} completion fish | source
"""


def prepare() -> None:
    """Make this module's way for bash the one that counts; before a command runs."""
    add_completion_class(_Bash)


def completion_command(program: str) -> click.Command:
    """Return a command that prints the script of a program."""

    @click.command("completion", help=_HELP.format(program=program))
    @click.argument("shell", type=click.Choice(list(SHELLS)))
    @click.pass_context
    def completion(ctx: click.Context, shell: str) -> None:
        variable = f"_{program.upper()}_COMPLETE"
        script = SHELLS[shell](ctx.find_root().command, {}, program, variable)
        click.echo(script.source(), nl=False)

    completion.context_settings["help_option_names"] = ["-h", "--help"]
    return completion
