"""Git, through its own command line: what is tracked and ignored, what a commit holds, where a repository came from."""

from __future__ import annotations

import posixpath
import re
import tempfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from canon.model.errors import CanonError
from canon.model.paths import leaves_repository
from canon.model.tree import TreeEntry, source_tree


def run_git(root: Path, *arguments: str, env: Mapping[str, str] | None = None, stdin: bytes | None = None) -> bytes:
    """Return the standard output of a git command. Raises CanonError with git's own words when it fails."""
    import git

    with tempfile.TemporaryFile() as file:
        file.write(stdin or b"")
        file.seek(0)
        try:
            return git.Git(root).execute(
                ["git", *arguments],
                istream=file,
                env={"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", **(env or {})},
                stdout_as_string=False,
                strip_newline_in_stdout=False,
            )
        except git.GitCommandNotFound:
            raise CanonError("git is not installed, or not on PATH; install it") from None
        except git.GitCommandError as error:
            pairs = zip(arguments, ("", *arguments), strict=False)
            command = next((each for each, before in pairs if not each.startswith("-") and before != "-c"), "")
            streams = (error.stderr, error.stdout if command == "push" else "")  # where a hook of `push` may print
            words = "\n".join(filter(None, (re.sub(r"^\s*std\w+: '|'$", "", str(each).strip()) for each in streams)))
            raise CanonError(f"git {command} failed in {root}: {clean_urls(words)}") from None


def try_git(root: Path, *arguments: str) -> str | None:
    """Text that a git command prints, without the white space around it; None when it fails."""
    try:
        return run_git(root, *arguments).decode("utf-8", "surrogateescape").strip()
    except CanonError:
        return None


def clean_url(url: str) -> str:
    """Return a remote's URL without credentials, query and fragment; ``git@host:path`` stays as it is."""
    if "://" not in url:
        return url.split("@", 1)[-1] if re.match(r"[^/@:]+:[^/@]+@", url) else url
    try:
        parts = urlsplit(url)
    except ValueError:  # no URL that anything could read, such as `s3://[x`
        return clean_urls(url)
    host = parts.netloc.rsplit("@", 1)[-1]
    if "@" in parts.netloc and parts.scheme.endswith("ssh"):
        host = parts.netloc.rsplit("@", 1)[0].split(":", 1)[0] + "@" + host
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def repository_place(url: str) -> str:
    """Host and path of a repository's address, by http, https, ssh and in the form of scp: equal for one repository."""
    plain = clean_url(url).removesuffix("/").removesuffix(".git")
    found = re.fullmatch(r"(?:[a-z+]+://)?(?:[^@/]+@)?([^/:@]+)(?::[0-9]+)?[:/]/?(.+)", plain)
    return f"{found[1].lower()}/{found[2]}" if found else plain


def clean_urls(text: str) -> str:
    """Return a text with the credentials taken out of every URL in it."""
    return re.sub(r"([A-Za-z][A-Za-z0-9+.-]*://)[^/\s'\"]*@", r"\1", text)


def is_checkout(root: Path) -> bool:
    """Tell whether ``root`` lies in a Git checkout; a broken one counts, so that git says what is wrong with it."""
    return (root / ".git").exists() or try_git(root, "rev-parse", "--show-toplevel") is not None


def check_repository(root: Path) -> None:
    """Raise CanonError unless ``root`` is the top folder of a Git checkout."""
    top = try_git(root, "rev-parse", "--show-toplevel")
    if top is None:
        words = ""
        try:
            run_git(root, "rev-parse", "--show-toplevel")
        except CanonError as error:
            words = str(error)
        if "dubious ownership" in words:
            raise CanonError(
                f"git does not trust {root}: it belongs to another user; run `git config --global --add safe.directory {root}`"
            )
        if (root / ".git").exists():
            raise CanonError(f"{words}; mend {root / '.git'}, or clone the repository anew")
        raise CanonError(f"{root} is not in a Git repository; run `git init` there, and commit")
    if Path(top).resolve() != root.resolve():
        raise CanonError(
            f"pyproject.toml with [tool.canon] lies in {root}, but the repository begins at {top}; move it there"
        )


def head_commit(root: Path) -> str | None:
    """Hash of the commit that is checked out; None before the first one."""
    return try_git(root, "rev-parse", "--verify", "--quiet", "HEAD^{commit}")


def commit_text(root: Path, commit: str, path: str) -> str | None:
    """Text of a file in a commit; None when the commit has no such file."""
    try:
        return run_git(root, "cat-file", "blob", f"{commit}:{path}").decode()
    except (CanonError, UnicodeDecodeError):
        return None


def commit_source_tree(root: Path, commit: str) -> str:
    """Hash of the source tree of a commit."""
    return source_tree(_commit_entries(root, commit))


def _commit_entries(root: Path, commit: str) -> tuple[TreeEntry, ...]:
    listing = run_git(root, "ls-tree", "-r", "-z", "--full-tree", commit)
    return tuple(tree_entries(listing))


def tree_entries(listing: bytes) -> Iterable[TreeEntry]:
    """Yield the entries of what `git ls-tree -r -z` or `git ls-files -s -z` printed."""
    for line in listing.split(b"\0"):
        if line:
            facts, _, path = line.partition(b"\t")
            words = facts.decode().split()
            # ls-tree: mode type oid; ls-files -s: mode oid stage
            oid = words[2] if len(words[1]) < 40 else words[1]  # noqa: PLR2004  hex digits of SHA-1
            yield TreeEntry(mode=words[0], oid=oid, path=path.decode("utf-8", "surrogateescape"))


def committable_files(root: Path, paths: Collection[str]) -> frozenset[str]:
    """Return those of ``paths`` under which Git tracks files (there now or not), or could: they are not ignored."""
    # git refuses to look outside of the repository, and beyond a link
    inside = [path for path in paths if not leaves_repository(path) and is_below(root, path)]
    if not inside or not is_checkout(root):
        return frozenset()
    literal = {"GIT_LITERAL_PATHSPECS": "1"}
    listing = run_git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *inside, env=literal)
    files = [path.decode("utf-8", "surrogateescape") for path in listing.split(b"\0") if path]
    return frozenset(
        path for path in inside if any(f"{file}/".startswith(f"{posixpath.normpath(path)}/") for file in files)
    )


def is_below(root: Path, path: str) -> bool:
    """Tell whether no folder above ``path`` is a link."""
    return (root / path).parent.resolve() == root.resolve() / posixpath.dirname(posixpath.normpath(path))


def untracked_files(root: Path, paths: Sequence[str]) -> tuple[str, ...]:
    """Files below ``paths`` that Git neither tracks nor ignores."""
    if not paths:
        return ()
    listing = run_git(
        root, "ls-files", "-z", "--others", "--exclude-standard", "--", *paths, env={"GIT_LITERAL_PATHSPECS": "1"}
    )
    return tuple(sorted(path.decode("utf-8", "surrogateescape") for path in listing.split(b"\0") if path))


def tracked_files(root: Path, pattern: str) -> tuple[str, ...]:
    """Tracked and untracked, not ignored files that a pathspec matches."""
    listing = run_git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", pattern)
    return tuple(sorted({path.decode("utf-8", "surrogateescape") for path in listing.split(b"\0") if path}))


def tracked_paths(root: Path) -> frozenset[str]:
    """Every path that Git tracks."""
    listing = run_git(root, "ls-files", "-z", "--cached")
    return frozenset(path.decode("utf-8", "surrogateescape") for path in listing.split(b"\0") if path)


def untracked_paths(root: Path, folders: Sequence[str]) -> tuple[str, ...]:
    """Files below folders that Git does not track, ignored ones included."""
    if not folders:
        return ()
    listing = run_git(root, "ls-files", "-z", "--others", "--", *folders, env={"GIT_LITERAL_PATHSPECS": "1"})
    return tuple(sorted(path.decode("utf-8", "surrogateescape") for path in listing.split(b"\0") if path))


def holds(root: Path, folder: str) -> bool:
    """Tell whether Git tracks something in a folder, or a link or a file on the way to it: a checkout writes there what a commit says."""
    top = folder.partition("/")[0]
    try:
        listing = run_git(root, "ls-files", "-z", "--cached", "--", top, env={"GIT_ICASE_PATHSPECS": "1"})
    except CanonError:  # mostly: it is not in a repository
        return (root / ".git").exists()
    tracked = [f"{path.decode('utf-8', 'surrogateescape').casefold()}/" for path in listing.split(b"\0") if path]
    inside = f"{folder.casefold()}/"
    return any(path.startswith(inside) or inside.startswith(path) for path in tracked)


def is_ignored(root: Path, path: str) -> bool:
    """Tell whether Git ignores a path."""
    return try_git(root, "check-ignore", "--no-index", "--", path) is not None


def ignored_paths(root: Path, paths: Collection[str]) -> frozenset[str]:
    """Those of ``paths`` that Git ignores."""
    stdin = "".join(f"{path}\0" for path in paths).encode("utf-8", "surrogateescape")
    try:
        listing = run_git(root, "check-ignore", "--no-index", "-z", "--stdin", stdin=stdin)
    except CanonError:  # as it ends where it ignores none
        return frozenset()
    return frozenset(path.decode("utf-8", "surrogateescape") for path in listing.split(b"\0") if path)


def store_root(root: Path) -> Path:
    """Where a project's own files that are not in Git lie: the main checkout, also for a linked worktree of it."""
    common = try_git(root, "rev-parse", "--path-format=absolute", "--git-common-dir")
    if common and Path(common).name == ".git" and Path(common) != root / ".git":
        main = Path(common).parent
        if (main / ".dvc").is_dir():
            return main
    return root


def remote_url(root: Path) -> str | None:
    """URL of the remote `origin` (or the first one), without credentials."""
    names = (try_git(root, "remote") or "").split()
    if not names:
        return None
    url = try_git(root, "remote", "get-url", "origin" if "origin" in names else names[0])
    return clean_url(url) if url else None
