"""Where datasets come from: local paths, s3://, http(s)://. One reader a URI, all I/O through `SourceReader`."""

from __future__ import annotations

from canon.data.sources.opening import open_source
from canon.data.sources.reader import SourceFile, SourceReader, Stream

__all__ = ["SourceFile", "SourceReader", "Stream", "open_source"]
