"""Which packages an image holds: Python's by their metadata, Debian's by dpkg's own list. What an image says is not believed to be well-formed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from canon.image.contents import final_files
from canon.image.images import Image
from canon.image.stores import Source
from canon.model.errors import CanonError

METADATA = re.compile(r"(?:^|/)[^/]+\.dist-info/METADATA$")
STATUS = "var/lib/dpkg/status"
STATUS_PART = re.compile(rf"^{STATUS}\.d/(?!.*\.md5sums$)[^/]+$")
"""Images without dpkg have one file a package (distroless)."""
RELEASES = ("etc/os-release", "usr/lib/os-release")
MAX_METADATA = 1024 * 1024
MAX_STATUS = 16 * 1024 * 1024
MAX_PACKAGES = 20_000
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,199}")
VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.!+_~:-]{0,199}")
DISTRIBUTION = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
LONGEST_LICENCE = 200


@dataclass(frozen=True, order=True, slots=True)
class Package:
    """One package. ``kind`` is that of a package URL: ``pypi`` or ``deb``; ``place`` is the file that says so."""

    kind: str
    name: str
    version: str
    licence: str = ""
    architecture: str = ""
    distribution: str = ""
    place: str = ""


@dataclass(frozen=True)
class Found:
    """The packages of an image, sorted, and what could not be read: the place and why."""

    packages: tuple[Package, ...]
    notes: tuple[str, ...]


def find_packages(source: Source, image: Image) -> Found:
    """Read the packages of an image from its layers. Raises CanonError for a layer that cannot be read, and for too many packages."""
    files = final_files(source, image, _most)
    distribution = _distribution(files)
    packages: set[Package] = set()
    notes: list[str] = []
    for place, content in sorted(files.items()):
        if place in RELEASES:
            continue
        if content is None:
            notes.append(f"{place}: no file, or one of over {_most(place)} bytes")
            continue
        try:
            text = content.decode()
        except UnicodeDecodeError:
            notes.append(f"{place}: not UTF-8")
            continue
        read = _python(text, place) if METADATA.search(place) else _debian(text, place, distribution)
        for each in read:
            if isinstance(each, str):
                notes.append(f"{place}: {each}")
            else:
                packages.add(each)
            if len(packages) + len(notes) > MAX_PACKAGES:
                raise CanonError(f"{image.name} has more than {MAX_PACKAGES} packages, or pretends so")
    return Found(tuple(sorted(packages)), tuple(sorted(set(notes))))


def _most(path: str) -> int:
    if METADATA.search(path) or path in RELEASES:
        return MAX_METADATA
    return MAX_STATUS if path == STATUS or STATUS_PART.search(path) else 0


def _python(text: str, place: str) -> Iterator[Package | str]:
    header = next(_paragraphs(text), {})
    yield _checked(Package("pypi", *_named(header, "name"), _licence(header), place=place))


def _debian(text: str, place: str, distribution: str) -> Iterator[Package | str]:
    for paragraph in _paragraphs(text):
        if paragraph.get("status", "installed").endswith("installed") and "not-installed" not in paragraph.get(
            "status", ""
        ):
            architecture = paragraph.get("architecture", "")
            named = _named(paragraph, "package")
            yield _checked(Package("deb", *named, "", architecture, distribution, place))


def _named(fields: Mapping[str, str], name: str) -> tuple[str, str]:
    return fields.get(name, ""), fields.get("version", "")


def _checked(package: Package) -> Package | str:
    if not NAME.fullmatch(package.name):
        return f"no name of a package: {package.name[:80]!r}"
    if not VERSION.fullmatch(package.version):
        return f"no version of {package.name}: {package.version[:80]!r}"
    if package.architecture and not DISTRIBUTION.fullmatch(package.architecture):
        return f"no architecture of {package.name}: {package.architecture[:80]!r}"
    return package


def _licence(header: Mapping[str, str]) -> str:
    """The expression, else the field, which may be the licence's whole text and is left out then."""
    for name in ("license-expression", "license"):
        text = " ".join(header.get(name, "").split())
        if text and text.upper() != "UNKNOWN" and len(text) <= LONGEST_LICENCE and text.isprintable():
            return text
    return ""


def _paragraphs(text: str) -> Iterator[dict[str, str]]:
    """Paragraphs of `Name: value` with continued lines, as mail headers and Debian's control files have them; the first of a name counts."""
    fields: dict[str, str] = {}
    last = ""
    for line in text.split("\n"):
        if not line.strip():
            if fields:
                yield fields
            fields, last = {}, ""
        elif line[0] in " \t":
            if last in {"license", "license-expression"} and len(fields[last]) <= LONGEST_LICENCE:
                fields[last] += f" {line.strip()}"
        else:
            name, _, value = line.partition(":")
            last = name.strip().lower()
            if last in fields:
                last = ""
            else:
                fields[last] = value.strip()
    if fields:
        yield fields


def _distribution(files: Mapping[str, bytes | None]) -> str:
    for place in RELEASES:
        found = re.search(rb"^ID=[\"']?([a-z0-9._-]+)", files.get(place) or b"", re.MULTILINE)
        if found and DISTRIBUTION.fullmatch(found[1].decode()):
            return found[1].decode()
    return "debian"
