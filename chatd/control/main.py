"""The command line of ``chatctl``: each family of commands is a module of its own."""

import sys
from collections.abc import Sequence
from typing import Any, Final

import click

from chatd import __version__
from chatd.control.certificate import certificate
from chatd.control.users import user
from chatd.shellcompletion import completion_command, prepare
from chatd.wire.display import neutralise

_CONTEXT: Final[dict[str, Any]] = {
    "help_option_names": ["-h", "--help"],
    "max_content_width": 88,
}


_EPILOG: Final = """\b
Exit status:
  0  it was done
  1  it could not be done
  2  the command line is wrong
"""


@click.group("chatctl", context_settings=_CONTEXT, epilog=_EPILOG)
@click.version_option(__version__, prog_name="chatctl")
def chatctl() -> None:
    """Look after a chatd."""


chatctl.add_command(certificate)
chatctl.add_command(user)
chatctl.add_command(completion_command("chatctl"))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``chatctl``, and exit with its status.

    What went wrong is one line: 1 is the status of what could not be done, 2 that of a
    wrong command line.
    """
    prepare()
    given = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    try:
        status = chatctl.main(given, prog_name="chatctl", standalone_mode=False)
    except click.ClickException as error:
        line = neutralise(" ".join(error.format_message().split()))
        click.echo(f"chatctl: {line}".encode(errors="replace"), err=True)
        status = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo(err=True)
        status = 130
    sys.exit(status)
