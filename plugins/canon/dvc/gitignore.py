"""Lines of .gitignore that DVC writes for the outs that it keeps (scmrepo/git, ``Git.ignore``)."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from pathlib import Path

from canon.git import ignored_paths
from canon.output.files import load_text, write_text

FILE = ".gitignore"


def ignore_outs(root: Path, paths: Iterable[str]) -> tuple[str, ...]:
    """Let Git ignore outs (paths from the root) that it does not ignore yet; return those files beside them that there are now."""
    wanted = tuple(dict.fromkeys(paths))
    ignored = ignored_paths(root, wanted)
    for path in wanted:
        if path in ignored:
            continue
        folder, name = posixpath.split(path)
        file = posixpath.join(folder, FILE)
        text = load_text(root / file, file) or ""
        begin = text if not text or text.endswith("\n") else f"{text}\n"
        escaped = re.sub(r"([\[\]!*#?])", r"\\\1", name)
        write_text(root / file, f"{begin}/{escaped}\n")
    beside = dict.fromkeys(posixpath.join(posixpath.dirname(path), FILE) for path in wanted)
    return tuple(file for file in beside if (root / file).is_file())
