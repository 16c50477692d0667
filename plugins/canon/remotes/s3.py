"""A remote on S3: botocore's client, which s3fs brings. s3fs itself takes 0.25 s more to import, of the second that a lookup may take."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from canon.model.errors import CanonError
from canon.remotes.objects import AT_ONCE, MAX_OBJECT, Listed

CONNECT, SILENCE, TRIES = 10, 30, 5
"""Seconds until a server must have taken a connection, and that it may be silent; how often a request is sent (with botocore's pauses)."""
FAULT = 500
"""From which status on an answer is the server's own fault."""
NO_OBJECT = frozenset({"NoSuchKey", "404", "NotFound"})


class S3Objects:
    """Objects below ``s3://bucket/prefix``."""

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        self.name = url
        bucket, _, prefix = url.removeprefix("s3://").partition("/")
        if not bucket:
            raise CanonError(f"the remote's URL {url!r} names no bucket; write s3://bucket/prefix")
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._client = _client(url, options)

    def read(self, path: str) -> bytes | None:
        """As `Objects` says."""
        with self._explained(f"read {path}"):
            for left in reversed(range(TRIES)):
                try:
                    answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + path)
                except self._client.exceptions.NoSuchKey:
                    return None
                if answer["ContentLength"] > MAX_OBJECT:
                    answer["Body"].close()
                    raise CanonError(f"{self.name}/{path} has {answer['ContentLength']} bytes, more than {MAX_OBJECT}")
                content = _content(answer["Body"], is_last=not left)
                if content is not None:
                    return content
        return None

    def listed(self, prefix: str) -> tuple[Listed, ...]:
        """As `Objects` says."""
        return tuple(found for page in self._pages(prefix, Delimiter="/") for found in page)

    def below(self, prefix: str, most: int) -> tuple[Listed, ...] | None:
        """As `Objects` says."""
        found: list[Listed] = []
        for page in self._pages(prefix):
            found += page
            if len(found) > most:
                return None
        return tuple(found)

    def _pages(self, prefix: str, **options: str) -> Iterator[list[Listed]]:
        top = f"{self._prefix}{prefix.rstrip('/')}/"
        with self._explained(f"list {prefix}"):
            pages = self._client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self._bucket, Prefix=top, **options):
                yield [
                    Listed(item["Key"][len(top) :], item["LastModified"].timestamp(), item["Size"])
                    for item in page.get("Contents", ())
                ]

    def size(self, path: str) -> int | None:
        """As `Objects` says."""
        with self._explained(f"look for {path}"):
            from botocore.exceptions import ClientError

            try:
                return int(self._client.head_object(Bucket=self._bucket, Key=self._prefix + path)["ContentLength"])
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") in NO_OBJECT:
                    return None
                raise

    def write(self, path: str, content: bytes) -> None:
        """As `Objects` says."""
        with self._explained(f"write {path}"):
            self._client.put_object(Bucket=self._bucket, Key=self._prefix + path, Body=content)

    def remove(self, path: str) -> None:
        """As `Objects` says."""
        with self._explained(f"remove {path}"):
            self._client.delete_object(Bucket=self._bucket, Key=self._prefix + path)

    @contextlib.contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            remedy = "the server is at fault; try again" if status >= FAULT else "look at the credentials' rights"
            if code == "NoSuchBucket":
                remedy = f"there is no bucket {self._bucket}: make it, or correct the remote's URL"
            raise CanonError(f"{self.name} does not let us {what}: {code} (HTTP {status}); {remedy}") from None
        except (BotoCoreError, OSError) as error:
            raise CanonError(
                f"{self.name}: cannot {what} ({_words(error)}); look at endpoint, network and credentials"
            ) from None


def _content(body: Any, *, is_last: bool) -> bytes | None:  # noqa: ANN401  botocore has no types
    """The body of an answer; None where it broke off: that botocore does not try again. Raises its error for the last one."""
    from botocore.exceptions import BotoCoreError

    try:
        with contextlib.closing(body):
            content: bytes = body.read()
    except BotoCoreError:
        if is_last:
            raise
        return None
    return content


def _client(url: str, options: Mapping[str, Any]) -> Any:  # noqa: ANN401  botocore has no types
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError
    from botocore.session import Session

    config: dict[str, Any] = {
        "connect_timeout": CONNECT, "read_timeout": SILENCE, "max_pool_connections": AT_ONCE,
        "retries": {"mode": "standard", "total_max_attempts": TRIES},
    }  # fmt: skip
    if options.get("anonymous"):
        from botocore import UNSIGNED

        config["signature_version"] = UNSIGNED
    try:
        session = Session(profile=options.get("profile"))
        return session.create_client(
            "s3",
            endpoint_url=options.get("endpoint"),
            region_name=options.get("region"),
            aws_access_key_id=options.get("access_key_id"),
            aws_secret_access_key=options.get("secret_access_key"),
            aws_session_token=options.get("session_token"),
            verify=options.get("verify"),
            config=Config(**config),
        )
    except (BotoCoreError, ValueError) as error:
        raise CanonError(f"the remote {url} cannot be opened ({_words(error)}); look at its settings") from None


def _words(error: Exception) -> str:
    """A foreign error in one line, without what a URL's query may hold."""
    return " ".join(str(error).split()).partition("?")[0][:300]
