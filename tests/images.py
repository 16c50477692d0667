"""Image layouts written and read with nothing of Canon: json, hashlib, tarfile."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import subprocess
import tarfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
PYTHON: Mapping[str, str | bytes] = {"usr/local/bin/python3.11": b"never run", "usr/local/bin/python3": "-> python3.11"}
"""The files of a base that has a Python; ``-> target`` is a link."""


def add_blob(layout: Path, content: bytes, media_type: str) -> dict[str, Any]:
    """Store bytes; return their descriptor."""
    name = hashlib.sha256(content).hexdigest()
    folder = layout / "blobs/sha256"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    return {"mediaType": media_type, "digest": f"sha256:{name}", "size": len(content)}


def tar_of(files: Mapping[str, str | bytes]) -> bytes:
    """A tar of files and links, as a tool that is not ours writes it."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for path, content in files.items():
            info = tarfile.TarInfo(path)
            if isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content.removeprefix("-> ")
                tar.addfile(info)
            else:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def write_index(layout: Path, manifests: Iterable[Mapping[str, Any]]) -> None:
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (layout / "index.json").write_text(
        json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": list(manifests)})
    )


def make_image(layout: Path, *layers: Mapping[str, str | bytes], compress: bool = False, **settings: Any) -> str:
    """Write a layout with one image; return its digest, which depends on the zlib of this machine when it is compressed."""
    layout.mkdir(parents=True, exist_ok=True)
    tars = [tar_of(files) for files in (layers or (PYTHON,))]
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Env": ["PATH=/usr/local/bin:/usr/bin"], "Cmd": ["python3"], **settings},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(tar).hexdigest()}" for tar in tars]},
        "history": [{"created_by": "a base"} for _ in tars],
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": add_blob(layout, json.dumps(config).encode(), CONFIG),
        "layers": [
            add_blob(layout, gzip.compress(tar, mtime=0) if compress else tar, LAYER + "+gzip" * compress)
            for tar in tars
        ],
    }
    descriptor = add_blob(layout, json.dumps(manifest).encode(), MANIFEST)
    write_index(layout, [descriptor])
    return str(descriptor["digest"])


def read_blob(layout: Path, digest: str) -> bytes:
    """A blob's bytes, which must have that digest."""
    content = (layout / "blobs" / digest.replace(":", "/", 1)).read_bytes()
    assert f"sha256:{hashlib.sha256(content).hexdigest()}" == digest
    return content


def read_image(layout: Path, digest: str) -> tuple[dict[str, Any], dict[str, Any], list[bytes]]:
    """Manifest, configuration, and the layers as stored; every size and digest is checked."""
    manifest = json.loads(read_blob(layout, digest))
    layers = []
    for descriptor in (manifest["config"], *manifest["layers"]):
        content = read_blob(layout, descriptor["digest"])
        assert len(content) == descriptor["size"]
        layers.append(content)
    return manifest, json.loads(layers[0]), layers[1:]


def files_of(layer: bytes) -> dict[str, tuple[str, bytes]]:
    """Path → mode and content of a layer's files, ``->`` and target of its links, ``/`` of its folders."""
    found: dict[str, tuple[str, bytes]] = {}
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        for member in tar:
            assert (member.uid, member.gid, member.mtime, member.uname, member.gname) == (0, 0, 0, "", "")
            assert member.name not in found
            file = tar.extractfile(member) if member.isreg() else None
            kind = f"{member.mode:o}" if file else "->" if member.issym() else "/"
            found[member.name] = (kind, file.read() if file else member.linkname.encode())
    return found


def forge(
    layout: Path,
    digest: str,
    *,
    layers: Callable[[list[bytes]], list[bytes]] = lambda layers: layers,
    config: Callable[[dict[str, Any]], object] = lambda config: config,
) -> str:
    """Change layers or configuration of an image as somebody would who knows the format: all digests fit again. Return its new one."""
    manifest, settings, old = read_image(layout, digest)
    new = layers(list(old))
    config(settings)
    settings["rootfs"]["diff_ids"] = [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in new]
    manifest["config"] = add_blob(layout, json.dumps(settings).encode(), CONFIG)
    manifest["layers"] = [add_blob(layout, layer, LAYER) for layer in new]
    descriptor = add_blob(layout, json.dumps(manifest).encode(), MANIFEST)
    index = json.loads((layout / "index.json").read_text())
    write_index(layout, [*index["manifests"], descriptor])
    return str(descriptor["digest"])


def retarred(layer: bytes, change: Callable[[dict[str, bytes]], object], folder: Path) -> bytes:
    """Unpack a layer by the system's tar, change its files, pack it again as a layer is packed: sorted, of nobody, of time 0."""
    folder.mkdir(parents=True)
    subprocess.run(["tar", "-xf", "-", "-C", folder], input=layer, check=True)
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    before = dict(files)
    change(files)
    for path in before.keys() - files.keys():
        (folder / path).unlink()
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        if before.get(path) != content:
            (folder / path).write_bytes(content)
    tops = sorted({path.split("/")[0] for path in files})
    options = ("--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mtime=@0", "--format=posix",
               "--pax-option=delete=atime,delete=ctime")  # fmt: skip
    done = subprocess.run(
        ["tar", *options, "-cf", "-", "-C", folder, "-T", "/dev/null", *tops], check=True, capture_output=True
    )
    return done.stdout
