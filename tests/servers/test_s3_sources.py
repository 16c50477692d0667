from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qsl

import pytest

from canon.data import retry
from canon.data.get import fetch_source
from canon.data.pin import pin_source
from canon.data.progress import Silent
from canon.model.errors import CanonError, SourceChangedError
from canon.model.pins import Pin, Source
from tests.servers.conftest import S3, Handler, Web, listing, pin_of, send


class Acting(Silent):
    """Does something once, while a source is being read."""

    def __init__(self, act: Callable[[], object]) -> None:
        self.act: Callable[[], object] | None = act

    def advance(self, count: int) -> None:
        del count
        if self.act is not None:
            act, self.act = self.act, None
            act()


pytestmark = pytest.mark.usefixtures("credentials")


def test_an_object_is_pinned_and_brought(s3: S3, tmp_path: Path) -> None:
    content = os.urandom(9_000_001)
    s3.put("co2/weekly.csv", content)
    pin, source = pin_source(s3.uri("co2/weekly.csv"), root=tmp_path, endpoint=s3.endpoint)
    assert pin == pin_of(tmp_path, content)
    assert source.uri == s3.uri("co2/weekly.csv")
    assert source.version_id is None
    assert source.etag == s3.client.head_object(Bucket=s3.bucket, Key="co2/weekly.csv")["ETag"].strip('"')
    target = tmp_path / "data" / "raw.csv"
    assert fetch_source(source, pin, target, root=tmp_path, endpoint=s3.endpoint) is True
    assert target.read_bytes() == content
    s3.client.delete_object(Bucket=s3.bucket, Key="co2/weekly.csv")  # not asked any more
    assert fetch_source(source, pin, target, root=tmp_path, endpoint=s3.endpoint) is False


def test_a_folder_of_many_files_is_pinned_and_brought(s3: S3, tmp_path: Path) -> None:
    files = {f"part-{number % 7}/{number:03} ü+&.csv": f"{number}\n".encode() * (number % 5) for number in range(70)}
    for name, content in files.items():
        s3.put(f"a b/raw/{name}", content)
        (tmp_path / "same" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "same" / name).write_bytes(content)
    s3.put("a b/raw/part-1/", b"")  # consoles make such objects for folders
    s3.put("a b/raw-other/x.csv", b"not a member")
    pin, source = pin_source(s3.uri("a b/raw/"), root=tmp_path, endpoint=s3.endpoint, jobs=8)
    assert pin == pin_source("same", root=tmp_path)[0]
    assert source == Source(uri=s3.uri("a b/raw/"))
    assert fetch_source(source, pin, tmp_path / "raw", root=tmp_path, endpoint=s3.endpoint, jobs=8)
    found = {
        path.relative_to(tmp_path / "raw").as_posix(): path for path in (tmp_path / "raw").rglob("*") if path.is_file()
    }
    assert {name: path.read_bytes() for name, path in found.items()} == files


def test_an_object_overwritten_with_the_same_size_is_found(s3: S3, tmp_path: Path) -> None:
    s3.put("raw.csv", b"one\n")
    pin, source = pin_source(s3.uri("raw.csv"), root=tmp_path, endpoint=s3.endpoint)
    target = tmp_path / "raw.csv"
    target.write_bytes(b"old")
    s3.put("raw.csv", b"two\n")
    with pytest.raises(SourceChangedError) as caught:
        fetch_source(source, pin, target, root=tmp_path, endpoint=s3.endpoint)
    for part in (source.uri, pin.sha256[:12], pin_of(tmp_path, b"two\n").sha256[:12], "canon data pin"):
        assert part in str(caught.value)
    assert target.read_bytes() == b"old"
    s3.put("raw.csv", b"one\n")  # equal bytes again: whatever the ETag and the date say
    assert fetch_source(source, pin, target, root=tmp_path, endpoint=s3.endpoint)


def test_a_pinned_version_is_read_after_it_was_overwritten_and_deleted(s3: S3, tmp_path: Path) -> None:
    s3.client.put_bucket_versioning(Bucket=s3.bucket, VersioningConfiguration={"Status": "Enabled"})
    first = s3.put("raw.csv", b"one\n")
    pin, source = pin_source(s3.uri("raw.csv"), root=tmp_path, endpoint=s3.endpoint)
    assert source.version_id == first is not None
    s3.put("raw.csv", b"two\n")
    s3.client.delete_object(Bucket=s3.bucket, Key="raw.csv")
    assert fetch_source(source, pin, tmp_path / "raw.csv", root=tmp_path, endpoint=s3.endpoint)
    assert (tmp_path / "raw.csv").read_bytes() == b"one\n"
    s3.client.delete_object(Bucket=s3.bucket, Key="raw.csv", VersionId=first)
    with pytest.raises(CanonError, match=rf"no source {source.uri} \(version {first}\)"):
        fetch_source(source, pin, tmp_path / "other.csv", root=tmp_path, endpoint=s3.endpoint)


def test_an_object_from_before_versioning_has_no_version(s3: S3, tmp_path: Path) -> None:
    s3.put("raw.csv", b"one\n")
    s3.client.put_bucket_versioning(Bucket=s3.bucket, VersioningConfiguration={"Status": "Enabled"})
    _, source = pin_source(s3.uri("raw.csv"), root=tmp_path, endpoint=s3.endpoint)
    assert source.version_id is None


@pytest.mark.parametrize(
    ("change", "versioned"),
    [("overwrite", False), ("same size", False), ("add", False), ("remove", False), ("same size", True)],
)
def test_a_folder_that_changes_while_it_is_pinned_is_refused(
    s3: S3,
    tmp_path: Path,
    change: str,
    versioned: bool,  # noqa: FBT001  pytest gives it
) -> None:
    if versioned:
        s3.client.put_bucket_versioning(Bucket=s3.bucket, VersioningConfiguration={"Status": "Enabled"})
    s3.put("raw/a.csv", b"one\n")
    s3.put("raw/b.csv", b"two\n")

    def act() -> None:
        if change == "remove":
            s3.client.delete_object(Bucket=s3.bucket, Key="raw/a.csv")
        else:
            s3.put("raw/c.csv" if change == "add" else "raw/a.csv", b"ONE\n" if change == "same size" else b"1\n")

    with pytest.raises(CanonError, match="changed while it was read"):
        pin_source(s3.uri("raw/"), root=tmp_path, endpoint=s3.endpoint, progress=Acting(act), jobs=1)


def test_an_object_that_is_overwritten_before_it_is_opened_is_not_mixed_in(s3: S3, tmp_path: Path) -> None:
    s3.put("raw/a.csv", b"one\n")
    s3.put("raw/b.csv", b"two\n")
    act = Acting(lambda: s3.put("raw/b.csv", b"TWO\n"))
    with pytest.raises(CanonError, match=r"raw/b.csv changed while it was read"):
        pin_source(s3.uri("raw/"), root=tmp_path, endpoint=s3.endpoint, progress=act, jobs=1)


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("s3://{bucket}/missing.csv", "no source s3://{bucket}/missing.csv (HTTP 404); check the URI and the endpoint"),
        ("s3://{bucket}/raw", "no source s3://{bucket}/raw"),  # a folder, but named as an object
        ("s3://{bucket}/missing/", "no files in s3://{bucket}/missing/"),
        ("s3://{bucket}/hollow/", "no files in s3://{bucket}/hollow/"),
        ("s3://canon-no-such-bucket/x.csv", "no source s3://canon-no-such-bucket/x.csv"),
        ("s3://canon-no-such-bucket/x/", "no source s3://canon-no-such-bucket/x/"),
        ("s3://{bucket}", "name an object"),
        ("s3:///key", "name an object"),
        ("s3://Not A Bucket/key", "cannot read s3://Not A Bucket/key: Parameter validation failed"),
    ],
)
def test_what_is_not_there_is_said(s3: S3, tmp_path: Path, uri: str, said: str) -> None:
    s3.put("raw/a.csv", b"one\n")
    s3.put("hollow/", b"")
    with pytest.raises(CanonError) as caught:
        pin_source(uri.format(bucket=s3.bucket), root=tmp_path, endpoint=s3.endpoint)
    assert said.format(bucket=s3.bucket) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_whole_bucket_is_a_folder(s3: S3, tmp_path: Path) -> None:
    s3.put("a.csv", b"one\n")
    s3.put("d/b.csv", b"two\n")
    pin, source = pin_source(s3.uri(""), root=tmp_path, endpoint=s3.endpoint)
    assert pin.nfiles == 2
    assert fetch_source(source, pin, tmp_path / "raw", root=tmp_path, endpoint=s3.endpoint)
    assert (tmp_path / "raw" / "d" / "b.csv").read_bytes() == b"two\n"


def test_the_environments_endpoint_goes_before_the_profiles(
    s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3.put("raw.csv", b"one\n")
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        with monkeypatch.context() as patch:
            patch.setenv(name, s3.endpoint)
            pin_source(s3.uri("raw.csv"), root=tmp_path, endpoint="http://127.0.0.1:9")
            pin_source(s3.uri("raw.csv"), root=tmp_path)


def test_without_credentials_the_remedy_is_said(s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    s3.put("raw.csv", b"one\n")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(CanonError, match=r"no credentials to read .*AWS_PROFILE.*FSSPEC_S3_ANON"):
        pin_source(s3.uri("raw.csv"), root=tmp_path, endpoint=s3.endpoint)


def test_the_remedy_for_public_buckets_works(s3: S3, tmp_path: Path) -> None:
    s3.put("raw.csv", b"one\n")
    s3.client.put_object_acl(Bucket=s3.bucket, Key="raw.csv", ACL="public-read")
    script = "import sys; from pathlib import Path; from canon.data.pin import pin_source; print(pin_source(sys.argv[1], root=Path('.'), endpoint=sys.argv[2])[0].size)"
    environment = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
    environment |= {"FSSPEC_S3_ANON": "true", "AWS_EC2_METADATA_DISABLED": "true"}
    done = subprocess.run(
        [sys.executable, "-c", script, s3.uri("raw.csv"), s3.endpoint], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("4\n", "")


def test_a_server_that_is_down_is_said_without_waiting_for_ever(tmp_path: Path) -> None:
    with pytest.raises(CanonError, match=r"cannot read s3://bucket/x.csv: .*check the network and the endpoint"):
        pin_source("s3://bucket/x.csv", root=tmp_path, endpoint="http://127.0.0.1:9")


def test_an_endpoints_password_is_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(CanonError, match=r"cannot read s3://bucket/x.csv") as caught:
        pin_source("s3://bucket/x.csv", root=tmp_path, endpoint="http://user:hunter2@127.0.0.1:9")
    assert "hunter2" not in str(caught.value)


def error(status: int, code: str) -> Callable[[Handler], None]:
    body = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>no</Message></Error>'.encode()
    return lambda handler: send(handler, status, body, Content_Type="application/xml")


@pytest.mark.parametrize(
    ("path", "status", "code", "said"),
    [
        ("raw.csv", 403, "AccessDenied", "no right to read"),
        ("raw/", 403, "AccessDenied", "no right to read"),
        ("raw/", 400, "ExpiredToken", "no right to read"),
        ("raw.csv", 400, "ExpiredToken", "region and endpoint"),  # HEAD has no body, so the code does not arrive
        ("raw.csv", 301, "PermanentRedirect", "redirects in circles"),
        ("raw/", 503, "SlowDown", "busy or broken"),
        ("raw.csv", 500, "InternalError", "busy or broken"),
    ],
)
def test_an_answer_that_refuses_is_explained(
    web: Web, tmp_path: Path, path: str, status: int, code: str, said: str
) -> None:
    for place in ("/bucket", "/bucket/", f"/bucket/{path}"):
        web.script(place, error(status, code))
    with pytest.raises(CanonError) as caught:
        pin_source(f"s3://bucket/{path}", root=tmp_path, endpoint=web.url)
    assert said in str(caught.value)
    assert f"s3://bucket/{path}" in str(caught.value)
    if status != 301:  # botocore asks where the bucket is
        asked = [path for _, path, _ in web.requests if "list-type" in path or "raw.csv" in path]
        assert len(asked) == (retry.ATTEMPTS if status >= 500 else 1)


def test_a_server_that_is_busy_for_a_moment_is_asked_again(web: Web, tmp_path: Path) -> None:
    asked: list[str] = []

    def answer(handler: Handler) -> None:
        asked.append(handler.command)
        if len(asked) in {1, 3}:
            error(503, "SlowDown")(handler)
        elif len(asked) == 4:  # half of the body
            handler.send_response(200)
            handler.send_header("Content-Length", "4")
            handler.end_headers()
            handler.wfile.write(b"on")
        else:
            send(handler, 200, b"one\n")

    web.script("/bucket/raw.csv", answer)
    pin, _ = pin_source("s3://bucket/raw.csv", root=tmp_path, endpoint=web.url)
    assert pin == pin_of(tmp_path, b"one\n")
    assert asked == ["HEAD", "HEAD", "GET", "GET", "GET", "HEAD"]


def test_a_listing_of_several_pages_is_read_to_its_end(web: Web, tmp_path: Path) -> None:
    pages = {None: (["raw/a", "raw/b"], "1 &"), "1 &": ([], "2"), "2": (["raw/c"], "")}

    def answer(handler: Handler) -> None:
        keys, more = pages[dict(parse_qsl(handler.path.partition("?")[2])).get("continuation-token")]
        send(handler, 200, listing(*keys, more=more))

    web.script("/bucket", answer)
    for key in "abc":
        web.serve(f"/bucket/raw/{key}", b"one\n")
    pin, _ = pin_source("s3://bucket/raw/", root=tmp_path, endpoint=web.url)
    assert (pin.nfiles, pin.size) == (3, 12)


# tests/unit/data/test_names.py has all kinds of them
@pytest.mark.parametrize("keys", [("../evil.csv",), ("/etc/evil.csv",), ("A.csv", "a.csv"), ("a", "a/b")])
def test_names_of_a_hostile_listing_are_refused(web: Web, tmp_path: Path, keys: tuple[str, ...]) -> None:
    body = listing(*(f"raw/{key}" for key in keys))
    web.serve("/bucket", body)
    for key in keys:
        web.serve(f"/bucket/raw/{key}", b"evil")
    root = tmp_path / "repository"
    root.mkdir()
    pin = Pin(sha256="0" * 64, md5="0" * 32 + ".dir", size=4 * len(keys), nfiles=len(keys))
    with pytest.raises(CanonError, match=r"holds a file named|holds '|lists 'a' twice"):
        fetch_source(Source(uri="s3://bucket/raw/"), pin, root / "data" / "raw", root=root, endpoint=web.url)
    with pytest.raises(CanonError, match=r"holds a file named|holds '|lists 'a' twice"):
        pin_source("s3://bucket/raw/", root=root, endpoint=web.url)
    assert list(tmp_path.rglob("*")) == [root]


def test_a_listing_outside_the_prefix_is_refused(web: Web, tmp_path: Path) -> None:
    web.serve("/bucket", listing("other/x.csv"))
    with pytest.raises(CanonError, match="not asked for"):
        pin_source("s3://bucket/raw/", root=tmp_path, endpoint=web.url)


def test_a_listing_that_goes_in_circles_ends(web: Web, tmp_path: Path) -> None:
    web.serve("/bucket", listing(more="again"))
    with pytest.raises(CanonError, match="never ends"):
        pin_source("s3://bucket/raw/", root=tmp_path, endpoint=web.url)


def test_a_listing_longer_than_what_was_pinned_is_not_read_to_its_end(web: Web, tmp_path: Path) -> None:
    pages: list[str] = []

    def answer(handler: Handler) -> None:
        pages.append(handler.path)
        number = len(pages)
        send(handler, 200, listing(*(f"raw/{number}-{item}" for item in range(1000)), more=str(number)))

    web.script("/bucket", answer)
    pin = Pin(sha256="0" * 64, md5="0" * 32 + ".dir", size=10**9, nfiles=2_500)
    with pytest.raises(SourceChangedError, match="more files or bytes now"):
        fetch_source(Source(uri="s3://bucket/raw/"), pin, tmp_path / "raw", root=tmp_path, endpoint=web.url)
    assert len(pages) == 3


def test_objects_that_send_more_than_they_announced_end_early(web: Web, tmp_path: Path) -> None:
    web.serve("/bucket", listing("raw/a", "raw/b"))
    sent: list[int] = []

    def endless(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Connection", "close")
        handler.end_headers()
        while True:
            sent.append(handler.wfile.write(b"x" * 100_000))

    web.script("/bucket/raw/a", endless)
    web.script("/bucket/raw/b", endless)
    pin = Pin(sha256="0" * 64, md5="0" * 32 + ".dir", size=8, nfiles=2)
    with pytest.raises(SourceChangedError, match="more than 8 bytes now"):
        fetch_source(Source(uri="s3://bucket/raw/"), pin, tmp_path / "raw", root=tmp_path, endpoint=web.url)
    assert sum(sent) < 64_000_000
    assert not (tmp_path / "raw").exists()


CLOSING = """
import sys
from pathlib import Path
from canon.data.get import fetch_source
from canon.data.pin import pin_source
from canon.model.errors import CanonError
root = Path(".")
for uri in sys.argv[1:]:
    pin, source = pin_source(uri, root=root)
    fetch_source(source, pin, root / "data", root=root)
try:
    pin_source(sys.argv[1] + ".missing", root=root)
except CanonError as error:
    print("refused")
"""


def test_nothing_is_left_open(s3: S3, web: Web, tmp_path: Path) -> None:
    for name in "abcdef":
        s3.put(f"raw/{name}.csv", name.encode())
    uris = (s3.uri("raw/a.csv"), s3.uri("raw/"), web.serve("/x.csv", b"x"))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", CLOSING, *uris],
        cwd=tmp_path, env={**os.environ, "AWS_ENDPOINT_URL": s3.endpoint}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "refused\n", "")
