"""Changes to a baked image, by tar and json, with all digests made to fit again; nothing of Canon's takes part."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.e2e.faults import assert_said, canon
from tests.images import files_of, retarred

SOURCE = "opt/canon/src"
PROVENANCE = "opt/canon/provenance.json"
WEIGHTS = f"{SOURCE}/model/parts/weights.json"
Files = dict[str, bytes]
CODE, MODEL, RECORD = 1, 2, 3
"""Layers of `served_project` as it is baked, by number; the last one has the provenance."""


def failed(root: Path, digest: str, *arguments: str) -> dict[str, str]:
    """The lines of the proof that do not hold, with what they say."""
    done = canon(root, "image", "verify", f"oci:../made@{digest}", "--json", *arguments, code=1)
    document = json.loads(done.stdout)
    assert not document["verified"]
    found = {check["name"]: check["detail"] for check in document["checks"] if check["status"] == "FAILED"}
    assert_said(done.stderr, "is not what it says: " + ", ".join(found))
    return found


def in_layer(number: int, change: Callable[[Files], object], tmp_path: Path) -> Callable[[list[bytes]], list[bytes]]:
    """Change the files of one layer."""

    def changed(layers: list[bytes]) -> list[bytes]:
        layers[number] = retarred(layers[number], change, tmp_path / "layer")
        return layers

    return changed


def in_both(change: Callable[[Files, Files], object], tmp_path: Path) -> Callable[[list[bytes]], list[bytes]]:
    """Change the files of the model's layer and those beside the provenance, which follow from each other."""

    def changed(layers: list[bytes]) -> list[bytes]:
        beside = {path: content for path, (kind, content) in files_of(layers[RECORD]).items() if kind.isdigit()}

        def both(files: Files) -> None:
            change(files, beside)

        layers[MODEL] = retarred(layers[MODEL], both, tmp_path / "model")
        layers[RECORD] = retarred(layers[RECORD], lambda files: files.update(beside), tmp_path / "record")
        return layers

    return changed


def edit(change: Callable[[dict[str, Any]], object]) -> Callable[[Files], None]:
    """Change the provenance, and write it as canonically as it was."""

    def changed(files: Files) -> None:
        document = json.loads(files[PROVENANCE])
        change(document)
        files[PROVENANCE] = canonical(document) + b"\n"

    return changed


def canonical(value: object) -> bytes:
    """JSON as Canon writes it."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def exchange_model(files: Files, beside: Files) -> dict[str, str]:
    """Exchange the model, and let every hash of the record follow; return the labels that follow, too."""
    document = json.loads(beside[PROVENANCE])
    files[WEIGHTS] = files[WEIGHTS].replace(b"0.5", b"0.7")
    file = document["model"]["files"]["parts/weights.json"]
    file["sha256"] = hashlib.sha256(files[WEIGHTS]).hexdigest()
    file["md5"] = hashlib.md5(files[WEIGHTS], usedforsecurity=False).hexdigest()
    document["artifacts"]["net"]["parts/weights.json"] = file["sha256"]
    parts = ("pipeline", "params", "metrics", "pins", "entries", "artifacts")
    document["result"] = hashlib.sha256(canonical({"schema": 1} | {key: document[key] for key in parts})).hexdigest()
    beside[PROVENANCE] = canonical(document) + b"\n"
    listed = sorted([path, each["sha256"]] for path, each in document["model"]["files"].items())
    return {"canon.result": document["result"], "canon.model": hashlib.sha256(canonical(listed)).hexdigest()}
