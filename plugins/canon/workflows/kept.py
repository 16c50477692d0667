"""What Hera built, kept below `.dvc/tmp`: importing Hera takes as long as rendering everything else."""

from __future__ import annotations

import contextlib
import hashlib
import json
from importlib.metadata import version
from pathlib import Path

import canon.argo
import canon.manifests
from canon.argo.render import Manifests, build_manifests
from canon.argo.workflow import Frame
from canon.git import holds
from canon.model import cluster
from canon.model.errors import CanonError
from canon.output.files import write_bytes

FOLDER = ".dvc/tmp/canon/manifests"
MOST = 64
"""Files that are kept, the newest."""


def kept_manifests(root: Path, frame: Frame) -> Manifests:
    """The manifests of a frame: those that the same code and the same Hera built before, or new ones, which are kept then.

    Those that Git tracks are not believed: `canon render --check` would find what a branch says in them.
    """
    folder = root / FOLDER
    place = folder / f"{_key(frame)}.json"
    with contextlib.suppress(OSError, ValueError):
        digest, _, content = place.read_bytes().partition(b"\n")
        if digest.decode() == hashlib.sha256(content).hexdigest() and not holds(root, FOLDER):
            found: Manifests = json.loads(content)
            return found
    manifests = build_manifests(frame)
    if (root / ".dvc").is_dir():
        with contextlib.suppress(OSError, CanonError):  # a folder that is only read: then it takes longer the next time
            content = json.dumps(manifests).encode()
            write_bytes(place, hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
            files = sorted(folder.glob("*.json"), key=lambda file: file.stat().st_mtime)
            for file in files[:-MOST]:
                file.unlink()
    return manifests


def _key(frame: Frame) -> str:
    """Names the frame, and the code that builds it: a change there must show at once."""
    folders = (Path(package.__path__[0]) for package in (canon.argo, canon.manifests))
    sources = [*(file for folder in folders for file in folder.glob("*.py")), Path(str(cluster.__file__))]
    digest = hashlib.sha256(f"{version('hera-workflows')}\n{frame.key}\n".encode())
    for file in sorted(sources):
        digest.update(file.read_bytes())
    return digest.hexdigest()
