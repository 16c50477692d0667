"""The index of a layout, which other tools read and write, too."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from canon.image.layout import Layout
from canon.model.errors import CanonError
from tests.images import make_image, read_blob

NAME = "org.opencontainers.image.ref.name"


def index_of(layout: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((layout / "index.json").read_text())
    return found


def tags_of(layout: Path) -> list[tuple[str, str | None]]:
    listed = json.loads((layout / "index.json").read_text())["manifests"]
    return [(each["digest"], each.get("annotations", {}).get(NAME)) for each in listed]


def test_an_image_may_have_several_tags_and_a_tag_one_image(tmp_path: Path) -> None:
    one, other = make_image(tmp_path, {"a": b"1"}), make_image(tmp_path, {"a": b"2"})
    manifests = {digest: read_blob(tmp_path, digest) for digest in (one, other)}
    (tmp_path / "index.json").unlink()
    (tmp_path / "oci-layout").unlink()
    layout = Layout(tmp_path)
    for tag in (None, "x", None, "y", "x"):
        layout.add(manifests[one], tag)
    assert tags_of(tmp_path) == [(one, "x"), (one, "y")]
    assert layout.find(None).digest == one
    layout.add(manifests[other], "y")
    assert sorted(tags_of(tmp_path), key=str) == sorted([(one, "x"), (other, "y")], key=str)
    layout.add(manifests[other], "x")
    assert set(tags_of(tmp_path)) == {(one, None), (other, "x"), (other, "y")}
    with pytest.raises(CanonError, match="holds 2 images"):
        layout.find(None)


@pytest.mark.parametrize("value", ["NaN", '"\\ud800"', "[" * 200_000 + "]" * 200_000])
def test_an_index_that_could_not_be_written_again_is_refused(tmp_path: Path, value: str) -> None:
    digest = make_image(tmp_path)
    text = (tmp_path / "index.json").read_text()
    (tmp_path / "index.json").write_text(text[:-1] + f', "x": {value}}}')
    with pytest.raises(CanonError, match="is not JSON"):
        Layout(tmp_path).add(read_blob(tmp_path, digest), "x")


def test_what_other_tools_wrote_stays(tmp_path: Path) -> None:
    one, other = make_image(tmp_path, {"a": b"1"}), make_image(tmp_path, {"a": b"2"})
    index = index_of(tmp_path)
    index["annotations"] = {"com.example.of": "the index"}
    index["x-new"] = [1]
    theirs = {"mediaType": "text/plain", "digest": one, "size": len(read_blob(tmp_path, one)), "urls": ["https://example.com"], "data": "YQ==",
              "annotations": {NAME: "x", "com.example.by": "them"}}  # fmt: skip
    index["manifests"] = [theirs]
    (tmp_path / "index.json").write_text(json.dumps(index))
    Layout(tmp_path).add(read_blob(tmp_path, other), "x")
    found = index_of(tmp_path)
    assert (found["annotations"], found["x-new"]) == (index["annotations"], [1])
    assert theirs | {"annotations": {"com.example.by": "them"}} in found["manifests"]  # type: ignore[operator]
