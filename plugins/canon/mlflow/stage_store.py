"""Where users' own runs inside stages go: the store that results go to, where MLflow's own default would be another one.

MLflow's default is `mlflow.db` in the folder that a command runs in. That is the project's own store for a stage at the root. It is another
one for a stage with a `wdir`, it vanishes with a temporary copy of the project, and it is not the server that a profile names.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from canon.connections import no_proxies
from canon.mlflow.credentials import has_own, is_server, load_credentials
from canon.mlflow.store import LOCK_TIMEOUT, SQLITE, clean, sqlite_file, store_lock
from canon.model.errors import StoreUnavailableError, printable
from canon.model.stage import Stage

OWN_STORES = ("mlflow.db", "mlruns")
"""What MLflow keeps in a folder by default. Stages that declare one as a dep or an out mean that one."""
LARGEST_CODE, MOST_FILES = 1 << 20, 2000
"""Bytes of a file, and files of a folder, that are looked at for MLflow's name."""
CONNECT, ANSWER = 2.0, 3.0
"""Seconds that a server has to answer, before a run begins."""
_MAKE = "import sys; from mlflow import MlflowClient; MlflowClient(tracking_uri=sys.argv[1], registry_uri=sys.argv[1]).search_experiments()"


def check_server(uri: str) -> None:
    """Raise StoreUnavailableError where a server does not answer soon what MLflow's client asks it. No MLflow is imported for it.

    One that asks for credentials by a plugin (MLFLOW_TRACKING_AUTH) or AWS's signatures need only answer.
    """
    import requests

    env = os.environ
    auth, token = load_credentials(uri)
    signed = not has_own(uri) and (  # what stands in the address is all that it gets
        env.get("MLFLOW_TRACKING_AUTH") or env.get("MLFLOW_TRACKING_AWS_SIGV4", "").lower() in {"1", "true"}
    )
    insecure = env.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in {"1", "true"}
    try:
        with requests.get(
            f"{uri.rstrip('/')}/api/2.0/mlflow/experiments/search", params={"max_results": "1"}, timeout=(CONNECT, ANSWER), stream=True,
            headers={"Authorization": f"Bearer {token}"} if token else None, auth=auth,
            verify=False if insecure else env.get("MLFLOW_TRACKING_SERVER_CERT_PATH") or None, proxies=no_proxies(uri),
        ) as answer:  # fmt: skip
            status, kind = answer.status_code, answer.headers.get("Content-Type", "")
    except (requests.RequestException, ValueError) as error:
        raise StoreUnavailableError(f"MLflow at {clean(uri)} does not answer ({type(error).__name__})") from None
    if not (status == requests.codes.ok and kind.startswith("application/json")) and not (
        signed and status in {401, 403}
    ):
        raise StoreUnavailableError(f"MLflow at {clean(uri)} answers {status} ({printable(kind)[:40] or 'nothing'})")


def _address(uri: str, folder: Path) -> str | None:
    """What MLFLOW_TRACKING_URI has to be for a command in ``folder``; None where MLflow goes to the store by itself.

    The format of an SQLite store is that of one version of MLflow: where the stages' Python is not this one, it stays with theirs.
    """
    file = sqlite_file(uri)
    if file is None:
        return uri
    if file.resolve() == (folder / "mlflow.db").resolve() or not _same_python():
        return None
    return uri


def means_own_store(stages: Iterable[Stage]) -> bool:
    """Tell whether one of the deps and outs of stages is a store of MLflow's, or lies in one."""
    return any(
        set(OWN_STORES) & set(path.split("/")) for stage in stages for path in (*stage.dep_paths, *stage.out_paths)
    )


def _python() -> str:
    """The Python that stages find."""
    return shutil.which("python") or shutil.which("python3") or sys.executable


def _same_python() -> bool:
    return Path(_python()).parent.resolve() == Path(sys.executable).parent.resolve()


def make_store(file: Path, folder: Path) -> None:
    """Make an SQLite store, by the MLflow that stages find, where there is none: two that use one first at the same moment both fail (measured).

    From ``folder``, as MLflow notes where the artifacts of its first experiment go. Where that MLflow cannot, it is left to the stages.
    Raises StoreUnavailableError where its folder is not writable.
    """
    uri = f"{SQLITE}{file.absolute()}"
    env = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    with store_lock(uri, folder):
        if not file.exists():
            # Not of this folder: the project may have a module with the name of one that MLflow imports.
            command = [_python(), "-W", "ignore", "-c", f"import sys; sys.path[:1] = []; {_MAKE}", uri]
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                subprocess.run(
                    command, cwd=folder, env=env, check=False, timeout=LOCK_TIMEOUT, stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                )  # fmt: skip


class StageCode:
    """The stages of a pipeline, and which of them may use MLflow: those in whose commands, declared code or requirements its name stands."""

    def __init__(self, root: Path, stages: Iterable[Stage]) -> None:
        self.root, self.stages = root, tuple(stages)
        self._made = {path for stage in self.stages for path in stage.out_paths}
        self._known: dict[str, bool] = {}

    def uses_mlflow(self, stage: Stage) -> bool:
        """Tell whether a stage may. Of a folder its Python files are read, and of any file what is not longer than code."""
        commands = [stage.cmd] if isinstance(stage.cmd, str) else stage.cmd
        return any("mlflow" in command.lower() for command in commands) or any(
            self._has_word(dep) for dep in stage.dep_paths if dep not in self._made
        )

    def _has_word(self, dep: str) -> bool:
        if dep not in self._known:
            self._known[dep] = any(_has_word(file) for file in _code(self.root / dep))
        return self._known[dep]


def _code(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    left = MOST_FILES  # a folder of data may hold millions
    for folder, _, names in os.walk(path):
        yield from (Path(folder, name) for name in names[:left] if name.endswith(".py"))
        left -= len(names)
        if left <= 0:
            return


def _has_word(file: Path) -> bool:
    try:
        return file.is_file() and file.stat().st_size <= LARGEST_CODE and b"mlflow" in file.read_bytes()
    except OSError:
        return False


def make_stores(code: StageCode, uri: str, home: Path, addresses: Mapping[str, str]) -> None:
    """Make the SQLite stores that two stages may be the first to use: at the same moment both would fail.

    Raises StoreUnavailableError where the folder of one is not writable.
    """
    given = os.environ.get("MLFLOW_TRACKING_URI")
    users: dict[Path, list[Stage]] = {}
    for stage in () if means_own_store(code.stages) else code.stages:
        default = f"{SQLITE}{code.root / stage.folder}/mlflow.db"
        file = sqlite_file(uri if given else addresses.get(stage.name, default))
        if file is not None and not file.exists() and code.uses_mlflow(stage):
            users.setdefault(file, []).append(stage)
    for file, stages in users.items():
        if len(stages) > 1:
            make_store(file, home if file.parent == home else code.root / stages[0].folder)


def stage_addresses(uri: str, stages: Sequence[Stage], root: Path) -> dict[str, str]:
    """Stage → MLFLOW_TRACKING_URI, for those that need it to reach the store of results.

    For none where the user's environment says it, nor where stages declare a store of their own. Raises StoreUnavailableError for a server that does
    not answer: a stage that logs to a file passes, one that is sent to such a server does not.
    """
    if os.environ.get("MLFLOW_TRACKING_URI") or means_own_store(stages):
        return {}
    if is_server(uri):
        check_server(uri)
    elif sqlite_file(uri) is None:  # a database, which would need its password there, or a scheme of somebody's plugin
        return {}
    found = {stage.name: _address(uri, root / stage.folder) for stage in stages}
    return {stage: address for stage, address in found.items() if address}
