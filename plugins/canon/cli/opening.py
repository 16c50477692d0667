"""What a command opens has to be a file: a pipe of that name would let it wait for ever, and `/dev/zero` behind a link fill the memory.

Most files are opened by DVC and other libraries, wherever they find them: so Python itself is asked, by its audit event `open`
(https://docs.python.org/3/library/audit_events.html). Who names something below /dev or /proc means it.
"""

from __future__ import annotations

import os
import stat
import sys

from canon.model.errors import Problem, ProblemsError

_KINDS = {stat.S_IFIFO: "named pipe", stat.S_IFSOCK: "socket", stat.S_IFCHR: "device", stat.S_IFBLK: "device"}
_installed: list[bool] = []


def refuse_all_but_files() -> None:
    """Let every `open` of this process, from now on, raise ProblemsError for what is neither a file nor a folder."""
    if not _installed:  # a hook stays for good
        _installed.append(True)
        sys.addaudithook(_look)


def _look(event: str, arguments: tuple[object, ...]) -> None:
    if event != "open":
        return
    path, _, flags = arguments
    if not isinstance(path, str | bytes) or (isinstance(path, str) and path.endswith(".pyc")):  # Python's own modules
        return
    if isinstance(flags, int) and flags & os.O_NONBLOCK:  # that one does not wait
        return
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116  called for each file: a Path costs more than this
    except (OSError, ValueError):  # said by the `open` itself
        return
    kind = _KINDS.get(stat.S_IFMT(mode))
    if kind is None:
        return
    name = os.fsdecode(path)
    if name.startswith(("/dev/", "/proc/")):
        return
    here = os.path.join(os.getcwd(), "")  # noqa: PTH109, PTH118  as above
    link = "a link to a " if os.path.islink(name) else "a "  # noqa: PTH114
    raise ProblemsError(
        [
            Problem(
                file=name.removeprefix(here), message=f"is {link}{kind}, and a file is expected", remedy="move it away"
            )
        ]
    )
