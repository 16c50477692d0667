"""The post-commit hook: rows of results get the commit that they were made from, without anybody waiting for it.

It starts `canon log` in the background and forgets it: a commit is neither slowed nor failed. During a rebase it does nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from canon.git import check_repository, run_git
from canon.model.errors import CanonError
from canon.output.files import load_text, write_bytes

FIRST, LAST = "# >>> canon >>>", "# <<< canon <<<"
NAME = "post-commit"
_OURS = re.compile(f"{FIRST}.*?{LAST}\n?", re.DOTALL)
_SHELLS = re.compile(r"#!\s*(?:/usr)?(?:/local)?/bin/(?:env\s+)?(?:ba|da|z|k)?sh\b")


@dataclass(frozen=True, slots=True)
class Hook:
    """What is to stand in a hook's file; ``is_new``: it does not yet."""

    file: Path
    text: str
    is_new: bool


def hook_lines() -> str:
    """The lines of the hook.

    `git commit FILE` has an index of its own that is gone afterwards: what Git says in the environment is for the commit alone.
    """
    return (
        f"{FIRST}\n"
        "# Rows of results get the commit that they were made from. In the background; a commit never waits for it, nor fails by it.\n"
        'if command -v canon >/dev/null 2>&1 && ! [ -d "$(git rev-parse --git-path rebase-merge)" ]; then\n'
        '  (cd "$(git rev-parse --show-toplevel)" && unset $(git rev-parse --local-env-vars) && exec canon log) </dev/null >/dev/null 2>&1 &\n'
        "fi\n"
        f"{LAST}\n"
    )


def hook_file(root: Path) -> Path:
    """Where Git looks for the hook. Raises CanonError where the project is not the whole checkout, and where hooks of all repositories lie."""
    check_repository(root)
    common, folder = (
        run_git(root, "rev-parse", "--path-format=absolute", *wanted).decode("utf-8", "surrogateescape").removesuffix("\n")
        for wanted in (["--git-common-dir"], ["--git-path", "hooks"])
    )  # fmt: skip
    place = Path(folder).resolve()
    if not any(place.is_relative_to(each) for each in (Path(common).resolve(), root.resolve())):
        raise CanonError(
            f"core.hooksPath is {folder}, whose hooks are those of other repositories, too; add these lines to {NAME} there yourself, "
            f"and leave --hook out:\n{hook_lines()}"
        )
    return Path(folder) / NAME


def plan_hook(root: Path) -> Hook:
    """The hook with our lines in it, once, behind its first line: one that ends early runs them all the same.

    Raises CanonError as `hook_file` does, for a hook that is no shell script, and for a link that would have to change.
    """
    file = hook_file(root)
    try:
        text = load_text(file)
    except CanonError:
        text = "\0"
    wanted = _with_lines(file, text)
    is_new = text != wanted or not file.stat().st_mode & 0o100
    if is_new and file.is_symlink():
        raise CanonError(f"{file} is a link; replace it by what it points to, then run `canon init --hook` again")
    return Hook(file, wanted, is_new)


def install_hook(hook: Hook) -> None:
    """Write the hook. Raises CanonError where it cannot be written."""
    if hook.is_new:
        write_bytes(hook.file, hook.text.encode())
        hook.file.chmod(0o755)


def _with_lines(file: Path, text: str | None) -> str:
    lines = hook_lines()
    if not text:
        return f"#!/bin/sh\n{lines}"
    renewed, count = _OURS.subn(lambda _: lines, text, count=1)
    if count:
        return renewed
    first, _, rest = text.partition("\n")
    if not _SHELLS.match(first):
        raise CanonError(f"{file} is there already, and no shell script; let it do what these lines do:\n{lines}")
    return f"{first}\n{lines}{rest}"
