"""The bill of materials of an image: CycloneDX 1.6, by its own library. The same image gives the same bytes."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Iterable, Sequence

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from canon.image.descriptors import format_json
from canon.image.packages import Package

PLACE = "canon:place"
"""Property of a component: the file in the image that tells of it."""
NOTE = "canon:note"
"""Property of the image: what could not be read."""
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:canon:image:sbom")


def build_sbom(
    name: str, digest: str, packages: Iterable[Package], created: str | None = None, notes: Sequence[str] = ()
) -> bytes:
    """The bill of the image of a digest. ``created`` is the image's own time (RFC 3339); one that is none is left out."""
    algorithm, _, value = digest.partition(":")
    image = Component(
        type=ComponentType.CONTAINER,
        name=name,
        version=digest,
        bom_ref=digest,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=value)] if algorithm == "sha256" else None,
        properties=[Property(name=NOTE, value=note) for note in notes],
    )
    known: dict[str, list[Package]] = {}
    for package in packages:
        known.setdefault(format_purl(package), []).append(package)
    bom = Bom(serial_number=uuid.uuid5(NAMESPACE, digest), metadata=BomMetaData(component=image))
    licences = LicenseFactory()
    for purl, same in sorted(known.items()):
        bom.components.add(_component(purl, sorted(same), licences))
    bom.register_dependency(image, bom.components)
    document = json.loads(JsonV1Dot6(bom).output_as_string())
    # the library writes the clock's time where there is none
    del document["metadata"]["timestamp"]
    if time := _time(created):
        document["metadata"]["timestamp"] = time
    return format_json(document)


def format_purl(package: Package) -> str:
    """The package URL, which names a package everywhere."""
    qualifiers = {"arch": package.architecture} if package.architecture else None
    namespace = package.distribution or None
    return PackageURL(package.kind, namespace, package.name, package.version, qualifiers).to_string()


def _component(purl: str, same: Sequence[Package], licences: LicenseFactory) -> Component:
    licence = next((each.licence for each in same if each.licence), "")
    return Component(
        type=ComponentType.LIBRARY,
        name=same[0].name,
        version=same[0].version,
        bom_ref=purl,
        purl=PackageURL.from_string(purl),
        licenses=[licences.make_from_string(licence)] if licence else None,
        properties=[Property(name=PLACE, value=place) for place in sorted({each.place for each in same if each.place})],
    )


def _time(created: str | None) -> str | None:
    try:
        time = dt.datetime.fromisoformat(created or "")
        return time.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if time.tzinfo else None
    except (ValueError, OverflowError):
        return None
