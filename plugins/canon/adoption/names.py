"""Names of pipelines that are made from those of folders."""

from __future__ import annotations

import posixpath
import re
import unicodedata
from collections.abc import Collection

from canon.model.project import DVCS_OWN

LONGEST = 40
"""Most characters of a pipeline's name (`canon.model.declaration`)."""
_RESERVED = {file.rpartition(".")[0] for file in DVCS_OWN}


def name_from_text(text: str) -> str:
    """A pipeline's name that is like a text: small letters, digits and `-`, a letter first; `pipeline` where nothing is left of it."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    name = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    if name and not name[0].isalpha():
        name = f"p-{name}"
    name = name[:LONGEST].strip("-")
    return f"{name}-pipeline" if name in _RESERVED else name or "pipeline"


def name_of_folder(folder: str, root: str, taken: Collection[str]) -> str:
    """The name of the pipeline whose dvc.yaml is in a folder (``""``: the root, which is called ``root``); none that is taken.

    The folder's own name, where that is taken its whole path, then with a number.
    """
    candidates = (
        [name_from_text(posixpath.basename(folder)), name_from_text(folder)] if folder else [name_from_text(root)]
    )
    for name in candidates:
        if name not in taken:
            return name
    number = 2
    while True:
        end = f"-{number}"
        name = f"{candidates[-1][: LONGEST - len(end)].strip('-')}{end}"
        if name not in taken:
            return name
        number += 1
