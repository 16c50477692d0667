"""Pinning: a source is read once, and its content named by hashes."""

from __future__ import annotations

import itertools
import threading
from pathlib import Path

from canon.data.progress import Progress, Silent
from canon.data.sources import SourceFile, SourceReader, open_source
from canon.data.sources.names import Names
from canon.data.transfer import Allowance, Transfer, pin_of, read_all
from canon.model.errors import CanonError
from canon.model.pins import Pin, Source


def pin_source(
    uri: str, *, root: Path, endpoint: str | None = None, progress: Progress | None = None, jobs: int = 4
) -> tuple[Pin, Source]:
    """Read every byte of a source once; return its pin, and where it was.

    ``root`` is what relative paths start from, ``endpoint`` the S3 server unless AWS_ENDPOINT_URL names one.
    Raises CanonError when there is no such source, no right to read it, nothing in it, or when it changes meanwhile. (A web
    server that announces neither a length nor an ETag, and ends early, cannot be told from one that has ended.)
    """
    progress, stop = progress or Silent(), threading.Event()
    with open_source(uri, root=root, endpoint=endpoint, stop=stop) as reader:
        files = listed(reader, uri)
        sizes = [file.size for file in files if file.size is not None]
        progress.start(sum(sizes) if len(sizes) == len(files) else None, len(files))
        try:
            transfer = Transfer(reader, progress, stop, Allowance(None))
            contents = read_all(files, transfer.read, jobs=min(jobs, len(files)), stop=stop)
        finally:
            progress.done()
        if any(before != after for before, after in itertools.zip_longest(files, reader.files())):
            raise CanonError(
                f"the source {uri} changed while it was read; wait until it is complete, then pin it again"
            )
        single = files[0] if reader.kind == "file" else None
        return pin_of(contents, is_folder=single is None), Source(
            uri=uri, etag=single.etag if single else None, version_id=single.version_id if single else None
        )


def listed(reader: SourceReader, uri: str) -> list[SourceFile]:
    """The files of a source. Raises CanonError for none at all, and for names that cannot lie in one folder."""
    files, names = [], Names(uri)
    for file in reader.files():
        if reader.kind == "folder":
            names.add(file.relpath)
        files.append(file)
    if not files:
        raise CanonError(f"there are no files in {uri}: it is empty, or there is no such folder; check the URI")
    return files
