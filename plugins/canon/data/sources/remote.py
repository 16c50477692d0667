"""Sources on S3 and on web servers, read through fsspec (s3fs, aiohttp)."""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Iterator
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from canon.data.sources.reader import SourceFile, check_relpath
from canon.model.errors import CanonError

TIMEOUT = 60
"""Seconds that a server may be silent."""


@contextlib.contextmanager
def open_remote(uri: str, scheme: str, endpoint: str | None, version_id: str | None) -> Iterator[RemoteReader]:
    """Open an S3 object, an S3 prefix that ends with ``/`` or has objects below it, or a web page. Raises CanonError."""
    if scheme == "s3":
        import s3fs

        filesystem = s3fs.S3FileSystem(
            endpoint_url=endpoint, version_aware=True, use_listings_cache=False, skip_instance_cache=True,
            config_kwargs={"read_timeout": TIMEOUT, "connect_timeout": 10, "retries": {"max_attempts": 4, "mode": "standard"}},
        )  # fmt: skip
    else:
        _check_host(uri)
        import aiohttp
        from fsspec.implementations.http import HTTPFileSystem

        filesystem = HTTPFileSystem(
            skip_instance_cache=True, use_listings_cache=False,
            client_kwargs={"timeout": aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=TIMEOUT)},
        )  # fmt: skip
    try:
        with _explained(uri):
            yield RemoteReader(uri, scheme, filesystem, version_id)
    finally:
        _close(filesystem)


def _close(filesystem: Any) -> None:  # noqa: ANN401  fsspec has no types
    """End the client now: left to the collector it warns, and may lose its event loop first."""
    from fsspec.asyn import sync

    with contextlib.suppress(Exception):
        if hasattr(filesystem, "_s3"):
            if filesystem._s3 is not None:  # noqa: SLF001  made at the first request; the property `s3` would make it now
                type(filesystem).close_session(filesystem.loop, filesystem._s3)  # noqa: SLF001
        else:
            session = sync(filesystem.loop, filesystem.set_session)
            sync(filesystem.loop, session.close)


def _check_host(uri: str) -> None:
    """Refuse link-local hosts: a cloud's metadata service hands out the machine's credentials there."""
    host = urlsplit(uri).hostname or ""
    with contextlib.suppress(ValueError):
        if ipaddress.ip_address(host).is_link_local:
            raise CanonError(f"{uri}: {host} is a link-local address, which no dataset lies at")


@contextlib.contextmanager
def _explained(uri: str) -> Iterator[None]:
    """Turn what s3fs, botocore and aiohttp raise into one sentence with a remedy."""
    try:
        yield
    except CanonError:
        raise
    except FileNotFoundError:
        raise CanonError(
            f"there is no source {uri}; check the URI, and that the right endpoint is meant (AWS_ENDPOINT_URL, or `endpoint` of the profile)"
        ) from None
    except PermissionError as error:
        raise CanonError(
            f"no right to read {uri} ({error}); check the credentials (AWS_PROFILE, AWS_ACCESS_KEY_ID …) and the bucket's policy"
        ) from None
    except Exception as error:
        module = type(error).__module__.partition(".")[0]
        if module in {"botocore", "aiobotocore", "aiohttp", "s3fs", "fsspec"} or isinstance(
            error, OSError | TimeoutError
        ):
            name = type(error).__name__
            remedy = (
                "give credentials (AWS_PROFILE, AWS_ACCESS_KEY_ID …)"
                if "Credentials" in name
                else "try again; check the network and the endpoint"
            )
            raise CanonError(
                f"cannot read {uri}: {name}: {str(error).splitlines()[0] if str(error) else ''}; {remedy}"
            ) from None
        raise


class RemoteReader:
    """A source behind fsspec."""

    def __init__(self, uri: str, scheme: str, filesystem: Any, version_id: str | None) -> None:  # noqa: ANN401  fsspec has no types
        self.uri, self.scheme, self.filesystem, self.version_id = uri, scheme, filesystem, version_id
        self.is_folder = scheme == "s3" and (uri.endswith("/") or not self._is_object())

    def _is_object(self) -> bool:
        try:
            return bool(self._info(self.uri)["type"] == "file")
        except FileNotFoundError:
            return False

    def _info(self, uri: str) -> Any:  # noqa: ANN401  fsspec has no types
        if self.version_id and self.scheme == "s3":
            return self.filesystem.info(uri, version_id=self.version_id)
        return self.filesystem.info(uri)

    def files(self) -> Iterator[SourceFile]:
        """Yield the files; names that leave the folder are refused."""
        if not self.is_folder:
            info = self._info(self.uri)
            size = info.get("size")
            yield SourceFile("", None if size is None else int(size), _etag(info), _version(info))
            return
        prefix = self.uri.removeprefix("s3://").rstrip("/") + "/"
        found = False
        for path, info in self.filesystem.find(prefix, detail=True).items():
            if info.get("type") == "file" and not (str(path).endswith("/") and not info.get("size")):
                found = True
                relpath = check_relpath(str(path).removeprefix(prefix), self.uri)
                yield SourceFile(relpath, int(info["size"]), _etag(info), _version(info))
        if not found:
            raise FileNotFoundError(self.uri)

    @contextlib.contextmanager
    def open(self, file: SourceFile) -> Iterator[BinaryIO]:
        """Open one file as a stream that is read once, at the version that was listed."""
        path = f"{self.uri.rstrip('/')}/{file.relpath}" if file.relpath else self.uri
        options: dict[str, Any] = {"cache_type": "readahead", "block_size": 8 * 1024 * 1024}
        if self.scheme == "s3" and (self.version_id or file.version_id):
            options["version_id"] = self.version_id or file.version_id
        if self.scheme != "s3":
            options = {"block_size": 0}  # a stream: many servers know no ranges
        with _explained(path), self.filesystem.open(path, "rb", **options) as stream:
            yield stream


def _etag(info: Any) -> str | None:  # noqa: ANN401  fsspec has no types
    etag = info.get("ETag") or info.get("etag")
    return str(etag).strip('"') if etag else None


def _version(info: Any) -> str | None:  # noqa: ANN401  fsspec has no types
    version = info.get("VersionId") or info.get("version_id")
    return str(version) if version and version != "null" else None
