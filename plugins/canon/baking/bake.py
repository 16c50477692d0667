"""The serving image: a base, on top of it the model as one layer, and on top of that a small one: params as applied, and where all came from.

Two layers, since they change at different times: a commit of code alone gives another provenance, and the model stays where it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from canon.baking.base import Base, Code
from canon.baking.cache import open_cache
from canon.baking.code import SOURCE, TOP
from canon.baking.labels import (
    BASE_DIGEST,
    BASE_NAME,
    DATA_HASH,
    DESCRIPTION,
    DIRTY,
    MODEL,
    PIPELINE,
    PYTHON,
    RESULT,
    REVISION,
    TITLE,
    TREE,
)
from canon.baking.model import describe_model, model_members
from canon.baking.provenance import PROVENANCE, BakedBase, BakedModel, Provenance, build_provenance, format_provenance
from canon.baking.reuse import publish_layer, published_layer
from canon.baking.serving import check_servable, health_path, served, serving_command
from canon.baking.trained import BakedLayer, Trained
from canon.image.append import append_layer, append_layers, origins, whole
from canon.image.descriptors import Descriptor, format_json
from canon.image.images import Edits, Image, Layer, image_of
from canon.image.stores import Progress, Store, no_progress
from canon.image.trees import member_of_bytes
from canon.model.canonical import format_canonical
from canon.model.errors import CanonError, ImageMissingError
from canon.model.project import Pipeline

USER = "65532:65532"
"""Neither root nor anybody who is known: the number that distroless images gave to `nonroot`."""
MODEL_LAYER, PROVENANCE_LAYER = "model", "provenance"
"""What the history calls the two layers on top, from below."""
FORMAT = 1
"""Counted up when the same files give another layer."""


@dataclass(frozen=True)
class Baked:
    """A serving image that was made, and what is in it."""

    image: Image
    provenance: Provenance
    tag: str
    layers: tuple[tuple[Descriptor, str], ...]

    @property
    def model(self) -> BakedLayer:
        """The model, and its layer."""
        return BakedLayer(self.provenance.model, self.layers[-2][0])


def bake_model(
    pipeline: Pipeline,
    code: Code,
    base: Base,
    trained: Trained,
    target: Store,
    root: Path,
    *,
    write: bool = True,
    keeps_tags: bool = False,
    progress: Progress = no_progress,
    attach: Callable[[Image, Descriptor, Provenance], None] | None = None,
) -> Baked:
    """Put the model of a result on top of a base, which lies in the same store. The same inputs give the same digest everywhere.

    ``attach`` puts beside it what belongs there, before a tag points to it. With ``keeps_tags`` another image of the same code and result keeps
    its tag, and this one gets a longer one. Raises CanonError for a model whose files are not those of the result, and for whatever a layer cannot hold.
    """
    result = trained.result
    model = (
        trained.baked.model
        if trained.baked is not None
        else describe_model(trained.artifact, trained.path, trained.files, dict(result.artifacts[trained.artifact]))
    )
    check_servable(pipeline, set(model.files))
    provenance = build_provenance(
        result,
        commit=code.commit.changed,
        tree=code.tree,
        dirty=code.dirty,
        applied={path: sha256(content).hexdigest() for path, content in trained.applied.items()},
        model=model,
        base=baked_base(base.image),
    )
    tag = f"{base.variant}-{result.digest[:12]}"
    store = target if write else None
    edits = serving_edits(pipeline, provenance, base.image, code.commit.time)
    is_last = attach is None and not keeps_tags  # nothing comes between the image and its tag
    with whole(target):
        record = [*(member_of_bytes(f"{SOURCE}/{path}", content) for path, content in trained.applied.items())]
        record.append(member_of_bytes(PROVENANCE, format_provenance(provenance)))
        layers = [
            _model_layer(store, model, trained, root, progress),
            append_layer(store, record, TOP, PROVENANCE_LAYER, progress),
        ]
        made = append_layers(store, target, base.image, layers, edits, tag if is_last else None, progress)
        if store is not None and not is_last:
            if attach is not None:
                attach(image_of(made, target.name), made.descriptor, provenance)
            if keeps_tags:
                tag = _free_tag(store, tag, made.descriptor.digest)
            store.add(made.manifest, tag)
    says = (*base.layers, *origins(base.image, layers, made)[-len(layers) :])
    return Baked(image_of(made, target.name), provenance, tag, says)


def _free_tag(store: Store, tag: str, digest: str) -> str:
    """The tag of an image, or a longer one where another image has that: of params that no stage tracks a result says nothing. Raises CanonError."""
    try:
        is_ours = store.find(tag).digest == digest
    except ImageMissingError:
        return tag
    return tag if is_ours else f"{tag}-{digest.removeprefix('sha256:')[:12]}"


def _model_layer(store: Store | None, model: BakedModel, trained: Trained, root: Path, progress: Progress) -> Layer:
    """The model's layer; not made again where it was made here before and the store has it: path and sha256 say all of it.

    What a registry says to have under that key is believed by its digest alone, after the layer was made; it tells that it is worth looking for.
    """
    if trained.baked is not None:
        return Layer(trained.baked.layer, MODEL_LAYER)
    files = {name: [file.sha256, file.size] for name, file in model.files.items()}
    key = sha256(format_canonical({"format": FORMAT, "path": model.path, "files": files})).hexdigest()
    cache = open_cache()
    known = cache.recall_layer(MODEL_LAYER, key)
    if known is not None and store is not None and store.has(known):
        return Layer(known, MODEL_LAYER)
    there = published_layer(store, MODEL_LAYER, key)
    members = model_members(model, trained.files, root, trained.cache)
    layer = append_layer(store, members, TOP, MODEL_LAYER, progress, new=there is None)
    cache.keep(MODEL_LAYER, key, layer.descriptor.document())
    if store is not None and there != layer.descriptor:
        publish_layer(store, MODEL_LAYER, key, layer.descriptor)
    return layer


def baked_base(image: Image) -> BakedBase:
    """The image below, as it is written down in an image. Raises CanonError for one that is not canonical, which Canon did not make."""
    manifest = image.manifest
    document = {
        "schemaVersion": 2,
        "mediaType": manifest.media_type,
        "config": manifest.config.document(),
        "layers": [layer.document() for layer in manifest.layers],
    }
    base = BakedBase(manifest=document, config=dict(image.config))
    if base.digest != image.digest or len(format_json(base.config)) != manifest.config.size:
        raise CanonError(f"{image.name}@{image.digest} was not made by `canon image base`; make the base anew")
    return base


def serving_edits(pipeline: Pipeline, provenance: Provenance, base: Image, time: int) -> Edits:
    """What changes in the configuration of the base: how the service starts, who runs it, and labels."""
    serving, _ = served(pipeline)
    command, variables = serving_command(pipeline)
    labels: dict[str, str | None] = {
        TITLE: pipeline.name,
        PIPELINE: pipeline.name,
        BASE_DIGEST: base.digest,
        BASE_NAME: None,
        REVISION: provenance.commit,
        TREE: provenance.tree,
        DATA_HASH: provenance.data_hash,
        RESULT: provenance.result,
        MODEL: provenance.model.hash,
        **({DESCRIPTION: pipeline.declaration.description} if pipeline.declaration.description else {}),
        **({DIRTY: "true"} if provenance.dirty else {}),
    }
    port = serving.port
    known = base.labels
    settings: dict[str, Any] = {
        "Entrypoint": list(command),
        "Cmd": None,
        "ExposedPorts": {f"{port}/tcp": {}},
        "User": USER,
        "Healthcheck": {
            "Test": _probe(known.get(PYTHON), f"http://127.0.0.1:{port}{health_path(pipeline)}"),
            "Interval": 30_000_000_000,
            "Timeout": 3_000_000_000,
            "StartPeriod": 30_000_000_000,
        },
    }
    env = {"CANON_PROVENANCE": f"/{PROVENANCE}", "PYTHONDONTWRITEBYTECODE": "1", **variables}
    return Edits(time=time, env=env, labels=labels, settings=settings)


def _probe(python: str | None, url: str) -> list[str]:
    """What Docker runs to see whether the service is well, in nanoseconds as it writes them; Kubernetes asks by itself."""
    if python is None:
        return ["CMD-SHELL", f"wget -q -O /dev/null {url}"]
    return ["CMD", python, "-I", "-c", f"import urllib.request; urllib.request.urlopen({url!r}, timeout=2)"]
