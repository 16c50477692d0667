"""Sources on S3: s3fs brings session, credentials and configuration; objects are listed and streamed by its client."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import Any, Literal

from canon.data.retry import retried
from canon.data.sources.calls import CONNECT, SILENCE, Calls
from canon.data.sources.explain import explained_s3
from canon.data.sources.reader import SourceFile
from canon.data.sources.streams import RemoteStream, etag_from_header
from canon.model.errors import CanonError

CONNECTIONS = 64


@contextlib.contextmanager
def open_s3(uri: str, *, endpoint: str | None, version_id: str | None, stop: threading.Event) -> Iterator[S3Reader]:
    """Open an object ``s3://bucket/key``, or all objects below ``s3://bucket/prefix/``. Raises CanonError."""
    import s3fs

    bucket, slash, key = uri.partition("://")[2].partition("/")
    if not bucket or not slash:
        raise CanonError(
            f"{uri}: name an object, s3://bucket/key, or a folder with a slash at its end, s3://bucket/prefix/"
        )
    calls = Calls(stop)
    # One policy of trying again, ours: botocore's and s3fs's own would multiply with it.
    filesystem = s3fs.S3FileSystem(
        asynchronous=True, skip_instance_cache=True, use_listings_cache=False,
        endpoint_url=os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or endpoint,
        config_kwargs={
            "connect_timeout": CONNECT, "read_timeout": SILENCE, "max_pool_connections": CONNECTIONS, "retries": {"total_max_attempts": 1},
        },
    )  # fmt: skip
    with explained_s3(uri):
        client = calls.wait(filesystem.set_session())
    try:
        yield S3Reader(uri, bucket, key, version_id, client, calls, stop)
    finally:
        calls.end(client.close())


class S3Reader:
    """An object or a prefix."""

    kind: Literal["file", "folder"]

    def __init__(
        self,
        uri: str,
        bucket: str,
        key: str,
        version_id: str | None,
        client: Any,  # noqa: ANN401  aiobotocore has no types
        calls: Calls,
        stop: threading.Event,
    ) -> None:
        self.uri = uri
        self._label = f"{uri} (version {version_id})" if version_id else uri
        self.kind = "folder" if not key or key.endswith("/") else "file"
        self._bucket, self._key, self._version_id = bucket, key, version_id
        self._client, self._calls, self._stop = client, calls, stop

    def _call(self, operation: str, **options: object) -> Any:  # noqa: ANN401  botocore's answers
        def attempt() -> Any:  # noqa: ANN401
            with explained_s3(self._label):
                return self._calls.wait(getattr(self._client, operation)(Bucket=self._bucket, **options))

        return retried(attempt, self._stop)

    def files(self) -> Iterator[SourceFile]:
        """Yield the objects, page after page; the empty ones that consoles make for folders are left out."""
        if self.kind == "file":
            version = {"VersionId": self._version_id} if self._version_id else {}
            head = self._call("head_object", Key=self._key, **version)
            found = head.get("VersionId")
            yield SourceFile(
                "",
                int(head["ContentLength"]),
                etag_from_header(head.get("ETag")),
                version_id=found if found and found != "null" else None,
            )
            return
        more: dict[str, str] = {}
        while True:
            page = self._call("list_objects_v2", Prefix=self._key, **more)
            for item in page.get("Contents") or ():
                if not str(item["Key"]).startswith(self._key):
                    raise CanonError(f"{self.uri}: the server lists what was not asked for; check the endpoint")
                if not str(item["Key"]).endswith("/") or item["Size"]:
                    yield SourceFile(
                        str(item["Key"])[len(self._key) :], int(item["Size"]), etag_from_header(item.get("ETag"))
                    )
            token = page.get("NextContinuationToken")
            if not page.get("IsTruncated"):
                return
            if not token or token == more.get("ContinuationToken"):
                raise CanonError(f"{self.uri}: the server's listing never ends; check the endpoint")
            more = {"ContinuationToken": token}

    @contextlib.contextmanager
    def open(self, file: SourceFile) -> Iterator[RemoteStream]:
        """Open one object at the version that was listed; one that was overwritten since is refused by the server."""
        uri = f"{self.uri}{file.relpath}"
        options: dict[str, str] = {}
        if file.version_id:
            options["VersionId"] = file.version_id
        elif file.etag:
            options["IfMatch"] = f'"{file.etag}"'
        with explained_s3(uri):
            answer = self._calls.wait(
                self._client.get_object(Bucket=self._bucket, Key=f"{self._key}{file.relpath}", **options)
            )
        try:
            yield RemoteStream(uri, answer["Body"], self._calls, explained_s3)
        finally:
            self._calls.end(_close(answer["Body"]))


async def _close(body: Any) -> None:  # noqa: ANN401  aiobotocore's body
    body.close()
