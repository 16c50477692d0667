"""What is in an image, by its configuration and its provenance; nothing is proven here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from canon.baking.evidence import load_provenance
from canon.baking.labels import BASE, BASE_DIGEST, BASE_NAME, DATA_HASH, DIRTY, MODEL, PIPELINE, RESULT, REVISION, TREE
from canon.image.images import Image
from canon.image.stores import Source
from canon.model.errors import CanonError

FACTS = {
    "pipeline": PIPELINE,
    "commit": REVISION,
    "tree": TREE,
    "dirty": DIRTY,
    "data_hash": DATA_HASH,
    "result": RESULT,
    "model": MODEL,
    "base": BASE_DIGEST,
    "declared_image": BASE_NAME,
    "below": BASE,
}


@dataclass(frozen=True)
class LayerFacts:
    """One layer: digest, bytes as stored, and what history says of where it came from."""

    digest: str
    size: int
    origin: str


@dataclass(frozen=True)
class Inspected:
    """An image's facts; ``facts``: what its labels say, ``files``: the model's files with size and sha256, where it holds one."""

    digest: str
    platform: str
    created: str
    facts: Mapping[str, str]
    layers: tuple[LayerFacts, ...]
    files: Mapping[str, Mapping[str, Any]]
    metrics: Mapping[str, Any]

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


def inspect_image(source: Source, image: Image) -> Inspected:
    """Read an image's configuration, and its provenance where it has one. Raises CanonError."""
    labels = image.labels
    facts = {name: str(labels[label]) for name, label in FACTS.items() if label in labels}
    files: Mapping[str, Mapping[str, Any]] = {}
    metrics: Mapping[str, Any] = {}
    if MODEL in labels:
        try:
            provenance = load_provenance(source, image)
        except CanonError as error:
            facts["provenance"] = str(error)
        else:
            files = {
                f"{provenance.model.path}/{path}".rstrip("/"): {"size": file.size, "sha256": file.sha256}
                for path, file in sorted(provenance.model.files.items())
            }
            metrics = provenance.metrics
    return Inspected(
        digest=image.digest,
        platform=image.platform,
        created=str(image.config.get("created") or ""),
        facts=facts,
        layers=tuple(
            LayerFacts(layer.digest, layer.size, origin)
            for layer, origin in zip(image.manifest.layers, _origins(image), strict=True)
        ),
        files=files,
        metrics=metrics,
    )


def _origins(image: Image) -> list[str]:
    """What history says of each layer; entries that made none are left out, and one that is missing is not known."""
    history = image.config.get("history")
    said = [
        str(entry.get("created_by") or "")
        for entry in (history if isinstance(history, list) else [])
        if isinstance(entry, dict) and not entry.get("empty_layer")
    ]
    count = len(image.manifest.layers)
    return said if len(said) == count else [""] * count
