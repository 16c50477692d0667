"""Which reader a URI is for; schemes whose clients are slow to import are imported when they are asked for."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

from canon.data.sources.reader import SourceReader
from canon.model.errors import CanonError
from canon.model.pins import has_credentials


@contextlib.contextmanager
def open_source(
    uri: str,
    *,
    root: Path,
    endpoint: str | None = None,
    version_id: str | None = None,
    stop: threading.Event | None = None,
) -> Iterator[SourceReader]:
    """Open a source; ``root`` is what relative paths start from, ``endpoint`` the S3 server unless AWS_ENDPOINT_URL says.

    ``version_id`` is an S3 object's version. Once ``stop`` is set, what waits for a server raises StoppedError.
    Raises CanonError for a URI with credentials, an unknown scheme, and a relative path that leaves the repository.
    """
    if has_credentials(uri):
        raise CanonError(
            "a source's URI carries credentials, and it would be committed; take them out and give them by the environment "
            "(AWS_… variables, ~/.aws, ~/.netrc)"
        )
    if not uri or not uri.isprintable():
        raise CanonError(f"{uri!r} is no source: write a path, s3://… or https://…, without control characters")
    stop = stop or threading.Event()
    scheme = uri.partition("://")[0].lower() if "://" in uri else "file"
    if scheme == "file":
        from canon.data.sources.local import LocalReader

        yield LocalReader(uri, root)
    elif scheme == "s3":
        from canon.data.sources.s3 import open_s3

        with open_s3(uri, endpoint=endpoint, version_id=version_id, stop=stop) as reader:
            yield reader
    elif scheme in {"http", "https"}:
        from canon.data.sources.web import open_web

        with open_web(uri, stop=stop) as page:
            yield page
    else:
        raise CanonError(f"{uri}: sources are local paths, s3://, http:// and https://, not {scheme}://")
