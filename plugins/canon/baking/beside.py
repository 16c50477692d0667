"""What lies beside a serving image, never in it: its bill of materials, where it came from in SLSA's words, and signatures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from canon.baking.evidence import Finding
from canon.baking.labels import BASE, BASE_DIGEST, BASE_NAME
from canon.baking.provenance import Provenance
from canon.image.attestations import attach_sbom, attest_image, sign_image, verify_signatures
from canon.image.descriptors import Descriptor
from canon.image.images import Image
from canon.image.keys import PrivateKey, PublicKey
from canon.image.layout import Layout
from canon.image.packages import find_packages
from canon.image.sbom import build_sbom
from canon.image.statements import PROVENANCE, build_provenance, build_statement
from canon.image.stores import Source, Store

BUILD = "urn:canon:bake:1"
"""SLSA's build type: a base, one layer with the model, and one with the provenance."""
BUILDER = "urn:canon:bake"


def attach_all(
    store: Store, image: Image, descriptor: Descriptor, provenance: Provenance, url: str | None, key: PrivateKey | None
) -> None:
    """Attach an image's bill of materials; with a key, sign image, bill and provenance. The same again changes nothing."""
    name = provenance.pipeline if isinstance(store, Layout) else store.name  # a folder's name says nothing elsewhere
    found = find_packages(store, image)
    created = str(image.config.get("created") or "") or None
    bill = build_sbom(name, image.digest, found.packages, created, found.notes)
    attach_sbom(store, name, descriptor, bill, key)
    if key is None:
        return
    sign_image(store, name, descriptor, key)
    statement = build_statement(name, image.digest, slsa_predicate(provenance, url))
    attest_image(store, descriptor, statement, key)


def slsa_predicate(provenance: Provenance, url: str | None) -> dict[str, Any]:
    """Where an image came from, as SLSA's provenance says it; ``url``: the declared one of the repository."""
    return build_provenance(
        build_type=BUILD,
        builder=BUILDER,
        parameters={"pipeline": provenance.pipeline, "commit": provenance.commit, "params": provenance.params},
        internal={
            "sourceTree": provenance.tree,
            "dataHash": provenance.data_hash,
            "result": provenance.result,
            "model": provenance.model.hash,
            "dirty": provenance.dirty,
        },
        dependencies=list(_dependencies(provenance, url)),
    )


def _dependencies(provenance: Provenance, url: str | None) -> Iterator[dict[str, Any]]:
    yield {"uri": f"git+{url or 'urn:canon:repository'}", "digest": {"gitCommit": provenance.commit}}
    yield {"name": "base", "uri": "urn:canon:base", "digest": _hex(provenance.base.digest)}
    labels = provenance.base.labels
    if labels.get(BASE_DIGEST):
        name = labels.get(BASE_NAME) if labels.get(BASE) == "declared" else None
        yield {"name": "image", "uri": str(name or "urn:canon:image"), "digest": _hex(str(labels[BASE_DIGEST]))}
    for name, pin in provenance.pins.items():
        digest = {"sha256": str(pin["sha256"])} if "sha256" in pin else {"md5": str(pin["md5"])}
        yield {"name": name, "uri": f"urn:canon:dataset:{name}", "digest": digest}


def _hex(digest: str) -> dict[str, str]:
    algorithm, _, value = digest.partition(":")
    return {algorithm: value}


def signature_findings(source: Source, image: Image, provenance: Provenance, key: PublicKey) -> Iterator[Finding]:
    """The key has signed the image and a statement that says of it what its provenance says. Raises CanonError."""
    verified = verify_signatures(source, source.name, image.digest, key)
    slsa = [each for each in verified.statements if each.predicate_type == PROVENANCE]
    ours = slsa_predicate(provenance, None)["buildDefinition"]
    same = [
        each
        for each in slsa
        if {
            name: part
            for name, part in dict(each.predicate.get("buildDefinition") or {}).items()
            if name != "resolvedDependencies"
        }
        == {name: part for name, part in ours.items() if name != "resolvedDependencies"}
    ]
    if not slsa:
        yield False, "the key signed the image, and no statement of where it came from: it was taken away, or not made"
    elif not same:
        yield False, "the statement that the key signed says another origin than the provenance in the image"
    kinds = ", ".join(sorted({each.predicate_type for each in verified.statements}))
    yield True, f"signed as {', '.join(verified.names)}; statements: {kinds}"
