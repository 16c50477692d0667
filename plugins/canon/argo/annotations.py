"""The annotations that Argo's user interface shows of a Workflow, with Markdown in them: what it is, and where its code and its results are.

The controller gives a Workflow the `workflowMetadata` of its template as it stands, in place of what the Workflow says for itself. So the template
gives the title alone; the description comes from what starts a Workflow, and where that knows the commit it links to it.
"""

from __future__ import annotations

import json

from canon.argo.site import Site
from canon.model.forges import code_page, commit_page

TITLE = "workflows.argoproj.io/title"
DESCRIPTION = "workflows.argoproj.io/description"
_COMMIT = "\0"
"""In the place of a commit that is known only when a Workflow starts."""


def title_annotation(site: Site) -> dict[str, str]:
    """Which pipeline it is, and in which profile."""
    return {TITLE: f"{site.pipeline} ({site.profile})"}


def description_annotation(site: Site, description: str, commit: str | None = None) -> dict[str, str]:
    """The declared description, and links; empty where there is nothing to say."""
    text = _describe(site, description, commit)
    return {DESCRIPTION: text} if text else {}


def description_expression(site: Site, description: str, commit: str) -> dict[str, str]:
    """The same as a WorkflowEventBinding has it, in expr-lang, whose texts are written as JSON's; ``commit``: the expression for it."""
    before, mark, after = _describe(site, description, _COMMIT).partition(_COMMIT)
    words = [_literal(before), commit, _literal(after)] if mark else [_literal(before)] if before else []
    return {DESCRIPTION: " + ".join(words)} if words else {}


def _describe(site: Site, description: str, commit: str | None) -> str:
    links: list[str] = []
    if code := code_page(site.git_url):
        links += [f"[commit]({commit_page(site.git_url, commit)})"] if commit else []
        links.append(f"[code]({code})")
    if site.mlflow and site.mlflow.startswith(("http://", "https://")):
        links.append(f"[MLflow]({site.mlflow})")
    return "\n".join(filter(None, (" ".join(description.replace(_COMMIT, "").split()), " · ".join(links))))


def _literal(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
