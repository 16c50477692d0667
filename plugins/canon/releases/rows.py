"""Releases as rows of a table and as JSON."""

from __future__ import annotations

import math
from typing import Any

from canon.model.release import Release
from canon.releases.history import Row, format_time

COLUMNS = ("since", "release", "image", "commit", "data", "metrics", "author", "why")


def release_document(release: Release) -> dict[str, Any]:
    """A release for a script; JSON has no NaN and no infinity: they are texts."""
    document: dict[str, Any] = release.model_dump(by_alias=True, exclude_none=True)
    document["metrics"] = {
        name: value if math.isfinite(value) else str(value) for name, value in release.metrics.items()
    }
    return {**document, "digest": release.digest, "tag": release.tag}


def row_document(row: Row) -> dict[str, Any]:
    """A row of the history for a script: ``release`` is null where the file said none."""
    return {
        "since": format_time(row.since),
        "release_commit": row.commit,
        "problem": row.problem or None,
        "release": release_document(row.release) if row.release is not None else None,
    }


def row_cells(row: Row) -> tuple[str, ...]:
    """A row of the history as the cells of a table."""
    release = row.release
    if release is None:
        return (format_time(row.since), "-", "", row.commit[:12], "", "", "", row.problem)
    came = ""
    if release.restores is not None:
        came = f" back to #{release.restores}"
    elif release.promoted is not None:
        came = f" from {release.promoted.environment} #{release.promoted.number}"
    metrics = " ".join(f"{name}={value:g}" for name, value in sorted(release.metrics.items())[:4])
    why = f"{release.why} ({row.problem})" if row.problem else release.why
    return (
        format_time(row.since),
        f"#{release.number} {release.version}{came}",
        release.digest[7:19],
        release.commit[:12],
        release.data_hash[:12],
        metrics,
        release.author,
        why,
    )
