"""Data in a pod: fetched, put into the workspace, saved and sent by DVC itself, with a cache and settings that the user's command does not see."""

from __future__ import annotations

import contextlib
import os
import posixpath
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from canon.dvc.hashes import Hash
from canon.model.errors import CanonError, listed
from canon.remotes.opening import Remote
from canon.steps.own import make_executable, opened_parent, take_out

if TYPE_CHECKING:
    from dvc.repo import Repo

REMOTE = "canon"


def settle_dvc(private: Path) -> None:
    """Let DVC work in a pod: it keeps its own state in /var/tmp otherwise, which a read-only root has not, and asks for its user's name and home."""
    os.environ["DVC_SITE_CACHE_DIR"] = str(private / "site")
    os.environ["DVC_NO_ANALYTICS"] = "1"
    os.environ.setdefault("LOGNAME", "canon")  # a uid of a pod has no name
    if not Path(os.path.expanduser("~")).is_absolute():  # noqa: PTH111  pathlib's raises where there is no home
        os.environ["HOME"] = str(private)


@contextlib.contextmanager
def open_store(private: Path, remote: Remote) -> Iterator[Store]:
    """Open DVC with its root in the private folder. Raises CanonError."""
    root = private / "dvc"
    (root / ".dvc").mkdir(parents=True, exist_ok=True)
    settle_dvc(private)
    from dvc.config import Config
    from dvc.repo import Repo

    # On S3 DVC believes an exchanged object of the same size unless it is told to verify.
    settings: dict[str, Any] = {"url": remote.url, "verify": True}
    if remote.options.get("endpoint"):
        settings["endpointurl"] = remote.options["endpoint"]
    with Config(str(root / ".dvc"), validate=False).edit("local", validate=False) as config:
        config["core"] = {"remote": REMOTE, "no_scm": "true", "analytics": "false", "check_update": "false"}
        config["cache"] = {"dir": str(private / "cache"), "type": "copy"}
        config["remote"] = {
            REMOTE: {key: str(value).lower() if value is True else value for key, value in settings.items()}
        }
    with Repo(str(root)) as repo:
        yield Store(repo, remote.url)


class Store:
    """Moves data between the remote, a private cache and the workspace."""

    def __init__(self, repo: Repo, url: str) -> None:
        self._repo, self._url = repo, url

    def fetch(self, hashes: Iterable[str]) -> None:
        """Bring objects, and the files of folders, into the cache. Raises CanonError for those that are missing or damaged."""
        wanted = {self._info(md5) for md5 in hashes}
        if not wanted:
            return
        cache = self._repo.cache.local
        folders = {info for info in wanted if info.isdir}
        with self._explained("fetch"):
            remote = self._repo.cloud.get_remote_odb(command="pull")
            # DVC looks for the files of folders in lists that must lie in the cache already.
            lacking = self._move(remote, cache, folders, verify=True, shallow=True)
            lacking |= {str(info.value) for info in folders if not cache.exists(info.value)}
            if not lacking:
                lacking = self._move(remote, cache, wanted, verify=True)
                lacking |= self._not_here(wanted)  # what was damaged is thrown away, and not told of
        if lacking:
            raise CanonError(
                f"the remote {self._url} does not have {listed(sorted(lacking))}, or has other bytes under that name; run `dvc push`"
                " where the data is, or remove the damaged objects and run the workflow anew"
            )

    def _not_here(self, wanted: set[Any]) -> set[str]:
        from dvc_data.hashfile import load

        cache = self._repo.cache.local
        lacking = {str(info.value) for info in wanted if not cache.exists(info.value)}
        for info in wanted:
            if info.isdir and str(info.value) not in lacking:
                members = {str(found.value) for _, _, found in load(cache, info)}
                lacking |= {md5 for md5 in members if not cache.exists(md5)}
        return lacking

    def put(self, made: Hash, code: Path, path: str) -> None:
        """Put an object of the cache at a path of the workspace, in place of what lies there. Raises CanonError.

        An out that could be executed can be again, as with `dvc checkout`; of the files of a folder DVC does not keep that.
        """
        from dvc_data.hashfile import load
        from dvc_data.hashfile.checkout import checkout

        cache = self._repo.cache.local
        with self._explained(f"put {path} into the workspace"), opened_parent(code, path, make=True) as folder:
            place = f"/proc/self/fd/{folder}/{posixpath.basename(path)}"
            checkout(place, self._local(), load(cache, self._info(made.md5)), cache, force=True, quiet=True)
            if made.isexec:
                make_executable(folder, posixpath.basename(path))

    def save(self, code: Path, path: str) -> Hash:
        """Put an out of the workspace into the cache. Raises CanonError for one that is not there, or that holds what is not its own."""
        from dvc_data.hashfile.build import build
        from dvc_data.hashfile.transfer import transfer

        cache = self._repo.cache.local
        with self._explained(f"save {path}"), tempfile.TemporaryDirectory(dir=self._repo.root_dir) as folder:
            own = Path(folder, "out")
            take_out(code, path, own)
            staging, meta, obj = build(cache, str(own), self._local(), "md5")
            transfer(staging, cache, {obj.hash_info}, shallow=False, hardlink=True)
        md5 = str(obj.hash_info.value)
        return Hash(md5, meta.size, meta.nfiles, isexec=bool(meta.isexec))

    def send(self, hashes: Iterable[str]) -> None:
        """Send objects of the cache, with the files of folders, to the remote. Raises CanonError."""
        wanted = {self._info(md5) for md5 in hashes}
        with self._explained("push"):
            lacking = self._move(self._repo.cache.local, self._repo.cloud.get_remote_odb(command="push"), wanted)
        if lacking:
            raise CanonError(f"the remote {self._url} did not take {len(lacking)} objects; the pod is tried again")

    def _move(
        self,
        source: Any,  # noqa: ANN401  DVC's own type
        target: Any,  # noqa: ANN401  DVC's own type
        wanted: set[Any],
        *,
        verify: bool = False,
        shallow: bool = False,
    ) -> set[str]:
        """Move objects and, unless ``shallow``, the files of folders; return the md5 of those that are not there, or could not be moved."""
        from canon.steps.progress import PodProgress

        lacking: set[str] = set()

        def look(status: Any) -> None:  # noqa: ANN401  DVC's own type
            lacking.update(str(info.value) for info in status.missing)

        with PodProgress() as progress:
            result = self._repo.cloud.transfer(
                source, target, wanted,
                cache_odb=self._repo.cache.local, verify=verify, shallow=shallow, validate_status=look, callback=progress,
            )  # fmt: skip
        return lacking | {str(info.value) for info in result.failed}

    def _local(self) -> Any:  # noqa: ANN401  DVC's own type
        from dvc_objects.fs import LocalFileSystem

        return LocalFileSystem()

    @staticmethod
    def _info(md5: str) -> Any:  # noqa: ANN401  DVC's own type
        from dvc_data.hashfile.hash_info import HashInfo

        return HashInfo("md5", md5)

    @contextlib.contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError, ClientError
        from dvc.exceptions import DvcException
        from dvc_data.hashfile.build import IgnoreInCollectedDirError
        from dvc_data.hashfile.checkout import CheckoutError
        from dvc_objects.errors import ObjectFormatError

        try:
            yield
        except (
            DvcException,
            ObjectFormatError,
            IgnoreInCollectedDirError,
            CheckoutError,
            BotoCoreError,
            ClientError,
            OSError,
        ) as error:
            words = " ".join(str(error).split())[:300]
            raise CanonError(f"cannot {what} ({self._url}): {words or type(error).__name__}") from None
