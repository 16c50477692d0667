"""What is at a repository's address beside the repository: the pages of GitHub, GitLab, Gitea and Forgejo."""

from __future__ import annotations


def code_page(url: str) -> str | None:
    """The page of a repository; None where it is not had by http or https. ``url``: without credentials."""
    return url.removesuffix("/").removesuffix(".git") if url.startswith(("http://", "https://")) else None


def commit_page(url: str, commit: str) -> str | None:
    """The page of a commit; None where a repository has none."""
    code = code_page(url)
    return f"{code}/commit/{commit}" if code else None
