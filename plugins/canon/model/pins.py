"""The pins file, `pipelines/<name>.pins.yaml`: which content of each dataset is meant."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import Field, ValidationError

from canon.model.canonical import sha256_of
from canon.model.declaration import RESERVED_DATASETS
from canon.model.errors import Problem, ProblemsError
from canon.model.fields import Declared
from canon.model.problems import locate_yaml, problems_from_validation
from canon.output.yaml import compose_yaml, format_yaml, load_yaml

HEADER = """\
# Written by `canon data pin`; commit it. The pins on top are those of the profile that this workspace has;
# DVC tracks them as params. Where each content came from stands under `sources`, which no stage tracks.
"""


class Pin(Declared):
    """The content of a dataset. Equal bytes have equal pins, wherever they lie.

    ``sha256``: of the file, or of the canonical JSON of a folder's sorted ``[path, size, sha256]``. ``md5``: DVC's own hash
    (``….dir`` for a folder). ``size`` in bytes. ``nfiles``: of a folder.
    """

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    md5: Annotated[str, Field(pattern=r"^[0-9a-f]{32}(\.dir)?$")]
    size: Annotated[int, Field(strict=True, ge=0)]
    nfiles: Annotated[int, Field(strict=True, ge=0)] | None = None

    @property
    def is_folder(self) -> bool:
        """Tell whether the dataset is a folder."""
        return self.md5.endswith(".dir")


class Source(Declared):
    """Where a pinned content was read: URI, and what the store says of its version. Never credentials."""

    uri: str
    etag: str | None = None
    version_id: str | None = None


class ProfilePins(Declared):
    """Pins and sources of one profile."""

    datasets: Mapping[str, Pin] = Field(default_factory=dict)
    sources: Mapping[str, Source] = Field(default_factory=dict)


class Pins(ProfilePins):
    """A pins file: the workspace's own pins, and those of the other profiles."""

    profiles: Mapping[str, ProfilePins] = Field(default_factory=dict)


def _nested(data: Mapping[str, Any]) -> dict[str, Any]:
    """From the file's layout, datasets beside the reserved keys, to the model's."""
    return {
        "datasets": {key: value for key, value in data.items() if key not in RESERVED_DATASETS},
        "sources": data.get("sources") or {},
    }


def load_pins(text: str, name: str) -> Pins:
    """Return the pins that a file holds; ``name`` stands for it in messages. Raises ProblemsError."""
    data = load_yaml(text, name)
    if data is None:
        return Pins()
    profiles = data.get("profiles") or {} if isinstance(data, dict) else None
    if (
        not isinstance(data, dict)
        or not isinstance(profiles, dict)
        or not all(isinstance(item, dict) for item in profiles.values())
    ):
        raise ProblemsError(
            [
                Problem(
                    file=name,
                    line=1,
                    message="is no pins file",
                    remedy="restore it with `git checkout`, or remove it and run `canon data pin`",
                )
            ]
        )
    nested = {**_nested(data), "profiles": {profile: _nested(pins) for profile, pins in profiles.items()}}
    try:
        return Pins.model_validate(nested)
    except ValidationError as error:
        problems = problems_from_validation(
            error,
            file=name,
            data=nested,
            model=Pins,
            locate=lambda place: locate_yaml(
                compose_yaml(text, name), tuple(step for step in place if step != "datasets")
            ),
        )
        raise ProblemsError(problems) from None


def format_pins(pins: Pins) -> str:
    """The text of a pins file; equal pins give equal text."""
    document = _flat(pins)
    profiles = {profile: _flat(item) for profile, item in sorted(pins.profiles.items()) if item.datasets}
    if profiles:
        document["profiles"] = profiles
    return HEADER + format_yaml(document)


def _flat(pins: ProfilePins) -> dict[str, Any]:
    flat: dict[str, Any] = {name: pin.model_dump(exclude_none=True) for name, pin in sorted(pins.datasets.items())}
    if pins.sources:
        flat["sources"] = {name: source.model_dump(exclude_none=True) for name, source in sorted(pins.sources.items())}
    return flat


def with_pin(pins: Pins, dataset: str, pin: Pin, source: Source, profile: str, current: str) -> Pins:
    """Return pins with one more: at the top when ``profile`` is the workspace's ``current`` one, else under its name.

    A source whose content is as it was pinned stays as it is, so that a new ETag of equal bytes changes nothing.
    """
    own: ProfilePins = pins if profile == current else pins.profiles.get(profile, ProfilePins())
    known = own.sources.get(dataset)
    if (
        own.datasets.get(dataset) == pin
        and known is not None
        and known.uri == source.uri
        and known.version_id == source.version_id
    ):
        source = known
    datasets, sources = {**own.datasets, dataset: pin}, {**own.sources, dataset: source}
    if profile == current:
        return Pins(datasets=datasets, sources=sources, profiles=pins.profiles)
    return Pins(
        datasets=pins.datasets,
        sources=pins.sources,
        profiles={**pins.profiles, profile: ProfilePins(datasets=datasets, sources=sources)},
    )


def apply_profile(pins: Pins, profile: str, current: str) -> Pins:
    """Return pins with those of ``profile`` on top; the ``current`` ones stand under their profile's name then.

    Applying the former profile again gives the former file, byte for byte.
    """
    if profile == current:
        return pins
    wanted = pins.profiles.get(profile, ProfilePins())
    others = {name: item for name, item in pins.profiles.items() if name != profile}
    others[current] = ProfilePins(datasets=pins.datasets, sources=pins.sources)
    return Pins(datasets=wanted.datasets, sources=wanted.sources, profiles=others)


def folder_sha256(files: Iterable[tuple[str, int, str]]) -> str:
    """A folder's sha256: over the canonical JSON of its sorted ``[path, size, sha256]``."""
    return sha256_of(sorted([path, size, digest] for path, size, digest in files))


def folder_md5(files: Iterable[tuple[str, str]]) -> str:
    """DVC's hash of a folder of ``(path, md5)`` (dvc_data/hashfile/tree.py, ``Tree.as_bytes``): ``….dir``."""
    listing = [{"md5": md5, "relpath": path} for path, md5 in sorted(files)]
    return hashlib.md5(json.dumps(listing, sort_keys=True).encode(), usedforsecurity=False).hexdigest() + ".dir"


def data_hash(inputs: Iterable[tuple[str, str, str]]) -> str:
    """The data hash: sha256 over the canonical JSON of the sorted ``[name, kind, value]`` of all inputs."""
    return sha256_of(sorted([name, kind, value] for name, kind, value in inputs))


def has_credentials(uri: str) -> bool:
    """Tell whether a URI carries a user, a password or a signature: pins are committed."""
    if "://" not in uri:
        return False
    authority = uri.split("://", 1)[1].split("/", 1)[0]
    return (
        "@" in authority
        or re.search(r"[?&](X-Amz-|sig=|signature=|token=|password=|AWSAccessKeyId=)", uri, re.IGNORECASE) is not None
    )
