"""The proof of a serving image: from the image alone, the pins and Git, that what is written in it is what made its model."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from canon.baking.bake import MODEL_LAYER, PROVENANCE_LAYER, serving_edits
from canon.baking.below import below_findings, environment_findings, recorded_code
from canon.baking.code import SOURCE, code_members
from canon.baking.contained import applicable, known, model_findings
from canon.baking.evidence import ON_TOP, Evidence, Finding, apply_params, gather, load_provenance
from canon.baking.labels import BASE, BASE_DIGEST, REVISION, TREE
from canon.baking.origins import data_findings, dep_findings, git_findings, param_findings, stage_findings
from canon.baking.provenance import Provenance
from canon.git import commit_source_tree
from canon.image.descriptors import CONFIG, Manifest, descriptor_of, format_json, json_from_bytes
from canon.image.images import Image, Layer, compose, labels_of
from canon.image.layers import describe, members_in_order, tar_chunks
from canon.image.stores import Source
from canon.model.errors import CanonError, listed
from canon.model.pins import Pins, load_pins
from canon.model.project import Pipeline, declaration_files, load_pipeline, load_settings
from canon.output.files import load_text


@dataclass(frozen=True)
class Check:
    """One line of the proof. ``ok`` is None for what could not be looked at."""

    name: str
    ok: bool | None
    detail: str

    @property
    def status(self) -> str:
        """In one word."""
        return {True: "ok", False: "FAILED", None: "not checked"}[self.ok]


def verify_image(
    root: Path,
    source: Source,
    image: Image,
    *,
    below: tuple[Source, Image] | None = None,
    rebuild: bool = False,
    key: Path | None = None,
) -> Iterator[Check]:
    """Yield every line of the proof; one that is not ``ok`` says what does not match. ``root`` is the checkout whose Git knows the code.

    ``below``: the image that the base was built on, to be held against it; ``rebuild``: the environment is installed anew;
    ``key``: a public one that must have signed the image. Raises CanonError for an image that has no provenance to look at.
    """
    provenance = load_provenance(source, image)
    with tempfile.TemporaryDirectory(prefix="canon-verify-") as scratch:
        evidence = gather(source, image, provenance, Path(scratch).resolve())
        _settle_dvc(evidence.code)
        pipeline = _pipeline(evidence)  # of the code, before anything is laid over it
        allowed = () if isinstance(pipeline, CanonError) else applicable(pipeline)
        apply_params(evidence, allowed)
        pipeline = _with_applied_pins(evidence, pipeline)
        lines: list[tuple[str, Callable[[], Iterable[Finding]]]] = [
            ("layers", lambda: _layers(evidence)),
            ("base", lambda: _base(evidence, pipeline)),
            ("below", lambda: below_findings(root, evidence, pipeline, source, below)),
            ("environment", lambda: environment_findings(evidence, pipeline, rebuild=rebuild)),
            ("code", lambda: _code(root, evidence)),
            ("model", lambda: model_findings(evidence, pipeline)),
            ("result", lambda: _result(provenance)),
            ("stages", lambda: stage_findings(evidence, pipeline)),
            ("deps", lambda: dep_findings(evidence, pipeline)),
            ("params", lambda: param_findings(evidence, pipeline)),
            ("data", lambda: data_findings(evidence, pipeline)),
            ("labels", lambda: _configuration(root, evidence, pipeline)),
            ("git", lambda: git_findings(root, evidence, pipeline)),
        ]
        if key is not None:
            from canon.baking.beside import signature_findings  # cryptography takes a while to import
            from canon.image.keys import load_public_key

            public = load_public_key(key)
            lines.append(("signature", lambda: signature_findings(source, image, provenance, public)))
        for name, look in lines:
            yield _check(name, look)


def _check(name: str, look: Callable[[], Iterable[Finding]]) -> Check:
    """The line of one check: what does not hold, or else what was not looked at, or else what holds."""
    try:
        findings = list(look())
    except CanonError as error:
        return Check(name, ok=False, detail=str(error))
    for wanted in (False, None, True):
        said = [text for ok, text in findings if ok is wanted]
        if said:
            return Check(name, ok=wanted, detail=listed(said, 5).replace("\n", " "))
    return Check(name, ok=True, detail="")


def _settle_dvc(code: Path) -> None:
    """Let DVC, which fills templates in, take the unpacked code for a repository without Git; what the image says of DVC's own settings is not followed."""
    folder = code / ".dvc"
    if folder.is_symlink() or folder.is_file():
        folder.unlink()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "config").write_text("[core]\n    no_scm = true\n")


def _pipeline(evidence: Evidence) -> Pipeline | CanonError:
    """The declaration that lies in the image."""
    name = evidence.provenance.pipeline
    try:
        settings = load_settings(evidence.code)
        for file in declaration_files(evidence.code):
            pipeline = load_pipeline(evidence.code, file, settings)
            if pipeline.name == name:
                return pipeline
    except CanonError as error:
        return error
    return CanonError(f"the code in the image declares no pipeline `{name}`")


def _with_applied_pins(evidence: Evidence, pipeline: Pipeline | CanonError) -> Pipeline | CanonError:
    """The declaration of the code, with the pins as they were applied."""
    if isinstance(pipeline, CanonError):
        return pipeline
    try:
        text = load_text(evidence.code / pipeline.pins_file, pipeline.pins_file)
        return replace(pipeline, pins=Pins() if text is None else load_pins(text, pipeline.pins_file))
    except CanonError as error:
        return error


def _layers(evidence: Evidence) -> Iterator[Finding]:
    for problem in evidence.problems:
        yield False, problem
    yield True, f"{len(evidence.image.manifest.layers)} layers have the digests that manifest and configuration say"


def _base(evidence: Evidence, pipeline: Pipeline | CanonError) -> Iterator[Finding]:
    """The layers of the base are those below the model, and the base is the one that was declared."""
    image, base = evidence.image, evidence.provenance.base
    if base.manifest.get("config") != descriptor_of(format_json(base.config), CONFIG).document():
        yield False, "the provenance's configuration of the base is not the one that its manifest names"
    recorded = [str(layer.get("digest")) for layer in base.manifest.get("layers") or ()]
    there = [layer.digest for layer in image.manifest.layers]
    if there[:-ON_TOP] != recorded:
        yield False, _difference(recorded, there)
        return
    labels = evidence.base_labels
    below = str(labels.get(BASE_DIGEST))
    if labels.get(BASE) != "declared":
        yield None, f"{base.digest[:19]}… on {below[:19]}…, which is not the declared image"
        return
    environment = known(pipeline).declaration.environment
    declared = (environment.image or "") if environment is not None else ""
    if not declared.endswith(f"@{below}"):  # the declared digest may be that of an index, which `below` looks into
        yield None, f"{base.digest[:19]}… on {below[:19]}…; the code declares {declared}"
        return
    yield True, f"{base.digest[:19]}… on the declared {declared}"


def _difference(recorded: list[str], there: list[str]) -> str:
    if sorted(recorded) == sorted(there[:-ON_TOP]) or set(recorded) <= set(there):
        return "the layers of the base are in another order than when it was made"
    for number, (was, now) in enumerate(zip(recorded, there, strict=False), 1):
        if was != now:
            return f"layer {number} is {now[:19]}…, and the base that the model was baked on has {was[:19]}… there: it is another base"
    return f"the base had {len(recorded)} layers, and {len(there) - ON_TOP} lie below the model"


def _code(root: Path, evidence: Evidence) -> Iterator[Finding]:
    """The code layer is the source tree of the commit, byte for byte."""
    provenance = evidence.provenance
    if provenance.dirty:
        yield False, "the image was made with --allow-dirty: its code is that of no commit"
        return
    recorded_code(root, evidence)
    tree = commit_source_tree(root, provenance.commit)
    if tree != provenance.tree:
        yield (
            False,
            f"the source tree of {provenance.commit[:12]} is {tree[:12]}, and the provenance says {provenance.tree[:12]}",
        )
    members = members_in_order(code_members(root, provenance.commit), SOURCE)
    expected = describe(tar_chunks(members, SOURCE)).digest
    if evidence.image.diff_ids[evidence.code_layer] == expected:
        yield (
            True,
            f"{len(evidence.files)} files are those of {provenance.commit[:12]}, source tree {provenance.tree[:12]}",
        )
        return
    ours: dict[str, tuple[str, bool, str]] = {}
    for member in members:
        sha = ""
        if member.read is not None:
            with member.read() as file:
                sha = hashlib.sha256(file.read(member.size)).hexdigest()
        ours[member.path.removeprefix(f"{SOURCE}/")] = (sha, member.executable, member.target)
    theirs = {path: (found.sha256, found.executable, found.target) for path, found in evidence.files.items()}
    different = sorted(path for path in ours.keys() | theirs.keys() if ours.get(path) != theirs.get(path))
    if different:
        yield False, f"not as in the commit {provenance.commit[:12]}: {listed(different)}"
    else:
        yield False, "the code layer has the files of the commit, and is not the layer that Canon makes of them"


def _result(provenance: Provenance) -> Iterator[Finding]:
    digest = provenance.recorded_result().digest
    if digest != provenance.result:
        yield (
            False,
            f"params, metrics, pins, entries and files give the result {digest[:12]}…, and it is called {provenance.result[:12]}…",
        )
    yield True, provenance.result[:12] + "…"


def _configuration(root: Path, evidence: Evidence, pipeline: Pipeline | CanonError) -> Iterator[Finding]:
    """The image is computed again from its provenance and its layers: labels, command, user, to the byte."""
    provenance, image = evidence.provenance, evidence.image
    base = Image(
        image.name,
        provenance.base.digest,
        Manifest.model_validate(provenance.base.manifest),
        provenance.base.config,
    )
    labels = evidence.base_labels
    for name, expected in {REVISION: provenance.commit, TREE: provenance.tree}.items():
        if labels.get(name) != expected:
            yield False, f"the base's label {name} is {labels.get(name)!r}, and the provenance says {expected}"
    time = recorded_code(root, evidence).commit.time
    edits = serving_edits(known(pipeline), provenance, base, time)
    ours = zip(image.manifest.layers[-ON_TOP:], (MODEL_LAYER, PROVENANCE_LAYER), strict=True)
    made = compose(base, [Layer(layer, says) for layer, says in ours], edits)
    if made.descriptor.digest == image.digest:
        yield True, "labels, command and user are those that follow from provenance and declaration"
        return
    yield from _config_differences(dict(image.config), json_from_bytes(made.config, "the configuration"))
    yield False, f"the manifest that follows from the provenance has the digest {made.descriptor.digest}"


def _config_differences(there: dict[str, object], expected: dict[str, object]) -> Iterator[Finding]:
    ours, theirs = labels_of(expected), labels_of(there)
    for name in sorted(ours.keys() | theirs.keys()):
        if ours.get(name) != theirs.get(name):
            yield (
                False,
                f"the label {name} says {theirs.get(name)!r}, and {ours.get(name)!r} follows from the provenance",
            )
    one, other = expected.get("config"), there.get("config")
    if isinstance(one, dict) and isinstance(other, dict):
        for name in sorted((one.keys() | other.keys()) - {"Labels"}):
            if one.get(name) != other.get(name):
                yield (
                    False,
                    f"the setting {name} is {other.get(name)!r}, and {one.get(name)!r} follows from the declaration",
                )
    for name in sorted((expected.keys() | there.keys()) - {"config"}):
        if expected.get(name) != there.get(name):
            yield False, f"`{name}` of the configuration is not what follows from the provenance"
