"""Pictures of declarations, committed, so that a change shows in review; GitHub draws the Mermaid ones.

`make golden` writes them anew.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from dvc.repo import Repo

from canon.drawing.build import build_picture, load_releases
from canon.drawing.mermaid import format_mermaid
from canon.drawing.svg import format_svg
from canon.model.project import load_project
from tests.conftest import ROOT, git
from tests.golden.test_golden import HERE, compare

CASES = ("deployed", "templating", "folder")


def test_the_pictures_of_declarations_are_what_is_committed(tmp_path: Path) -> None:
    found: dict[str, str] = {}
    for case in CASES:
        root = tmp_path / case
        shutil.copytree(HERE / case / "project", root)
        git(root, "init", "-q")
        Repo.init(os.fspath(root)).close()
        found |= texts(root, case)
    compare(found | texts(ROOT, "reference"), HERE / "graph")


def texts(root: Path, case: str) -> dict[str, str]:
    project = load_project(root)
    picture = build_picture(project, None, load_releases(project))
    return {
        f"{case}.md": f"```mermaid\n{format_mermaid(picture)}```\n",
        f"{case}.svg": format_svg(picture),
    }
