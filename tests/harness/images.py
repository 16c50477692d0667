"""Images by reference: layouts that a test gives, or a registry on loopback; each unpacked once for all workflows of a session."""

from __future__ import annotations

import json
import os
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.containers import unpack
from tests.harness.errors import HangsError
from tests.images import MANIFEST, add_blob, read_blob

ACCEPT = f"{MANIFEST}, application/vnd.docker.distribution.manifest.v2+json"
LOOPBACK = ("127.0.0.1", "localhost")
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Image:
    """An image: where it is unpacked, where its layout is (podman needs one), and the settings of its config file.

    ``binds``: path in it → file or folder of this machine that is seen there, only to be read.
    """

    root: Path
    layout: Path | None
    digest: str
    config: Mapping[str, Any]
    binds: Mapping[str, Path] = field(default_factory=dict)

    @property
    def env(self) -> dict[str, str]:
        return dict(line.split("=", 1) for line in self.config.get("Env") or ())


class Images:
    """The images of a session below one folder. ``given``: reference → layout and digest, or an image that is unpacked; may grow at any time."""

    def __init__(self, folder: Path, given: Mapping[str, tuple[Path, str] | Image] | None = None) -> None:
        self._folder = folder
        self.given = dict(given or {})
        self._found: dict[str, Image] = {}
        self._lock = threading.Lock()

    def find(self, reference: str) -> Image:
        """The image of a reference. Raises HangsError where a kubelet would try for ever to pull it."""
        with self._lock:
            given = self.given.get(reference) or self._pulled(reference)
            if isinstance(given, Image):
                return given
            layout, digest = given
            if digest not in self._found:
                self._found[digest] = self._unpacked(layout, digest)
            return self._found[digest]

    def _unpacked(self, layout: Path, digest: str) -> Image:
        manifest = json.loads(read_blob(layout, digest))
        root = self._folder / f"root-{digest[7:19]}"
        if os.geteuid() == 0:
            unpack(layout, [layer["digest"] for layer in manifest["layers"]], root)
        config = json.loads(read_blob(layout, manifest["config"]["digest"])).get("config") or {}
        return Image(root, layout, digest, config)

    def _pulled(self, reference: str) -> tuple[Path, str]:
        name, at, digest = reference.partition("@")
        host, slash, repository = name.partition("/")
        if not at or not slash or host.partition(":")[0] not in LOOPBACK:
            raise HangsError(
                f"ImagePullBackOff: Back-off pulling image {reference!r}: no test gave it, and it is no HOST/REPOSITORY@DIGEST on loopback"
            )
        layout = self._folder / f"layout-{digest[7:19]}"
        if digest in self._found:
            return layout, digest
        try:
            content = _fetch(f"http://{host}/v2/{repository}/manifests/{digest}")
            manifest = json.loads(content)
            blobs = [manifest["config"], *manifest["layers"]]
            for each in blobs:
                _store(layout, _fetch(f"http://{host}/v2/{repository}/blobs/{each['digest']}"), each["digest"])
            _store(layout, content, digest)
        except (urllib.error.URLError, KeyError, ValueError) as error:
            raise HangsError(f"ImagePullBackOff: Back-off pulling image {reference!r}: {error}") from error
        return layout, digest


def _store(layout: Path, content: bytes, digest: str) -> None:
    found = add_blob(layout, content, MANIFEST)["digest"]
    if found != digest:
        raise ValueError(f"{digest} has the bytes of {found}")


def _fetch(url: str) -> bytes:
    request = urllib.request.Request(url, headers={"Accept": ACCEPT})  # noqa: S310  http on loopback
    with DIRECT.open(request, timeout=60) as answer:
        content: bytes = answer.read()
    return content
