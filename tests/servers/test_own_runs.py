"""Users' own runs, and servers that do not answer, answer late, or answer what was not asked."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from canon.mlflow.stage_store import check_server
from canon.model.errors import StoreUnavailableError
from canon.model.project import load_project
from canon.results.session_files import SESSIONS, Kept, create_file
from canon.results.sessions import close_session, open_session, settle_sessions
from tests.conftest import git
from tests.proxies import Call, answer, proxy_to
from tests.servers.mlflow_server import free_port

pytestmark = [pytest.mark.usefixtures("direct"), pytest.mark.filterwarnings("ignore:The ``noload``")]
SECRET = "tiab-2retnuh"[::-1]  # written forwards it would be found in this file


@pytest.fixture
def project(repository: Path) -> Path:
    """A pipeline of one stage, whose profile names a server that is not there."""
    (repository / "pyproject.toml").write_text(
        f'[tool.canon]\ndefault_profile = "local"\n[tool.canon.profiles.local]\nmlflow = "http://127.0.0.1:{free_port()}"\n'
    )
    (repository / "pipelines").mkdir()
    (repository / "pipelines/one.yaml").write_text("name: one\nstages: {fit: {cmd: python fit.py, outs: [model]}}\n")
    git(repository, "add", ".")
    git(repository, "commit", "-qm", "declared")
    return repository


def answer_json(call: Call, document: object) -> str:
    body = json.dumps(document).encode()
    call.handler.send_response(200)
    call.handler.send_header("Content-Type", "application/json")
    call.handler.send_header("Content-Length", str(len(body)))
    call.handler.end_headers()
    call.handler.wfile.write(body)
    return "done"


def test_a_profiles_server_gets_the_runs_of_stages_where_it_answers_and_else_a_file_does(project: Path) -> None:
    said: list[str] = []
    loaded = load_project(project)
    session = open_session(loaded, loaded.pipelines[0], said.append)
    assert "MLFLOW_TRACKING_URI" not in session.environment(
        "fit"
    )  # as with `dvc repro`, the stage logs to mlflow.db in its folder
    assert "does not answer" in said[0]
    assert f"MLflow runs inside stages go to sqlite:///{project}/mlflow.db this time" in said[0]
    close_session(loaded, session, {"fit": "failed"}, said.append)
    assert len(said) == 1
    with proxy_to("") as proxy:
        proxy.script = lambda call: answer_json(call, {"experiments": []})
        file = project / "pyproject.toml"
        file.write_text(file.read_text().rpartition("mlflow =")[0] + f'mlflow = "{proxy.url}"\n')
        loaded = load_project(project)
        assert open_session(loaded, loaded.pipelines[0]).environment("fit")["MLFLOW_TRACKING_URI"] == proxy.url
        # A stage that keeps a store of its own goes on keeping it.
        declared = project / "pipelines/one.yaml"
        declared.write_text(declared.read_text().replace("[model]", "[model, sub/mlruns]"))
        loaded = load_project(project)
        assert "MLFLOW_TRACKING_URI" not in open_session(loaded, loaded.pipelines[0]).environment("fit")


def test_what_a_server_is_asked_before_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    with proxy_to("") as proxy:
        for status, kind in ((401, "application/json"), (200, "text/html"), (500, "application/json")):

            def script(call: Call, status: int = status, kind: str = kind) -> str:
                call.handler.send_response(status)
                call.handler.send_header("Content-Type", kind)
                call.handler.end_headers()
                return "done"

            proxy.script = script
            with pytest.raises(StoreUnavailableError, match=f"answers {status}"):
                check_server(proxy.url)
        seen: list[str] = []
        proxy.script = lambda call: (
            seen.append(str(call.handler.headers["Authorization"])) or answer_json(call, {})  # type: ignore[func-returns-value]
        )
        check_server(proxy.url)
        monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "abc")
        check_server(proxy.url)
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "me")
        (Path.home() / ".mlflow").mkdir()
        (Path.home() / ".mlflow/credentials").write_text(
            "[mlflow]\nmlflow_tracking_username=x\nmlflow_tracking_password=%\n"
        )
        check_server(proxy.url)  # as MLflow, which reads each from the file where there is no variable
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "pw")
        check_server(proxy.url)
        check_server(proxy.url.replace("://", "://you:wp@"))
        assert seen == ["None", "Bearer abc", "Basic bWU6JQ==", "Basic bWU6cHc=", "Basic eW91Ondw"]
        monkeypatch.setenv("MLFLOW_TRACKING_AUTH", "plugin")
        proxy.script = lambda call: answer(call, 403)
        check_server(proxy.url)


def test_a_server_that_is_down_is_said_and_what_is_open_is_closed_later(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("canon.mlflow.own_runs.MOST_PAGES", 3)
    with proxy_to("") as proxy:
        ended: list[dict[str, object]] = []
        monkeypatch.setenv("MLFLOW_TRACKING_URI", proxy.url.replace("://", f"://me:{SECRET}@"))
        loaded = load_project(project)
        said: list[str] = []
        session = open_session(loaded, loaded.pipelines[0], said.append)
        session.environment("fit")
        assert said == []
        proxy.script = lambda _: "drop"
        close_session(loaded, session, {"fit": "failed"}, said.append)
        settle_sessions(loaded, said.append)
        assert len(said) == 4
        assert f"MLflow at {proxy.url} does not answer" in said[0]
        assert "the next `canon run`, `canon log` or `canon track` closes them" in said[1]
        (kept,) = (project / SESSIONS).iterdir()
        assert SECRET not in kept.read_text() + "".join(said)
        proxy.script = lambda call: hostile(call, session.id, ended)
        # Another address, and no credentials of this one go there.
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://you:{SECRET}@127.0.0.1:1")
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "you")  # as a client of that address leaves them
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", SECRET)
        settle_sessions(loaded, said.append)
        assert [(each["run_id"], each["status"]) for each in ended] == [("own", "FAILED")]
        assert said[4:] == ["canon: an MLflow run that `fit` left open is FAILED now"]
        assert list((project / SESSIONS).iterdir()) == []


def test_a_server_that_is_gone_is_not_asked_for_ever(project: Path) -> None:
    loaded = load_project(project)
    for name, days in (("a" * 32, 1), ("b" * 32, 30), ("c" * 32, 30)):
        create_file(project, Kept(name, "one", f"http://127.0.0.1:{free_port()}", {}, "KILLED")).release()
        written = time.time() - days * 86400
        os.utime(project / SESSIONS / f"{name}.json", (written, written))
    said: list[str] = []
    settle_sessions(loaded, said.append)
    assert [path.stem for path in (project / SESSIONS).iterdir()] == ["a" * 32]
    assert sum("has not answered for 14 days" in line for line in said) == 2


def hostile(call: Call, session: str, ended: list[dict[str, object]]) -> str:
    """A server that answers every search with everybody's runs, odd tags among them, and names a next page for ever."""
    assert call.handler.headers["Authorization"] is None
    if call.path.endswith("experiments/search"):
        return answer_json(call, {"experiments": [{"experiment_id": "0", "name": "x", "lifecycle_stage": "active"}]})
    if call.path.endswith("runs/update"):
        ended.append(json.loads(call.body))
        return answer_json(call, {"run_info": run("own", "FAILED")["info"]})
    if call.path.endswith("runs/search"):
        own = run("own", "RUNNING", {"canon.session": session, "canon.stage": "fit", "\x00": "\x1b[2J" * 1000})
        others = [
            run("other", "RUNNING", {"canon.session": "b" * 32}),
            run("none", "RUNNING"),
            run("ended", "FINISHED", {"canon.session": session}),
        ]
        return answer_json(call, {"runs": [own, *others], "next_page_token": str(time.monotonic_ns())})
    if call.path.endswith("runs/get"):
        return answer_json(call, {"run": run("own", "RUNNING", {"canon.session": session})})
    return answer(call, 404)


def run(name: str, status: str, tags: dict[str, str] | None = None) -> dict[str, object]:
    info = {
        "run_id": name,
        "run_uuid": name,
        "experiment_id": "0",
        "status": status,
        "start_time": 1,
        "lifecycle_stage": "active",
        "artifact_uri": "x:/",
    }
    return {"info": info, "data": {"tags": [{"key": key, "value": value} for key, value in (tags or {}).items()]}}
