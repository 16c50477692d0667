"""The command `canon`: commands forward, errors become exit codes here and nowhere else."""

from __future__ import annotations

import errno
import gc
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated

import typer

from canon import __version__
from canon.cli.console import prepare_streams, say
from canon.cli.opening import refuse_all_but_files
from canon.data.interrupts import ended_by_sigterm
from canon.model.errors import CanonError, printable

COMMANDS = {
    "init": ("init",),
    "files": ("check", "render", "schema"),
    "graph": ("graph",),
    "data": ("data", "profile"),
    "results": ("track", "log"),
    "experiment": ("experiment",),
    "run": ("run",),
    "plan": ("plan",),
    "submit": ("submit",),
    "sweep": ("sweep",),
    "step": ("step",),
    "image": ("image",),
    "release": ("release", "promote", "rollback"),
    "history": ("history", "diff"),
    "serve": ("serve",),
    "status": ("status",),
}
"""Modules beside this one, and the commands that each adds, in the order of `canon --help`."""
app = typer.Typer(
    name="canon",
    help="GitOps for machine learning: one declaration, run by DVC and Argo, recorded in MLflow.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"canon {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options before the command."""
    del version
    if debug:
        os.environ["CANON_DEBUG"] = "1"


def _register(arguments: Sequence[str]) -> None:
    """Add the command that is asked for, all of them for help, completion and mistakes: a pod waits for each module that is loaded."""
    asked = next((each for each in arguments if not each.startswith("-")), "")
    chosen = [module for module, names in COMMANDS.items() if asked in names]
    for module in chosen or COMMANDS:
        import_module(f"canon.cli.{module}").register(app)


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 a problem in the project or a failed stage, 2 wrong usage, 130 interrupted."""
    # The collector looks through all that is imported again and again, and once more at the end: a fifth of a short command.
    gc.set_threshold(20_000, 20, 50)
    prepare_streams()
    refuse_all_but_files()
    _register(sys.argv[1:])
    try:
        with ended_by_sigterm():
            app(standalone_mode=True)
    except CanonError as error:
        if os.environ.get("CANON_DEBUG"):
            raise
        text = printable(str(error))  # images, registries and files of others have their words in it
        say(f"canon: {text}" if "\n" not in text else f"canon:\n{text}")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        say("canon: interrupted")
        sys.exit(130)
    except OSError as error:
        if os.environ.get("CANON_DEBUG"):
            raise
        remedy = (
            "make room"
            if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
            else "look at its rights and its disk"
        )
        say(f"canon: {error.filename or 'the output'}: {error.strerror or error}; {remedy}")
        sys.exit(1)
    finally:
        gc.freeze()


if __name__ == "__main__":
    main()
