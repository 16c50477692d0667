"""A repository to release from: a small declared project, its bare repository, and made-up facts of images that nobody has baked."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from canon.model.release import Release, release_from_text
from canon.output.files import RenderedFile
from canon.releases.draft import Draft, Facts
from canon.releases.history import Row, load_history
from canon.releases.publish import Decide, Order, Published, publish_release
from canon.releases.state import Target
from tests.conftest import git, once

FILES = {
    "pyproject.toml": """\
[tool.canon]
default_profile = "local"
git = {url = "URL", branch = "main"}
[tool.canon.profiles.local]
""",
    "pipelines/p.yaml": """\
name: p
track: false
stages:
  fit: {cmd: cp params.yaml model, deps: [params.yaml], outs: [model], metrics: [metrics.json]}
artifacts: {net: {path: model, type: model}}
serving: {artifact: net, cmd: python3 serve.py}
deploy:
  staging: {namespace: p-staging}
  production: {namespace: p, from: staging, gates: ["rmse <= 1.0 * production.rmse"]}
""",
    "serve.py": "print('hello')\n",
    "params.yaml": "rate: 1\n",
}


def make_repository(folder: Path, extra: Mapping[str, str] | None = None, *, releases: str = "") -> Path:
    """A bare repository `code.git` with one commit on main, and `work`, a clone of it, which is returned. ``releases``: the branch of releases."""
    code, work = folder / "code.git", folder / "work"
    git(folder, "init", "-q", "--bare", "-b", "main", str(code))
    git(folder, "clone", "-q", str(code), str(work))
    git(work, "checkout", "-q", "-B", "main")
    own = f'branch = "main", releases = {{branch = "{releases}"}}}}' if releases else 'branch = "main"}'
    for path, text in {**FILES, **(extra or {})}.items():
        (work / path).parent.mkdir(parents=True, exist_ok=True)
        (work / path).write_text(text.replace("URL", str(code)).replace('branch = "main"}', own))
    git(work, "add", "--all")
    git(work, "commit", "-qm", "declared")
    git(work, "push", "-q", "origin", "main")
    return work


def copy_repository(factory: pytest.TempPathFactory, folder: Path) -> Path:
    """A copy of such a repository, which is made once; return its clone."""
    template = once(factory, "to-release", make_repository)
    for name in ("code.git", "work"):
        shutil.copytree(template / name, folder / name, symlinks=True)
    git(folder / "work", "remote", "set-url", "origin", str(folder / "code.git"))
    return folder / "work"


def clone(work: Path, name: str, *options: str) -> Path:
    """Another clone of the same repository."""
    folder = work.parent / name
    git(work.parent, "clone", "-q", *options, (work.parent / "code.git").as_uri(), str(folder))
    return folder


def experiment(work: Path, number: int) -> str:
    """Push an experiment of its own; return its commit. The clone keeps it under no ref."""
    tree = git(work, "rev-parse", "origin/main^{tree}")
    base = git(work, "rev-parse", "origin/main")
    commit = git(work, "commit-tree", tree, "-p", base, "-m", f"canon: experiment {number}")
    git(work, "push", "-q", "origin", f"{commit}:refs/exps/{base[:2]}/{base[2:]}/p-{number}")
    return commit


def facts(work: Path, number: int, *, commit: str = "", **metrics: float) -> Facts:
    """Made-up facts of image ``number``; its experiment is the head of main, unless another commit is given."""
    head = git(work, "rev-parse", "origin/main")
    return Facts(
        image=f"registry.example.com/ml/p@sha256:{number:064x}",
        commit=head,
        tree=head,
        experiment=commit or head,
        result=f"{number:064x}",
        data_hash=f"{number // 2:064x}",
        entries={"fit": f"{number:064x}"},
        metrics=metrics or {"rmse": 1 / number},
    )


def render(root: Path) -> tuple[RenderedFile, ...]:
    """What an adapter makes of the releases that lie in a checkout; beside it a file of another tool, which is nobody's business here."""
    found = [RenderedFile("dvc.yaml", "rendered: anew\n")]
    for path in sorted((root / "argo/p/releases").glob("*.yaml")):
        release = release_from_text(path.read_text(), path.relative_to(root).as_posix())
        place = f"argo/p/environments/{release.environment}/kustomization.yaml"
        found.append(RenderedFile(place, f"images: [{{name: p, digest: {release.digest}}}]\n"))
        found.append(RenderedFile(f"argo/p/applications/{release.environment}.yaml", f"of: {release.environment}\n"))
    return tuple(found)


def order(environment: str, decide: Decide | Facts, words: str = "") -> Order:
    """To release in an environment what is decided, or these facts."""
    if isinstance(decide, Facts):
        draft = Draft(decide, f"because of {decide.image[-2:]}")
        return Order("p", environment, words or f"release {decide.image}", lambda _: draft)
    return Order("p", environment, words or "something", decide)


def target(review: str | None = None, branch: str = "main") -> Target:
    return Target("origin", branch, "main", review)


def release(
    work: Path, environment: str, decide: Decide | Facts, where: Target | None = None, words: str = ""
) -> Published:
    """Publish from a clone."""
    return publish_release(work, where or target(), order(environment, decide, words), render)


def remote(work: Path) -> Path:
    return work.parent / "code.git"


def tags(work: Path) -> list[str]:
    """The tags that the bare repository has."""
    return git(remote(work), "for-each-ref", "--format=%(refname:strip=2)", "refs/tags").splitlines()


def rows(work: Path, environment: str = "staging", branch: str = "main") -> tuple[Row, ...]:
    """The history that the bare repository has."""
    return load_history(remote(work), branch, "p", environment)


def released(work: Path, environment: str = "staging") -> list[Release]:
    """The releases in it, the newest first."""
    return [row.release for row in rows(work, environment) if row.release is not None]


def untouched(work: Path) -> tuple[str, ...]:
    """What a command must leave in a clone as it was: files, index, branch, worktrees, refs but those of the remote, and tags."""
    return (
        git(work, "status", "--porcelain=v1", "--branch", "--untracked-files=all").replace(" [behind 1]", ""),
        git(work, "stash", "list"),
        git(work, "worktree", "list"),
        git(work, "for-each-ref", "--format=%(refname) %(objectname)", "refs/heads", "refs/canon", "refs/worktree"),
        str(sorted(path.name for path in (work / ".git/canon").glob("*") if path.name != "release.lock")),
    )
