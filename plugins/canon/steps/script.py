"""The script that `main` runs in the user's image: POSIX sh, and nothing that is not in every image with a shell."""

from __future__ import annotations

import json
import posixpath
import shlex
from collections.abc import Mapping, Sequence

from canon.model.cluster import REFUSED
from canon.model.stage import Stage
from canon.steps.places import Places

_ENDS = "trap 'exit 143' TERM"
"""A shell that gets SIGTERM waits for its command, and then ends."""
NOTHING = "#!/bin/sh\nexit 0\n"
"""For a task of which nothing has to run."""


def format_script(stages: Sequence[Stage], first: int, places: Places, tags: Mapping[str, str]) -> str:
    """The script of a task's stages from number ``first`` on. ``tags``: what users' own MLflow runs are told.

    Each stage's commands run as DVC runs them: one after the other, each by `/bin/sh -c`, from the stage's folder, until one fails. Its exit
    code is written at once and whole; before the next stage it waits for a word of `push`.

    SIGTERM reaches shells and command alike. The shells wait for the command, which may have something to put in order and would end with them; and
    such a stage is not done, whatever exit code the command makes of it.
    """
    lines = ["#!/bin/sh", "# Made by `canon step pull`.", _ENDS]
    for number in range(first, len(stages)):
        running = _running(stages[number], number, places, tags)
        lines += running if number == first else _after_word(running, number, places)
    return "\n".join([*lines, "exit 0"]) + "\n"


def _running(stage: Stage, number: int, places: Places, tags: Mapping[str, str]) -> list[str]:
    folder = posixpath.normpath(posixpath.join(str(places.code), stage.folder))
    exit_file = str(places.exit_file(number))
    own = json.dumps({**tags, "canon.stage": stage.name}, sort_keys=True)
    commands = (stage.cmd,) if isinstance(stage.cmd, str) else stage.cmd
    lines = ["(", f"  {_ENDS}"]  # of the shell around it, a subshell keeps no trap
    lines += [f"  cd {shlex.quote(folder)} || exit 1"]
    variables = {"DVC_ROOT": str(places.code), "DVC_STAGE": stage.name, "MLFLOW_RUN_CONTEXT": own}
    lines += [f"  export {name}={shlex.quote(value)}" for name, value in variables.items()]
    lines += [f"  /bin/sh -c {shlex.quote(_ENDS + chr(10) + command)} || exit $?" for command in commands]
    lines += [")", "code=$?"]
    lines += [
        f'echo "$code" > {shlex.quote(exit_file + ".tmp")} && mv {shlex.quote(exit_file + ".tmp")} {shlex.quote(exit_file)}'
    ]
    lines += ['[ "$code" = 0 ] || exit "$code"']
    return lines


def _after_word(running: Sequence[str], number: int, places: Places) -> list[str]:
    """Wait for `push`, which saves the stage before and says what becomes of this one: `run`, `hit`, or `refused` where it cannot save that one."""
    go = shlex.quote(str(places.go_file(number)))
    return [
        f"while [ ! -e {go} ]; do sleep 0.2 2>/dev/null || sleep 1; done",  # POSIX knows whole seconds alone
        f'[ "$(cat {go})" != refused ] || exit {REFUSED}',
        f'if [ "$(cat {go})" = run ]; then',
        *running,
        "fi",
    ]
