"""Which remote: as a manifest says it to a pod, or as DVC's configuration says it in a checkout."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from canon.model.cluster import REMOTE_ENDPOINT_VARIABLE, REMOTE_URL_VARIABLE
from canon.model.errors import CanonError
from canon.remotes.folder import FolderObjects
from canon.remotes.objects import Objects
from canon.remotes.s3 import S3Objects

TAKEN = {
    "endpointurl": "endpoint", "profile": "profile", "region": "region", "access_key_id": "access_key_id",
    "secret_access_key": "secret_access_key", "session_token": "session_token", "ssl_verify": "verify",
    "allow_anonymous_login": "anonymous",
}  # fmt: skip
"""DVC's settings of a remote on S3 → ours."""


@dataclass(frozen=True, slots=True)
class Remote:
    """A remote: its URL, and how it is spoken to."""

    url: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def objects(self) -> Objects:
        """Open it. Raises CanonError for a kind that is not known here."""
        if self.url.startswith("s3://"):
            return S3Objects(self.url, self.options)
        scheme = urlsplit(self.url).scheme
        if scheme not in {"", "file"} or not self.url:
            raise CanonError(
                f"results in the remote {self.url} cannot be looked up: it is neither on S3 nor a folder; choose a remote s3://…"
            )
        return FolderObjects(Path(self.url.removeprefix("file://")))


def remote_of_environment(environ: Mapping[str, str] = os.environ) -> Remote:
    """The remote that a pod's manifest names; credentials are those of the environment or the account. Raises CanonError."""
    url = environ.get(REMOTE_URL_VARIABLE)
    if not url:
        raise CanonError(f"{REMOTE_URL_VARIABLE} is not set: this runs in a pod of a Workflow that `canon render` made")
    endpoint = (
        environ.get(REMOTE_ENDPOINT_VARIABLE) or environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL")
    )
    return Remote(url, {"endpoint": endpoint} if endpoint else {})


def remote_of_checkout(root: Path, name: str | None) -> Remote:
    """A remote by its name in DVC's configuration, the default one without a name. Raises CanonError."""
    from dvc.config import Config, ConfigError

    try:
        config = Config(dvc_dir=str(root / ".dvc"))
    except ConfigError as error:
        raise CanonError(
            f"DVC cannot read its settings in {root}/.dvc ({' '.join(str(error).split())}); mend them"
        ) from None
    name = name or config.get("core", {}).get("remote")
    if not name:
        raise CanonError("no remote is named: set `remote` of the profile, or a default one with `dvc remote default`")
    settings = config.get("remote", {}).get(name)
    if settings is None:
        raise CanonError(f"DVC knows no remote `{name}`; add it: `dvc remote add {name} s3://…`")
    options = {ours: settings[theirs] for theirs, ours in TAKEN.items() if settings.get(theirs) is not None}
    endpoint = options.get("endpoint") or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    return Remote(str(settings["url"]), options | ({"endpoint": endpoint} if endpoint else {}))
