"""What a generated Workflow and the tools in its pods agree on: paths, variables and parameters, under one protocol number.

A pod of a stage has the init container `code` and the containers `fetch`, `main` and `push`. All mount the workspace; `fetch` and `push` alone
mount the private folder, which holds credentials' use, keys and the cache.
"""

from __future__ import annotations

PROTOCOL = 1
"""Counted up when a template and a tools image of different versions could no longer work together: the tools refuse another one."""

WORK = "/canon/work"
"""The workspace, an emptyDir."""
CODE = f"{WORK}/src"
"""The source tree, copied there from the base image: the working folder of the stages' commands."""
RUN = f"{WORK}/run"
"""Where `fetch` and `push` talk to `main`: its script `main.sh`, `<number of a stage>.exit`, `<number>.go`."""
SCRIPT = f"{RUN}/main.sh"
PRIVATE = "/canon/private"
OUTPUTS = f"{PRIVATE}/outputs"
"""Output parameters, one file each."""

REFUSED = 65
"""Exit code of a pod whose stage left what cannot be saved: of `push`, or of `main` where others of its stages wait for that. Not tried again."""
CODE_CONTAINER, FETCH, MAIN, PUSH = "code", "fetch", "main", "push"
"""Containers of a stage's pod. `main` is the user's: its exit code is the node's. A kubelet lists them by name and Argo names the first that failed:
what others wait for has to come before `main` there, or its fault is taken for a stage's own, which is not tried again."""

PLAN, DELIVER = "plan", "deliver"
"""Tasks beside the stages'."""
REVISION, SET, FRESH = "revision", "set", "fresh"
"""Parameters of a workflow: a commit, params as base64 of JSON, and whether results of other workflows count. Within it `revision` is the commit that was planned."""
TASK, IMAGE, RUNS, DELIVERS = "task", "image", "run", "deliver"
"""Parameters within a workflow. `run`: JSON, name of a task → whether it runs; `deliver`: true or false."""
COMMIT, RESULT, EXPERIMENT, ROW, RELEASE = "commit", "result", "experiment", "row", "release"
TOLD = (COMMIT, RESULT, EXPERIMENT, IMAGE, ROW, RELEASE)
"""Parameters that nothing in a workflow but the stages' pods reads: `plan` and `deliver` tell those who look at it what ran, and where the result is."""
POINTS, POINT = "points", "point"
"""Of a sweep alone: the workflow's parameter with its points, as base64 of JSON, and within it the number of one."""
NEXT, END, BLOCK = "next", "end", "block"
"""Tasks after a block of a large sweep, and after the last, and the number of the block that has ended."""
PIN = "pin"
"""Parameter of `plan` alone, true where the clock starts a workflow: datasets are pinned anew. No parameter of a workflow sets it."""

PROTOCOL_VARIABLE = "CANON_PROTOCOL"
PIPELINE_VARIABLE = "CANON_PIPELINE"
PROFILE_VARIABLE = "CANON_PROFILE"
WORKFLOW_VARIABLE = "CANON_WORKFLOW"
"""The workflow's uid; with a sweep the uid, a dot and the number of a point, each of which is a workflow of its own to its pods."""
POINTS_VARIABLE = "CANON_POINTS"
BLOCK_VARIABLE = "CANON_BLOCK"
REVISION_VARIABLE = "CANON_REVISION"
SET_VARIABLE = "CANON_SET"
FRESH_VARIABLE = "CANON_FRESH"
PIN_VARIABLE = "CANON_PIN"
DATA_PREFIX = "CANON_DATA_"
"""Before the variables of the Secret `data` in `plan`, which has the remote's of the same names."""
DAG_VARIABLE = "CANON_DAG"
"""sha256 of the stages' graph that the template was rendered from: `plan` refuses a revision of another one."""
GIT_URL_VARIABLE = "CANON_GIT_URL"
GIT_BRANCHES_VARIABLE = "CANON_GIT_BRANCHES"
"""Patterns of branches, one a line, of which a revision may be."""
GIT_USERNAME_VARIABLE, GIT_PASSWORD_VARIABLE = "CANON_GIT_USERNAME", "CANON_GIT_PASSWORD"
GIT_KEY_VARIABLE, GIT_HOSTS_VARIABLE = "CANON_GIT_SSH_KEY", "CANON_GIT_KNOWN_HOSTS"
"""Keys of the Secrets `git-read` and `git-write`: for http and https, for ssh."""
REMOTE_URL_VARIABLE = "CANON_REMOTE_URL"
REMOTE_ENDPOINT_VARIABLE = "CANON_REMOTE_ENDPOINT"
REGISTRY_VARIABLE = "CANON_REGISTRY"
RELEASES_VARIABLE, RELEASES_BRANCH_VARIABLE = "CANON_RELEASES", "CANON_RELEASES_BRANCH"
"""Environments that `deliver` releases to, one a line, and the branch of the releases."""
RELEASES_SCHEDULED_VARIABLE = "CANON_RELEASES_SCHEDULED"
"""`true` where what the clock has started is released, too."""
ACCEPT_VARIABLE = "CANON_ACCEPT"
"""Which results are believed, `pods` or `any`: a revision does not say it for itself."""

PIPELINE_LABEL, PROFILE_LABEL, TASK_LABEL = "canon.dev/pipeline", "canon.dev/profile", "canon.dev/task"
"""On every pod."""
ENVIRONMENT_LABEL = "canon.dev/environment"
"""On every pod of a service."""
REVISION_ANNOTATION = "canon.dev/revision"
"""The commit that Argo CD synced, on all that it put there from `workflow/`, where that starts a training."""
TMP = "/tmp"  # noqa: S108  an emptyDir of the pod's own
TOOLS_PYTHON = "/opt/canon/tools/bin/python"
IMAGE_CODE = "/opt/canon/src"
"""Where the base image holds the source tree."""
REGISTRY_AUTH = "/canon/registry/config.json"
"""Credentials of the registry, as `docker login` writes them."""

ACCOUNTS = ("plan", "stage", "deliver", "executor", "events")
SECRETS = ("remote", "data", "registry", "git-read", "git-write", "mlflow")


def secret_name(pipeline: str, profile: str, what: str) -> str:
    """The Secret of a pipeline and profile that holds the credentials of one of `SECRETS`."""
    return f"canon-{pipeline}-{profile}-{what}"


def workflow_name(pipeline: str, profile: str) -> str:
    """The WorkflowTemplate of a pipeline and profile, and what starts it."""
    return f"{pipeline}-{profile}"


def account_name(pipeline: str, what: str) -> str:
    """The ServiceAccount of a pipeline for one of `ACCOUNTS`."""
    return f"canon-{pipeline}-{what}"


SERVING = "serving"
"""Container of a service's pod that answers with the model."""


def application_name(pipeline: str, environment: str) -> str:
    """Argo CD's Application of an environment."""
    return f"{pipeline}-{environment}"


def environment_path(pipeline: str, environment: str) -> str:
    """The folder that this Application watches, from the root."""
    return f"argo/{pipeline}/environments/{environment}"
