"""What lies beside an image: a bill of materials, SLSA's provenance and signatures, made by `bake`, checked by `verify --key`."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.faults import assert_said, canon
from tests.e2e.served import bake
from tests.images import forge, make_image, read_blob, write_index
from tests.keys import write_keys
from tests.registry import Registry

pytestmark = pytest.mark.usefixtures("quick")


def checked(root: Path, digest: str, public: Path, code: int = 0) -> tuple[str, str]:
    """Status and detail of the line about the signature."""
    done = canon(root, "image", "verify", f"oci:../made@{digest}", "--key", str(public), "--json", code=code)
    (line,) = (check for check in json.loads(done.stdout)["checks"] if check["name"] == "signature")
    return line["status"], line["detail"]


def tagged(layout: Path, tag: str) -> dict[str, Any]:
    """The manifest of a tag, as any tool finds it."""
    index = json.loads((layout / "index.json").read_text())["manifests"]
    (found,) = (each for each in index if each.get("annotations", {}).get("org.opencontainers.image.ref.name") == tag)
    manifest: dict[str, Any] = json.loads(read_blob(layout, found["digest"]))
    return manifest


def test_the_image_is_the_same_with_and_without_a_key_and_the_key_vouches_for_it(served: Path, tmp_path: Path) -> None:
    private, public = write_keys(tmp_path)
    _, other = write_keys(tmp_path, 1)
    plain = bake(served)
    assert_said(checked(served, plain, public, code=1)[1], "has no signature; sign it")
    assert bake(served, "--key", str(private)) == plain
    status, detail = checked(served, plain, public)
    assert status == "ok"
    assert_said(detail, "signed as p", "https://slsa.dev/provenance/v1", "https://cyclonedx.org/bom")
    assert_said(checked(served, plain, other, code=1)[1], "a signature is of another key")
    before = sorted((served / "../made/blobs/sha256").iterdir())
    bake(served, "--key", str(private))
    assert sorted((served / "../made/blobs/sha256").iterdir()) == before


def test_the_signature_is_one_that_openssl_verifies(served: Path, tmp_path: Path) -> None:
    private, public = write_keys(tmp_path)
    digest = bake(served, "--key", str(private))
    manifest = tagged(served / "../made", f"{digest.replace(':', '-')}.sig")
    (layer,) = manifest["layers"]
    (tmp_path / "payload").write_bytes(read_blob(served / "../made", layer["digest"]))
    payload = json.loads((tmp_path / "payload").read_text())
    assert payload["critical"]["image"]["docker-manifest-digest"] == digest
    signature = subprocess.run(["base64", "-d"], input=layer["annotations"]["dev.cosignproject.cosign/signature"].encode(), capture_output=True, check=True).stdout  # fmt: skip
    (tmp_path / "signature").write_bytes(signature)
    command = ["openssl", "dgst", "-sha256", "-verify", str(public), "-signature", str(tmp_path / "signature"), str(tmp_path / "payload")]  # fmt: skip
    assert b"Verified OK" in subprocess.run(command, check=True, capture_output=True).stdout


def test_the_statement_names_code_data_and_base(served: Path, tmp_path: Path) -> None:
    import base64

    private, _ = write_keys(tmp_path)
    digest = bake(served, "--key", str(private))
    statements = {}
    for layer in tagged(served / "../made", f"{digest.replace(':', '-')}.att")["layers"]:
        envelope = json.loads(read_blob(served / "../made", layer["digest"]))
        statement = json.loads(base64.b64decode(envelope["payload"]))
        assert statement["subject"] == [{"name": "p", "digest": {"sha256": digest.removeprefix("sha256:")}}]
        statements[statement["predicateType"]] = statement["predicate"]
    definition = statements["https://slsa.dev/provenance/v1"]["buildDefinition"]
    labels = json.loads(canon(served, "image", "inspect", f"oci:../made@{digest}", "--json").stdout)["facts"]
    assert definition["externalParameters"]["commit"] == labels["commit"]
    assert definition["internalParameters"]["dataHash"] == labels["data_hash"]
    named = {each.get("name") or each["uri"].partition("+")[0] for each in definition["resolvedDependencies"]}
    assert named == {"git", "base", "image", "raw"}
    assert str(served) not in json.dumps(statements)


def test_a_statement_that_was_taken_away_is_missed(served: Path, tmp_path: Path) -> None:
    private, public = write_keys(tmp_path)
    digest = bake(served, "--key", str(private))
    layout = served / "../made"
    index = json.loads((layout / "index.json").read_text())["manifests"]
    kept = [each for each in index if "dsse" not in json.dumps(json.loads(read_blob(layout, each["digest"])))]
    assert len(kept) < len(index)
    write_index(layout, kept)
    assert_said(checked(served, digest, public, code=1)[1], "no statement of where it came from")


def test_a_bill_of_materials_alone(served: Path) -> None:
    digest = bake(served, "--sbom")
    (layer,) = tagged(served / "../made", f"{digest.replace(':', '-')}.sbom")["layers"]
    bill = json.loads(read_blob(served / "../made", layer["digest"]))
    assert (bill["bomFormat"], bill["metadata"]["component"]["version"]) == ("CycloneDX", digest)


def test_keys_that_are_none(served: Path, tmp_path: Path) -> None:
    private, public = write_keys(tmp_path)
    command = ("image", "bake", "p", "--from", "oci:../below", "--to", "oci:../made", "--key")
    assert_said(canon(served, *command, str(public), code=1).stderr, "is a public key; to sign, name the private one")
    assert not (served / "../made").exists()
    digest = bake(served)
    said = canon(served, "image", "verify", f"oci:../made@{digest}", "--key", str(private), code=1).stderr
    assert_said(said, "is a private key; to verify, name the public one")
    assert private.read_text().splitlines()[1] not in said


def test_a_tag_points_to_an_image_only_when_all_is_beside_it(served: Path, tmp_path: Path) -> None:
    private, _ = write_keys(tmp_path)
    with Registry() as registry:
        registry.fail("PUT", "manifests/sha256-.*sig", status=403, times=99)
        command = (
            "image",
            "bake",
            "p",
            "--from",
            "oci:../below",
            "--to",
            f"{registry.host}/ml/p",
            "--key",
            str(private),
        )
        canon(served, *command, code=1)
        tags = registry.repositories["ml/p"].tags
        assert not [tag for tag in tags if not tag.startswith(("base-", "model-", "sha256-"))]
        registry.failures.clear()
        canon(served, *command)
        assert [tag for tag in tags if not tag.startswith(("base-", "model-", "sha256-"))]


def test_an_image_on_another_base_takes_no_tag_away(served: Path, tmp_path: Path) -> None:
    make_image(tmp_path / "other", {"bin/sh": b"other"})
    first = bake(served)
    other = canon(served, "image", "bake", "p", "--from", f"oci:{tmp_path}/other", "--to", "oci:../made").stdout.strip()
    assert other.rpartition("@")[2] != first
    index = json.loads((served / "../made/index.json").read_text())["manifests"]
    tags = [each["annotations"]["org.opencontainers.image.ref.name"] for each in index if each.get("annotations")]
    assert len(tags) == len(set(tags)) == 4


def test_what_an_image_says_does_not_reach_the_terminal_as_it_is(served: Path) -> None:
    digest = bake(served)
    evil = "\x1b[2J\x1b]0;x\x07"
    new = forge(served / "../made", digest, config=lambda config: (config["config"]["Labels"].update({"canon.pipeline": evil}), config["history"][0].update(created_by=evil)))  # fmt: skip
    for command in (("inspect",), ("verify",)):
        done = canon(served, "image", *command, f"oci:../made@{new}", code=None)
        assert "\x1b" not in done.stdout + done.stderr
        assert "[2J" in done.stdout
