"""The packages of an image are those of its unpacked tree, and its bill is CycloneDX and the same every time."""

from __future__ import annotations

import io
import json
import tarfile
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from hypothesis import given, settings
from hypothesis import strategies as st

from canon.image.images import load_image
from canon.image.layout import Layout
from canon.image.packages import MAX_METADATA, Found, Package, find_packages
from canon.image.sbom import build_sbom, format_purl
from canon.model.errors import CanonError
from tests import images
from tests.images import make_image

DIGEST = f"sha256:{'1' * 64}"
SITE = "opt/canon/env"
VALIDATOR = JsonStrictValidator(SchemaVersion.V1_6)


def metadata(name: str, version: str, more: str = "") -> bytes:
    return f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n{more}\nName: not this one\n".encode()


def place(name: str) -> str:
    return f"{SITE}/{name}.dist-info/METADATA"


def found_in(folder: Path, *layers: Mapping[str, str | bytes], compress: bool = False) -> Found:
    digest = make_image(folder / "layout", *layers, compress=compress)
    store = Layout(folder / "layout")
    return find_packages(store, load_image(store, "the image", digest))


def names(found: Found) -> list[tuple[str, str]]:
    return [(each.name, each.version) for each in found.packages]


STATUS = b"""Package: libc6
Status: install ok installed
Architecture: amd64
Version: 2.36-9+deb12u10
Description: one
 Package: none of a package
 .
 more

Package: gone
Status: deinstall ok config-files
Version: 1

Package: never
Status: install ok not-installed
Version: 1

Package: libgcc-s1
Status: hold ok installed
Architecture: all
Version: 1:12.2.0-14~x
"""


@pytest.mark.parametrize("compress", [False, True])
def test_packages_of_python_and_of_debian(tmp_path: Path, compress: bool) -> None:  # noqa: FBT001
    found = found_in(
        tmp_path,
        {
            "var/lib/dpkg/status": STATUS,
            "usr/lib/os-release": b'NAME="x"\nID="ubuntu"\nID_LIKE=debian\n',
            "var/lib/dpkg/status.d/base": b"Package: base-files\nVersion: 12\nArchitecture: amd64\n",
            "var/lib/dpkg/status.d/base.md5sums": b"0 x\n",
        },
        {
            place("numpy-2.0"): metadata("NumPy", "2.0", "License-Expression: BSD-3-Clause AND MIT\nLicense: no\n"),
            place("a_b-1"): metadata("a_b", "1!1.0+local.1", "License: MIT\nLicense: another\n"),
            place("c-1"): metadata("c", "1", "License: The licence's text.\n" + "  and more of it\n" * 40),
            f"{SITE}/numpy/METADATA": b"not a package's",
            f"{SITE}/x.dist-info/RECORD": b"",
        },
        compress=compress,
    )
    assert found.notes == ()
    debian = {"distribution": "ubuntu", "place": "var/lib/dpkg/status"}
    part = "var/lib/dpkg/status.d/base"
    assert found.packages == (
        Package("deb", "base-files", "12", architecture="amd64", distribution="ubuntu", place=part),
        Package("deb", "libc6", "2.36-9+deb12u10", architecture="amd64", **debian),
        Package("deb", "libgcc-s1", "1:12.2.0-14~x", architecture="all", **debian),
        Package("pypi", "NumPy", "2.0", "BSD-3-Clause AND MIT", place=place("numpy-2.0")),
        Package("pypi", "a_b", "1!1.0+local.1", "MIT", place=place("a_b-1")),
        Package("pypi", "c", "1", place=place("c-1")),
    )
    assert [format_purl(each) for each in found.packages] == [
        "pkg:deb/ubuntu/base-files@12?arch=amd64",
        "pkg:deb/ubuntu/libc6@2.36-9%2Bdeb12u10?arch=amd64",
        "pkg:deb/ubuntu/libgcc-s1@1:12.2.0-14~x?arch=all",
        "pkg:pypi/numpy@2.0",
        "pkg:pypi/a-b@1%211.0%2Blocal.1",
        "pkg:pypi/c@1",
    ]


@pytest.mark.parametrize(
    "upper",
    [
        {f"{SITE}/.wh.a-1.dist-info": b""},
        {f"{SITE}/a-1.dist-info/.wh.METADATA": b""},
        {f"{SITE}/.wh..wh..opq": b"", place("b-2"): metadata("b", "2")},
        {"opt/.wh.canon": b"", f"./{place('b-2')}": metadata("b", "2")},
        {f"{SITE}/a-1.dist-info": "-> elsewhere"},
        {SITE: b"a file where the folder was", f"/{place('b-2')}": metadata("b", "2")},
    ],
)
def test_a_package_that_a_later_layer_takes_away(tmp_path: Path, upper: dict[str, str | bytes]) -> None:
    found = found_in(tmp_path, {place("a-1"): metadata("a", "1")}, upper)
    assert names(found) == ([("b", "2")] if len(upper) == 2 else [])
    assert found.notes == ()


def test_a_package_that_a_later_layer_changes(tmp_path: Path) -> None:
    found = found_in(tmp_path, {place("a"): metadata("a", "1")}, {place("a"): metadata("a", "2")})
    assert names(found) == [("a", "2")]


def test_what_is_broken_is_noted_and_hides_nothing_else(tmp_path: Path) -> None:
    found = found_in(
        tmp_path,
        {
            place("good-1"): metadata("good", "1"),
            place("large-1"): metadata("large", "1") + bytes(MAX_METADATA),
            place("link-1"): "-> ../../etc/passwd",
            place("binary-1"): b"\xff\xfe",
            place("empty-1"): b"",
            place("name-1"): metadata("../../x\x1b[31m", "1"),
            place("version-1"): metadata("version", "1 2"),
            place("long-1"): metadata("l" * 300, "1"),
            "var/lib/dpkg/status": b"Package: x\nVersion: 1\nArchitecture: ../\n\nPackage: y\nVersion: 2\n",
        },
    )
    assert names(found) == [("y", "2"), ("good", "1")]
    assert found.notes == (
        f"{place('binary-1')}: not UTF-8",
        f"{place('empty-1')}: no name of a package: ''",
        f"{place('large-1')}: no file, or one of over 1048576 bytes",
        f"{place('link-1')}: no file, or one of over 1048576 bytes",
        f"{place('long-1')}: no name of a package: '{'l' * 80}'",
        f"{place('name-1')}: no name of a package: '../../x\\x1b[31m'",
        f"{place('version-1')}: no version of version: '1 2'",
        "var/lib/dpkg/status: no architecture of x: '../'",
    )


def test_one_file_of_two_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def tar_of(files: Mapping[str, str | bytes]) -> bytes:
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w") as tar:
            for name, content in files.items():
                info = tarfile.TarInfo(name)
                if isinstance(content, str):
                    info.type, info.linkname = tarfile.LNKTYPE, content
                    tar.addfile(info)
                else:
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))
        return stream.getvalue()

    monkeypatch.setattr(images, "tar_of", tar_of)
    found = found_in(
        tmp_path, {place("a"): metadata("a", "1"), place("b"): place("a"), place("c"): "var/cache/unknown"}
    )
    assert [each.place for each in found.packages] == [place("a"), place("b")]
    assert found.notes == (f"{place('c')}: no file, or one of over 1048576 bytes",)


def test_too_many_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("canon.image.packages.MAX_PACKAGES", 9)
    status = "\n".join(f"Package: p{number}\nVersion: 1\n" for number in range(10)).encode()
    with pytest.raises(CanonError, match="the image has more than 9 packages, or pretends so"):
        found_in(tmp_path, {"var/lib/dpkg/status": status})
    with pytest.raises(CanonError, match="more than 9"):
        found_in(tmp_path, {"var/lib/dpkg/status": status.replace(b"1", b"?")})


def test_a_layer_that_ends_in_the_middle_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = images.tar_of
    monkeypatch.setattr(images, "tar_of", lambda files: whole(files)[:600])
    with pytest.raises(CanonError, match=r"layer 1 of the image .* cannot be read"):
        found_in(tmp_path, {place("a"): metadata("a", "1") * 20})


def bill(*packages: Package, **options: Any) -> dict[str, Any]:
    content = build_sbom("registry.example/model", DIGEST, packages, **options)
    assert VALIDATOR.validate_str(content.decode()) is None
    document: dict[str, Any] = json.loads(content)
    return document


A = Package("pypi", "A_a", "1", "Apache-2.0 OR MIT", place=place("a"))
C = Package("deb", "libc6", "2.36-9+deb12u10", architecture="amd64", distribution="debian", place="var/lib/dpkg/status")


def test_the_bill_says_what_the_image_is_and_what_is_in_it() -> None:
    document = bill(A, C, created="2024-05-06T07:08:09.123456789+02:00", notes=("x: not UTF-8",))
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    assert document["metadata"]["timestamp"] == "2024-05-06T05:08:09Z"
    image = document["metadata"]["component"]
    assert (image["type"], image["name"], image["version"]) == ("container", "registry.example/model", DIGEST)
    assert image["hashes"] == [{"alg": "SHA-256", "content": "1" * 64}]
    assert image["properties"] == [{"name": "canon:note", "value": "x: not UTF-8"}]
    one, other = sorted(document["components"], key=lambda each: str(each["purl"]))
    assert one["purl"] == "pkg:deb/debian/libc6@2.36-9%2Bdeb12u10?arch=amd64"
    assert other["purl"] == "pkg:pypi/a-a@1"
    assert other["licenses"] == [{"expression": "Apache-2.0 OR MIT"}]
    assert other["properties"] == [{"name": "canon:place", "value": place("a")}]
    assert {"ref": DIGEST, "dependsOn": [one["bom-ref"], other["bom-ref"]]} in document["dependencies"]
    assert uuid.UUID(document["serialNumber"].removeprefix("urn:uuid:")).version == 5


def test_the_same_package_in_two_places_is_one_component() -> None:
    second = Package("pypi", "a-a", "1", place=place("b"))
    (component,) = bill(A, second)["components"]
    assert [each["value"] for each in component["properties"]] == [place("a"), place("b")]


@pytest.mark.parametrize("created", [None, "", "yesterday", "2024-05-06T07:08:09", "0001-01-01T00:00:00+23:00"])
def test_the_clock_is_never_asked(created: str | None) -> None:
    assert "timestamp" not in bill(A, created=created)["metadata"]


def test_an_image_without_packages_has_a_bill() -> None:
    assert bill().get("components", []) == []


PACKAGES = st.builds(
    Package,
    st.just("pypi"),
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,5}", fullmatch=True),
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9.!+_~:-]{0,5}", fullmatch=True),
    st.sampled_from(["", "MIT", "mit", "MIT AND (", "Apache-2.0 WITH LLVM-exception", "(((((", "a licence"])
    | st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), max_size=20),
)


@settings(max_examples=30)
@given(st.lists(PACKAGES, max_size=5), st.randoms(use_true_random=False))
def test_a_bill_is_valid_and_does_not_depend_on_the_order(packages: list[Package], random: Any) -> None:
    shuffled = random.sample(packages, len(packages))
    assert bill(*packages) == bill(*shuffled)
    assert build_sbom("x", DIGEST, packages) == build_sbom("x", DIGEST, shuffled)
