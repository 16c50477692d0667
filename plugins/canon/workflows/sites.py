"""Where a project's pipelines run in clusters, from its settings and from DVC's, the committed ones alone."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from canon.argo.site import Remote, Site
from canon.model.errors import CanonError
from canon.model.project import Pipeline, Project
from canon.model.releasing import released_environments
from canon.model.root import SETTINGS_FILE
from canon.model.settings import Profile
from canon.output.files import load_text

CONFIG = ".dvc/config"


def clustered(project: Project) -> dict[str, Profile]:
    """The profiles whose pipelines run in a cluster."""
    return {name: profile for name, profile in project.settings.profiles.items() if profile.namespace}


def build_site(project: Project, pipeline: Pipeline, profile: str, remote: Remote) -> Site:
    """Where a pipeline runs in a profile. Raises CanonError where the settings lack what that needs."""
    settings = project.settings
    chosen = settings.profiles[profile]
    if chosen.namespace is None or settings.tools_image is None or settings.git is None:
        raise CanonError(f"{SETTINGS_FILE}: the profile `{profile}` runs in no cluster; give it a namespace, and run `canon check`")  # fmt: skip
    pushes, schedule = pipeline.declaration.triggers.push or {}, pipeline.declaration.triggers.schedule
    patterns = [settings.git.branch, *(pattern for pattern, name in pushes.items() if name == profile)]
    return Site(
        pipeline=pipeline.name,
        profile=profile,
        namespace=chosen.namespace,
        tools_image=settings.tools_image,
        executor=settings.executor,
        git_url=settings.git.url,
        branches=tuple(dict.fromkeys(patterns)),
        remote=remote,
        endpoint=chosen.endpoint,
        mlflow=chosen.mlflow,
        registry=chosen.registry,
        accept=chosen.believed,
        releases=released_environments(pipeline.declaration, settings, profile),
        releases_branch=settings.git.releases.branch if settings.git.releases else settings.git.branch,
        releases_scheduled=schedule is not None and schedule.release,
    )


def load_remote(root: Path, name: str) -> Remote:
    """A remote's address from the committed `.dvc/config`: what a machine says for itself is no pod's business.

    Raises CanonError where it is not there, cannot be read, or holds credentials.
    """
    from configobj import ConfigObj, ConfigObjError  # DVC reads it by this, too

    text = load_text(root / CONFIG, CONFIG)
    try:
        config = ConfigObj((text or "").splitlines(), interpolation=False)
    except ConfigObjError as error:
        raise CanonError(f"{CONFIG} cannot be read ({str(error).splitlines()[0]}); mend it") from None
    section = config.get(f'remote "{name}"')
    url = section.get("url") if isinstance(section, dict) else None
    if not isinstance(url, str) or not url:
        raise CanonError(
            f"{CONFIG} has no remote `{name}` with a url, which {SETTINGS_FILE} names; run `dvc remote add {name} URL`, and commit"
        )
    endpoint = section.get("endpointurl")
    for key, value in (("url", url), ("endpointurl", endpoint)):
        if value and has_credentials(value):
            raise CanonError(
                f"{CONFIG}: {key} of the remote `{name}` holds credentials, and would be committed once more; take them out: "
                "pods have them by a Secret (see argo/NAME/platform/README.md)"
            )
        if value and "{{" in value:
            raise CanonError(f"{CONFIG}: {key} of the remote `{name}`: `{{{{` would be expanded by Argo; remove it")
    if not urlsplit(url).scheme:
        raise CanonError(f"{CONFIG}: the remote `{name}` is {url}, a folder that no pod has; name one by URL, as s3://BUCKET/PATH")  # fmt: skip
    return Remote(url=url, endpoint=endpoint or None)


def has_credentials(url: str) -> bool:
    """Tell whether a URL holds a password, or a user where that is one."""
    parts = urlsplit(url)
    return "@" in parts.netloc and (":" in parts.netloc.rsplit("@", 1)[0] or parts.scheme.startswith("http"))
