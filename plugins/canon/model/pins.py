"""The pins file, `pipelines/<name>.pins.yaml`: which content of each dataset is meant."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import ConfigDict, Field, ValidationError, field_validator, model_validator

from canon.model.canonical import sha256_of
from canon.model.declaration import RESERVED_DATASETS
from canon.model.errors import CanonError, Problem, ProblemsError
from canon.model.fields import Declared, Name
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
    def kind(self) -> Literal["file", "folder"]:
        """What the dataset is."""
        return "folder" if self.md5.endswith(".dir") else "file"

    @model_validator(mode="after")
    def _whole(self) -> Pin:
        if (self.kind == "folder") != (self.nfiles is not None):
            raise ValueError("a folder has an md5 that ends with .dir and a number of files, a file has neither")
        return self


class Source(Declared):
    """Where a pinned content was read: URI, and what the store says of its version. Never credentials."""

    model_config = ConfigDict(hide_input_in_errors=True)

    uri: str
    etag: str | None = None
    version_id: str | None = None

    @field_validator("uri")
    @classmethod
    def _without_credentials(cls, uri: str) -> str:
        if has_credentials(uri):
            raise ValueError("the URI carries credentials")
        return uri


class ProfilePins(Declared):
    """Pins and sources of one profile."""

    datasets: Mapping[Name, Pin] = Field(default_factory=dict)
    sources: Mapping[Name, Source] = Field(default_factory=dict)

    @field_validator("datasets")
    @classmethod
    def _no_reserved(cls, datasets: Mapping[str, Pin]) -> Mapping[str, Pin]:
        for name in RESERVED_DATASETS:
            if name in datasets:
                raise ValueError(f"no dataset can be called `{name}`: the pins file has a key of that name")
        return datasets

    @property
    def is_empty(self) -> bool:
        """Tell whether there is nothing to write."""
        return not self.datasets and not self.sources


class Pins(ProfilePins):
    """A pins file: the workspace's own pins, and those of the other profiles.

    ``profile``: whose pins the own ones are; None for the default profile's, which are the committed ones.
    """

    profile: Name | None = None
    profiles: Mapping[Name, ProfilePins] = Field(default_factory=dict)


def _nested(data: Mapping[str, Any], *, reserved: tuple[str, ...]) -> dict[str, Any]:
    """From the file's layout, datasets beside the reserved keys, to the model's."""
    nested = {key: value for key, value in data.items() if key in reserved and value is not None}
    return {**nested, "datasets": {key: value for key, value in data.items() if key not in reserved}}


def load_pins(text: str, name: str) -> Pins:
    """Return the pins that a file holds; ``name`` stands for it in messages. Raises ProblemsError, without what is secret."""
    data = load_yaml(text, name)
    if data is None:
        return Pins()
    remedy = "restore the file with `git checkout`, or remove it and run `canon data pin`"
    if not isinstance(data, dict):
        raise ProblemsError([Problem(file=name, line=1, message="is no pins file", remedy=remedy)])
    nested = _nested(data, reserved=RESERVED_DATASETS)
    if isinstance(nested.get("profiles"), dict):
        nested["profiles"] = {
            profile: _nested(pins, reserved=("sources",)) if isinstance(pins, dict) else pins
            for profile, pins in nested["profiles"].items()
        }
    try:
        return Pins.model_validate(nested)
    except ValidationError as error:

        def locate(place: tuple[str | int, ...]) -> int:
            depth = 2 if place[:1] == ("profiles",) else 0
            if place[depth : depth + 1] == ("datasets",):
                place = (*place[:depth], *place[depth + 1 :])
            return locate_yaml(compose_yaml(text, name), place)

        problems = problems_from_validation(error, file=name, data=nested, model=Pins, locate=locate)
        raise ProblemsError(_presented(problem, remedy) for problem in problems) from None


def _presented(problem: Problem, remedy: str) -> Problem:
    """A problem in the words of the file, without the value of a URI, which may be a secret."""
    if "carries credentials" in problem.message:
        return replace(
            problem,
            message="the URI carries credentials",
            remedy="take them out, and change them: they may be in Git; then run `canon data pin`",
        )
    path = re.sub(r"^(profiles\.[^.]+\.)?datasets\.?", r"\1", problem.path)
    return replace(problem, path=path, remedy=remedy)


def format_pins(pins: Pins) -> str:
    """The text of a pins file; equal pins give equal text."""
    document = {**({"profile": pins.profile} if pins.profile else {}), **_flat(pins)}
    profiles = {profile: _flat(item) for profile, item in sorted(pins.profiles.items()) if not item.is_empty}
    if profiles:
        document["profiles"] = profiles
    return HEADER + format_yaml(document)


def _flat(pins: ProfilePins) -> dict[str, Any]:
    flat: dict[str, Any] = {name: pin.model_dump(exclude_none=True) for name, pin in sorted(pins.datasets.items())}
    if pins.sources:
        flat["sources"] = {name: item.model_dump(exclude_none=True) for name, item in sorted(pins.sources.items())}
    return flat


def _check_current(pins: Pins, current: str) -> None:
    """The file does not say whose pins stand on top; where it says that they are not ``current``'s, nothing may be moved."""
    if not pins.profiles.get(current, ProfilePins()).is_empty:
        raise CanonError(
            f"the pins file holds pins of `{current}`, the profile that this workspace has, under `profiles`: those on top are "
            "another profile's, as in an experiment that was applied; restore the pins file with `git checkout` first"
        )


def with_pin(pins: Pins, dataset: str, pin: Pin, source: Source, profile: str, current: str) -> Pins:
    """Return pins with one more: at the top when ``profile`` is the workspace's ``current`` one, else under its name.

    A source whose content is as it was pinned stays as it is, so that a new ETag of equal bytes changes nothing.
    Raises CanonError when the pins on top are not those of ``current``.
    """
    _check_current(pins, current)
    own: ProfilePins = pins if profile == current else pins.profiles.get(profile, ProfilePins())
    known = own.sources.get(dataset)
    if own.datasets.get(dataset) == pin and known and (known.uri, known.version_id) == (source.uri, source.version_id):
        source = known
    changed = ProfilePins(datasets={**own.datasets, dataset: pin}, sources={**own.sources, dataset: source})
    if profile == current:
        return pins.model_copy(update={"datasets": changed.datasets, "sources": changed.sources})
    return pins.model_copy(update={"profiles": {**pins.profiles, profile: changed}})


def apply_profile(pins: Pins, profile: str, current: str) -> Pins:
    """Return pins with those of ``profile`` on top; the ``current`` ones stand under their profile's name then.

    Whether the file has to say whose they are (``profile``) is for the caller to decide, who knows the default one.
    Applying the former profile again gives the former file, byte for byte.
    Raises CanonError when the pins on top are not those of ``current``.
    """
    _check_current(pins, current)
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


_SECRET_KEYS = re.compile(
    r"[?&;#](x-amz-[^=&]*|x-goog-[^=&]*|awsaccesskeyid|googleaccessid|signature|sig|token|[^=&]*[-_]token|password|passwd|pwd"
    r"|secret|[^=&]*[-_]secret|api[-_]?key|access[-_]?key|credential)=",
    re.IGNORECASE,
)


def has_credentials(uri: str) -> bool:
    """Tell whether a URI carries a user, a password, a token or a signature: pins are committed.

    Presigned URLs of S3, Google and Azure are among them. A user without a password counts as well.
    """
    if "://" not in uri:
        return False
    scheme, _, rest = uri.partition("://")
    if scheme.lower() == "file":
        return False
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if "@" in authority or _SECRET_KEYS.search(uri):
        return True
    try:
        urlsplit(f"//{authority}").port  # noqa: B018  it is parsed when it is asked for
    except ValueError:  # a password with a slash in it, `user:pass/word@host`, looks like a port
        return "@" in rest
    return False
