from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from canon.model.project import load_project
from canon.results.sessions import close_session, open_session
from tests.conftest import BIN, Run, git
from tests.proxies import Call, Proxy, Script, answer, proxy_to
from tests.servers.mlflow_server import free_port, mlflow_server
from tests.tracking import Store, copy_clone, empty_store, files_below

pytestmark = pytest.mark.usefixtures("quick")
soak = pytest.mark.soak
SECRET = "tiab-2retnuh"[::-1]  # written forwards it would be found in this file
CREATE = "/api/2.0/mlflow/runs/create"
UPDATE = "/api/2.0/mlflow/runs/update"
VERSION = "/api/2.0/mlflow/model-versions/create"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("mlflow")
    shutil.copyfile(empty_store(tmp_path_factory), folder / "server.db")
    with mlflow_server(folder) as url:
        yield url


@pytest.fixture
def clone(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, direct: None) -> Path:  # noqa: ARG001  a fixture for its effect
    """A clone whose pipeline has run, without a store."""
    return copy_clone(tmp_path_factory, tmp_path / "clone", store="none")


@pytest.fixture
def proxy(server: str) -> Iterator[Proxy]:
    with proxy_to(server) as found:
        yield found


def remote(url: str, **more: str) -> dict[str, str]:
    """The environment of a user with a tracking server; a slow one is given up early."""
    return {
        "MLFLOW_TRACKING_URI": url,
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "1",
        "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0",
        **more,
    }


def forget(server: str) -> None:
    """Delete all rows of a server: the next test begins with none."""
    store = Store(server)
    for run in store.rows():
        store.client.delete_run(run.info.run_id)


@pytest.fixture(autouse=True)
def _no_rows(server: str, direct: None) -> None:  # noqa: ARG001  a fixture for its effect
    forget(server)


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def spool_of(clone: Path) -> list[str]:
    folder = clone / ".dvc/tmp/canon/spool"
    return sorted(path.parent.name for path in folder.glob("*/record.json"))


def only_complete_row(server: str) -> str:
    """The id of the only row, which must be whole: params, metrics, artifacts, one model version."""
    store = Store(server)
    row = store.row()
    assert row.info.status == "FINISHED"
    assert row.data.metrics["n"] == 105
    assert row.data.params["train.knots"] == "12"
    assert [found.dataset.name for found in row.inputs.dataset_inputs] == ["raw"]  # type: ignore[union-attr]
    assert {"dvc.lock", "result.json", "plots/results/co2/forecast.csv"} <= store.artifacts(row).keys()
    assert len(store.client.search_model_versions(f"run_id = '{row.info.run_id}'")) == 1
    (model,) = store.client.search_logged_models(
        [row.info.experiment_id], filter_string=f"source_run_id = '{row.info.run_id}'"
    )
    assert str(model.status) == "READY"
    return str(row.info.run_id)


def test_a_row_lands_on_the_server_and_no_password_anywhere(clone: Path, server: str, proxy: Proxy, run: Run) -> None:
    git(clone, "remote", "set-url", "origin", f"https://me:{SECRET}@example.com/team/co2.git?token={SECRET}")
    # The server itself asks for no credentials; the proxy does.
    proxy.script = lambda call: (
        "pass" if call.handler.headers["Authorization"] == basic("me", SECRET) else answer(call, 401)
    )
    done = run(clone, "canon", "track", "co2", "--json", env=remote(proxy.url.replace("://", f"://me:{SECRET}@")))
    only_complete_row(server)
    row = Store(server).row()
    assert (
        json.loads(done.stdout)["url"] == f"{proxy.url}/#/experiments/{row.info.experiment_id}/runs/{row.info.run_id}"
    )
    assert row.data.tags["mlflow.source.git.repoURL"] == "https://example.com/team/co2.git"
    artifacts = b"".join(Store(server).artifacts(row).values())
    assert SECRET not in done.stdout + done.stderr + json.dumps(row.to_dictionary()) + artifacts.decode("latin-1")
    # The same with a server that is not there: message and spool.
    gone = run(clone, "canon", "track", "co2", env=remote(f"http://me:{SECRET}@127.0.0.1:{free_port()}"))
    assert "does not answer" in gone.stderr
    again = run(clone, "canon", "--debug", "log", env=remote(f"http://me:{SECRET}@127.0.0.1:{free_port()}"), code=None)
    assert again.returncode != 0
    assert SECRET not in gone.stdout + gone.stderr + again.stdout + again.stderr
    assert not [path for path in files_below(clone) if SECRET.encode() in path.read_bytes()]


def refuse(status: int, body: bytes = b"no") -> Script:
    return lambda call: answer(call, status, body)


def hang(call: Call) -> str:
    threading.Event().wait(30)
    return answer(call, 200, b"{}")


@pytest.mark.parametrize(
    ("script", "says"),
    [
        (refuse(401), "asks for credentials (401): set MLFLOW_TRACKING_USERNAME"),
        pytest.param(
            refuse(403, b'{"error_code": "PERMISSION_DENIED", "message": "no"}'), "no right to write (403)", marks=soak
        ),
        (refuse(500), "127.0.0.1 answers 500: its log says why"),
        (hang, "does not answer in time"),
        pytest.param(
            lambda call: answer(call, 200, b"<html>a portal</html>"), "MLflow at http://127.0.0.1", marks=soak
        ),
        pytest.param(None, "does not answer; is the server up", marks=soak),
    ],
    ids=["401", "403", "500", "slow", "portal", "refused"],
)
def test_a_server_that_does_not_take_a_row_fails_nothing(
    clone: Path, script: Script | None, says: str, run: Run
) -> None:
    before = (clone / "results/co2.json").read_bytes()
    with proxy_to("") as proxy:
        if script is not None:
            proxy.script = script
        url = proxy.url if script is not None else f"http://127.0.0.1:{free_port()}"
        done = run(clone, "canon", "track", "co2", env=remote(url))
    assert says in done.stderr
    assert (
        f"is kept in {clone}/.dvc/tmp/canon/spool; the next `canon log --spooled` or `canon track` sends it"
        in done.stderr
    )
    assert "Traceback" not in done.stderr
    assert "spooled" in done.stdout
    assert (clone / "results/co2.json").read_bytes() == before
    assert len(spool_of(clone)) == 1


def test_repro_with_a_dead_server_succeeds_and_two_senders_send_its_result_once(
    clone: Path, server: str, run: Run
) -> None:
    file = clone / "params/co2.yaml"
    file.write_text(file.read_text().replace("digits: 4", "digits: 3"))
    dead = remote(f"http://127.0.0.1:{free_port()}")
    assert "is kept in" in run(clone, "dvc", "repro", env=dead).stderr
    waiting = spool_of(clone)
    assert len(waiting) == 1
    failed = run(clone, "canon", "log", "--spooled", env=dead, code=1)
    assert "did not take every result" in failed.stderr
    assert run(clone, "canon", "log", env=dead, code=1).returncode == 1
    assert spool_of(clone) == waiting
    senders = [start(clone, "canon", "log", "--spooled", env=remote(server)) for _ in range(2)]
    outputs = [sender.communicate(timeout=120) for sender in senders]
    assert [sender.returncode for sender in senders] == [0, 0], outputs
    assert sum(error.count("1 spooled result was sent") for _, error in outputs) == 1
    only_complete_row(server)
    assert spool_of(clone) == []
    assert Store(server).row().data.tags["canon.result"] == waiting[0]


def start(folder: Path, *command: str, env: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command, cwd=folder, env={**os.environ, **env}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize(
    "where",
    [
        pytest.param(CREATE, marks=soak),
        pytest.param(UPDATE, marks=soak),
        pytest.param(VERSION, marks=soak),
        pytest.param("artifacts", marks=soak),
    ],
)
def test_a_sender_killed_half_way_is_finished_by_the_next(
    clone: Path, server: str, proxy: Proxy, where: str, run: Run
) -> None:
    run(clone, "canon", "track", "co2", env=remote(f"http://127.0.0.1:{free_port()}"))
    reached, gone = threading.Event(), threading.Event()

    def stop_here(call: Call) -> str:
        if where in call.path and call.method != "GET":
            reached.set()
            gone.wait(60)
            return "done"
        return "pass"

    proxy.script = stop_here
    sender = start(clone, "canon", "log", "--spooled", env=remote(proxy.url, MLFLOW_HTTP_REQUEST_TIMEOUT="60"))
    assert reached.wait(60)
    sender.send_signal(signal.SIGKILL)
    sender.communicate()
    gone.set()
    assert len(spool_of(clone)) == 1
    assert "1 spooled result was sent" in run(clone, "canon", "log", "--spooled", env=remote(server)).stderr
    only_complete_row(server)
    assert spool_of(clone) == []


@pytest.mark.parametrize(
    "where",
    [
        CREATE,
        pytest.param(UPDATE, marks=soak),
        pytest.param(VERSION, marks=soak),
        pytest.param("logged-models", marks=soak),
    ],
)
def test_an_answer_that_was_lost_makes_no_second_row(
    clone: Path, server: str, proxy: Proxy, where: str, run: Run
) -> None:
    lost: list[str] = []

    def lose_once(call: Call) -> str:
        if call.path.endswith(where) and call.method == "POST" and not lost:
            lost.append(call.path)
            return "lose"
        return "pass"

    proxy.script = lose_once
    env = remote(proxy.url, MLFLOW_HTTP_REQUEST_TIMEOUT="60")
    first = run(clone, "canon", "track", "co2", env=env)
    assert lost
    if "spooled" in first.stdout:
        run(clone, "canon", "track", "co2", env=env)
    only_complete_row(server)
    assert spool_of(clone) == []


KILLED = "import os, mlflow; mlflow.start_run(run_name='own'); os._exit(0)"


@pytest.mark.filterwarnings("ignore:The ``noload``")
def test_own_runs_of_a_session_whose_server_goes_away_are_ended_and_get_their_row_when_it_is_back(
    clone: Path, server: str, proxy: Proxy, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in remote(proxy.url).items():
        monkeypatch.setenv(name, value)
    said: list[str] = []
    project = load_project(clone)
    session = open_session(project, project.pipeline("co2"), said.append)
    run(clone, str(BIN / "python"), "-W", "ignore", "-c", KILLED, env=dict(session.environment("train")))
    (own,) = Store(server).rows("Default")
    assert (own.info.status, own.data.tags["canon.stage"]) == ("RUNNING", "train")
    somebodys = Store(server).client.create_run(own.info.experiment_id, tags={"canon.session": "f" * 32})
    proxy.script = lambda _: "drop"
    assert "  spooled" in run(clone, "canon", "track", "co2", env=dict(session.environment("track"))).stdout
    close_session(project, session, {"train": "done", "track": "done"}, said.append)
    assert "does not answer" in said[0]
    assert spool_of(clone)
    proxy.script = lambda _: "pass"
    assert "an MLflow run that `train` left open is FINISHED now" in run(clone, "canon", "log", "--spooled").stderr
    row = only_complete_row(server)
    own = Store(server).client.get_run(own.info.run_id)
    assert (own.info.status, own.data.tags["mlflow.parentRunId"]) == ("FINISHED", row)
    other = Store(server).client.get_run(somebodys.info.run_id)
    assert (other.info.status, other.data.tags.get("mlflow.parentRunId")) == ("RUNNING", None)
    # Once more: what is settled is asked of nobody.
    proxy.calls.clear()
    assert "nothing was spooled" in run(clone, "canon", "log", "--spooled").stdout
    assert proxy.calls == []
