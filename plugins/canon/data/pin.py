"""Pinning: a source is read once, and its content named by hashes."""

from __future__ import annotations

import threading
from pathlib import Path

from canon.data.progress import Progress, Silent
from canon.data.sources import SourceFile, open_source
from canon.data.transfer import Content, pin_of, read_all, read_content
from canon.model.errors import CanonError
from canon.model.pins import Pin, Source


def pin_source(
    uri: str, *, root: Path, endpoint: str | None = None, progress: Progress | None = None, jobs: int = 4
) -> tuple[Pin, Source]:
    """Read every byte of a source once; return its pin, and where it was.

    Raises CanonError when there is no such source, no right to read it, nothing in it, or when it changes meanwhile.
    """
    progress = progress or Silent()
    with open_source(uri, root=root, endpoint=endpoint) as reader:
        files = sorted(reader.files(), key=lambda file: file.relpath)
        if not files:
            raise CanonError(f"the source {uri} is an empty folder; there is nothing to pin")
        sizes = [file.size for file in files if file.size is not None]
        progress.start(sum(sizes) if len(sizes) == len(files) else None, len(files))

        def read(file: SourceFile, stop: threading.Event) -> Content:
            return read_content(reader, file, progress=progress, stop=stop)

        try:
            contents = read_all(files, read, jobs)
        finally:
            progress.done()
        if sorted(reader.files(), key=lambda file: file.relpath) != files:
            raise CanonError(
                f"the source {uri} changed while it was read; wait until it is complete, then pin it again"
            )
        single = files[0] if not reader.is_folder else None
        return pin_of(contents, is_folder=reader.is_folder), Source(
            uri=uri,
            etag=single.etag if single and "://" in uri and not uri.startswith("file://") else None,
            version_id=single.version_id if single else None,
        )
