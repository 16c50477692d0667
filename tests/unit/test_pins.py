from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from canon.model.declaration import RESERVED_DATASETS
from canon.model.errors import CanonError, ProblemsError
from canon.model.pins import (
    Pin,
    Pins,
    ProfilePins,
    Source,
    apply_profile,
    data_hash,
    folder_md5,
    folder_sha256,
    format_pins,
    has_credentials,
    load_pins,
    with_pin,
)
from canon.output.yaml import load_yaml
from tests.conftest import Run

HEX = "0123456789abcdef"
# Digits with one `e` are numbers to YAML unless they are quoted.
SHA = st.one_of(st.text(HEX, min_size=64, max_size=64), st.just("1" * 30 + "e" + "2" * 33), st.just("0" * 64))
MD5 = st.one_of(st.text(HEX, min_size=32, max_size=32), st.just("7" * 32), st.just("12e" + "4" * 29))
NAMES = st.from_regex(r"\A[A-Za-z_][A-Za-z0-9_-]{0,8}\Z").filter(lambda name: name not in RESERVED_DATASETS)
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=20)
FILE_PINS = st.builds(Pin, sha256=SHA, md5=MD5, size=st.integers(0, 2**60))
FOLDER_PINS = st.builds(
    Pin, sha256=SHA, md5=MD5.map("{}.dir".format), size=st.integers(0, 2**60), nfiles=st.integers(1, 10**6)
)
SOURCES = st.builds(
    Source,
    uri=st.one_of(TEXTS.filter(lambda text: not has_credentials(text)), st.just("s3://bucket/on"), st.just("1e5")),
    etag=st.one_of(st.none(), TEXTS),
    version_id=st.one_of(st.none(), TEXTS),
)


@st.composite
def profile_pins(draw: st.DrawFn) -> ProfilePins:
    datasets = draw(st.dictionaries(NAMES, st.one_of(FILE_PINS, FOLDER_PINS), max_size=3))
    return ProfilePins(datasets=datasets, sources={name: draw(SOURCES) for name in datasets})


@st.composite
def pins_files(draw: st.DrawFn, current: str = "local") -> Pins:
    top = draw(profile_pins())
    others = draw(st.dictionaries(NAMES.filter(lambda name: name != current), profile_pins(), max_size=3))
    return Pins(
        profile=draw(st.one_of(st.none(), NAMES)),
        datasets=top.datasets,
        sources=top.sources,
        profiles={k: v for k, v in others.items() if not v.is_empty},
    )


A = Pin(sha256="a" * 64, md5="a" * 32, size=1)
B = Pin(sha256="b" * 64, md5="b" * 32, size=2)


def text_of(name: str = "raw", **changes: object) -> str:
    fields = {"sha256": "a" * 64, "md5": "a" * 32, "size": 1, **changes}
    return f"{name}:\n" + "".join(f"  {key}: {value}\n" for key, value in fields.items())


@settings(max_examples=50)
@given(pins_files())
def test_pins_are_read_as_they_were_written(pins: Pins) -> None:
    text = format_pins(pins)
    assert load_pins(text, "co2.pins.yaml") == pins
    assert format_pins(load_pins(text, "co2.pins.yaml")) == text


@settings(max_examples=50)
@given(pins_files())
def test_dvc_reads_the_same_params_from_a_pins_file(pins: Pins) -> None:
    from dvc.utils.serialize import parse_yaml

    read = parse_yaml(format_pins(pins), "co2.pins.yaml") or {}
    tracked = {key: value for key, value in read.items() if key not in RESERVED_DATASETS}
    assert tracked == {name: pin.model_dump(exclude_none=True) for name, pin in pins.datasets.items()}


@settings(max_examples=50)
@given(pins_files(), st.data())
def test_applying_a_profile_and_the_former_one_again_gives_the_former_file(pins: Pins, data: st.DataObject) -> None:
    profile = data.draw(st.sampled_from(["local", "unknown", *pins.profiles]))
    there = apply_profile(pins, profile, "local")
    assert there.datasets == (pins if profile == "local" else pins.profiles.get(profile, ProfilePins())).datasets
    # through the file, as a workspace does it
    back = apply_profile(load_pins(format_pins(there), "f"), "local", profile)
    assert format_pins(back.model_copy(update={"profile": pins.profile})) == format_pins(pins)
    assert apply_profile(there, profile, profile) == there


@settings(max_examples=50)
@given(pins_files(), st.data())
def test_a_detour_over_another_profile_changes_nothing(pins: Pins, data: st.DataObject) -> None:
    first, second = (data.draw(st.sampled_from(["one", "two", *pins.profiles])) for _ in "ab")
    straight = apply_profile(pins, second, "local")
    detour = apply_profile(apply_profile(pins, first, "local"), second, first)
    assert format_pins(detour) == format_pins(straight)


@settings(max_examples=50)
@given(pins_files(), NAMES, FILE_PINS, SOURCES, st.sampled_from(["local", "cluster"]))
def test_a_pin_changes_only_its_own_place(pins: Pins, name: str, pin: Pin, source: Source, profile: str) -> None:
    after = with_pin(pins, name, pin, source, profile, "local")
    own = after if profile == "local" else after.profiles[profile]
    assert own.datasets[name] == pin
    assert own.sources[name].uri == source.uri
    if profile == "local":
        assert after.profiles == pins.profiles
    else:
        assert (after.datasets, after.sources) == (pins.datasets, pins.sources)
    assert with_pin(after, name, pin, source, profile, "local") == after


def test_the_order_of_pinning_does_not_show() -> None:
    one, other = Source(uri="a.csv"), Source(uri="s3://bucket/b.csv")
    forth = with_pin(with_pin(Pins(), "a", A, one, "local", "local"), "b", B, other, "cluster", "local")
    back = with_pin(with_pin(Pins(), "b", B, other, "cluster", "local"), "a", A, one, "local", "local")
    assert format_pins(forth) == format_pins(back)


def test_the_layout_of_the_file() -> None:
    pins = with_pin(Pins(), "raw", A, Source(uri="a.csv"), "local", "local")
    pins = with_pin(pins, "raw", B, Source(uri="s3://bucket/b.csv", etag="x", version_id="v"), "cluster", "local")
    lines = format_pins(pins).splitlines()
    assert lines[0].startswith("# Written by `canon data pin`")
    assert [line for line in lines if not line.startswith("#")] == [
        "raw:",
        f"  sha256: {'a' * 64}",
        f"  md5: {'a' * 32}",
        "  size: 1",
        "sources:",
        "  raw:",
        "    uri: a.csv",
        "profiles:",
        "  cluster:",
        "    raw:",
        f"      sha256: {'b' * 64}",
        f"      md5: {'b' * 32}",
        "      size: 2",
        "    sources:",
        "      raw:",
        "        uri: s3://bucket/b.csv",
        "        etag: x",
        "        version_id: v",
    ]


def test_a_new_etag_of_equal_bytes_changes_nothing() -> None:
    pins = with_pin(Pins(), "raw", A, Source(uri="s3://b/k", etag="one"), "local", "local")
    assert with_pin(pins, "raw", A, Source(uri="s3://b/k", etag="two"), "local", "local") == pins
    moved = with_pin(pins, "raw", A, Source(uri="s3://b/k", etag="one", version_id="2"), "local", "local")
    assert moved.sources["raw"].version_id == "2"
    assert with_pin(pins, "raw", B, Source(uri="s3://b/k", etag="two"), "local", "local").sources["raw"].etag == "two"


def test_pins_on_top_of_another_profile_than_the_workspaces_are_not_moved() -> None:
    pins = apply_profile(with_pin(Pins(), "raw", A, Source(uri="a"), "local", "local"), "cluster", "local")
    with pytest.raises(CanonError, match=r"pins of `local`.*git checkout"):
        apply_profile(pins, "cluster", "local")
    with pytest.raises(CanonError, match=r"pins of `local`.*git checkout"):
        with_pin(pins, "raw", B, Source(uri="a"), "local", "local")


@pytest.mark.parametrize(
    ("text", "line", "path", "said"),
    [
        ("[1]\n", 1, "", "no pins file"),
        ("3\n", 1, "", "no pins file"),
        (text_of(md5="xyz"), 3, "raw.md5", "xyz"),
        (text_of(md5=f"{'a' * 32}.dir"), 1, "raw", "number of files"),
        (text_of(nfiles=2), 1, "raw", "number of files"),
        (text_of(size=-1), 4, "raw.size", "-1"),
        (text_of(size="1.5"), 4, "raw.size", "1.5"),
        (text_of(colour="red"), 5, "raw.colour", "unknown key"),
        (text_of(name="a.b"), 1, "a.b", "a.b"),
        ("raw: null\n", 1, "raw", "mapping"),
        ("raw:\n  size: 1\n", 1, "raw", "`sha256` is missing"),
        (text_of() + "sources: []\n", 5, "sources", "mapping"),
        (text_of() + "sources:\n  raw: {url: x}\n", 6, "sources.raw.url", "unknown key"),
        (text_of() + "profiles: [cluster]\n", 5, "profiles", "mapping"),
        (text_of() + "profiles:\n  cluster: 3\n", 6, "profiles.cluster", ""),
        (text_of() + "profiles:\n  cluster:\n    raw: {size: 1, md5: 2, sha256: 3}\n", 7, "profiles.cluster.raw", ""),
        (text_of() + "profiles:\n  cluster:\n    profiles: {}\n", 7, "profiles.cluster.profiles", "missing"),
        (
            text_of() + "profiles:\n  cluster:\n    sources:\n      raw: {uri: x, tag: y}\n",
            8,
            "profiles.cluster.sources.raw.tag",
            "unknown key",
        ),
        (text_of() + text_of(), 5, "raw", "twice"),
        ("raw: {\n", 2, "", "not YAML"),
    ],
)
def test_a_damaged_pins_file_is_refused_with_its_place(text: str, line: int, path: str, said: str) -> None:
    with pytest.raises(ProblemsError) as caught:
        load_pins(text, "pipelines/co2.pins.yaml")
    problem = caught.value.problems[0]
    assert problem.file == "pipelines/co2.pins.yaml"
    assert problem.path.startswith(path)
    assert problem.line == line
    assert said in problem.message
    assert problem.remedy


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(ProblemsError) as caught:
        load_pins(text_of(md5="x", size=-1) + text_of(name="other", sha256="y"), "f")
    assert [problem.path for problem in caught.value.problems] == ["raw.md5", "raw.size", "other.sha256"]


def test_an_empty_pins_file_holds_none() -> None:
    assert load_pins("", "f") == Pins() == load_pins("# nothing\n", "f") == load_pins("sources:\nprofiles:\n", "f")
    assert load_pins(format_pins(Pins()), "f") == Pins()


SECRETS = [
    "https://user:hunter2@host/x.csv",
    "https://hunter2@host/x.csv",
    "HTTPS://user:hunter2@host",
    "https://user:hunt/er2@host/x.csv",
    "s3://AKIA:hunter2@bucket/key",
    "https://bucket.s3.amazonaws.com/k?X-Amz-Algorithm=A&X-Amz-Signature=hunter2",
    "https://bucket.s3.amazonaws.com/k?AWSAccessKeyId=a&Signature=hunter2&Expires=1",
    "https://storage.googleapis.com/b/k?x-goog-signature=hunter2",
    "https://account.blob.core.windows.net/c/b?sv=1&sig=hunter2",
    "https://host/x?access_token=hunter2",
    "https://host/x?a=1;token=hunter2",
    "https://host/x#api_key=hunter2",
    "https://host/x?Password=hunter2",
    "https://host/x?client_secret=hunter2",
]


@pytest.mark.parametrize("uri", SECRETS)
def test_credentials_in_a_uri_are_refused_and_not_repeated(uri: str) -> None:
    assert has_credentials(uri)
    with pytest.raises(ValidationError) as invalid:
        Source(uri=uri)
    assert "hunt" not in str(invalid.value)
    with pytest.raises(ProblemsError) as caught:
        load_pins(text_of() + f"sources:\n  raw:\n    uri: '{uri}'\n", "f")
    assert "credentials" in str(caught.value)
    assert "hunt" not in str(caught.value)
    assert caught.value.problems[0].line == 7


@pytest.mark.parametrize(
    "uri",
    [
        "data/raw.csv",
        "/srv/a@b/raw.csv",
        "user@host",
        "file:///srv/a@b.csv",
        "s3://bucket/a@b/c.csv",
        "s3://arn:aws:s3:eu-west-1:123456789012:accesspoint/name/key",
        "https://host:8443/@scope/x.csv?version=3&tokens=4",
        "https://[::1]:80/x.csv",
        "https://host/x?mail=a@b",
        "https://host/x?key=co2",
    ],
)
def test_uris_without_credentials_are_accepted(uri: str) -> None:
    assert not has_credentials(uri)
    assert Source(uri=uri).uri == uri


@pytest.mark.parametrize("name", ["profile", "sources", "profiles"])
def test_a_dataset_cannot_have_the_name_of_a_key_of_the_file(name: str) -> None:
    with pytest.raises(ValidationError, match=name):
        with_pin(Pins(), name, A, Source(uri="a"), "local", "local")


def test_a_pin_knows_its_kind_and_cannot_be_changed() -> None:
    folder = Pin(sha256="a" * 64, md5="a" * 32 + ".dir", size=1, nfiles=1)
    assert (A.kind, folder.kind) == ("file", "folder")
    with pytest.raises(ValidationError):
        A.size = 5  # type: ignore[misc]


def test_the_data_hash_is_that_of_the_written_out_json() -> None:
    # printf '%s' '[["labels","dvc","md5:d41d8cd98f00b204e9800998ecf8427e.dir"],["raw","file","sha256:e3b0c44298fc1c149afb
    # f4c8996fb92427ae41e4649b934ca495991b7852b855"],["weather","version","12"]]' | sha256sum
    expected = "68a0b313179e29df63ae2b47257ca68210cec6379fa6d061fa8200c0fe9c0c26"
    inputs = [
        ("weather", "version", "12"),
        ("raw", "file", "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ("labels", "dvc", "md5:d41d8cd98f00b204e9800998ecf8427e.dir"),
    ]
    assert data_hash(inputs) == expected == data_hash(reversed(inputs))


def test_a_folders_sha256_is_that_of_the_written_out_json() -> None:
    files = [("é.csv", 2, "b" * 64), ("a/x.csv", 1, "a" * 64)]
    text = f'[["a/x.csv",1,"{"a" * 64}"],["é.csv",2,"{"b" * 64}"]]'
    assert folder_sha256(files) == hashlib.sha256(text.encode()).hexdigest() == folder_sha256(reversed(files))


PATHS = st.lists(
    st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=6), min_size=1, max_size=3
)


@given(st.dictionaries(PATHS.map("/".join), MD5, min_size=1, max_size=8))
def test_a_folders_md5_is_dvcs_own(members: dict[str, str]) -> None:
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.tree import Tree

    tree = Tree()
    for path, md5 in members.items():
        tree.add(tuple(path.split("/")), None, HashInfo("md5", md5))
    assert folder_md5(members.items()) == hashlib.md5(tree.as_bytes(), usedforsecurity=False).hexdigest() + ".dir"


def test_a_folders_md5_is_what_dvc_add_writes(repository: Path, run: Run) -> None:
    folder = repository / "raw"
    for path, content in {"b.csv": b"2", "a/z.csv": b"1", "a-b.csv": b"", "ü.csv": b"4"}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    run(repository, "dvc", "init", "-q")
    run(repository, "dvc", "add", "-q", "raw")
    found = load_yaml((repository / "raw.dvc").read_text(), "raw.dvc")["outs"][0]["md5"]
    files = [path for path in folder.rglob("*") if path.is_file()]
    pairs = [
        (p.relative_to(folder).as_posix(), hashlib.md5(p.read_bytes(), usedforsecurity=False).hexdigest())
        for p in files
    ]
    assert folder_md5(pairs) == found
