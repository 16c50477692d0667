"""How a registry for tests answers: a subset of the OCI distribution specification 1.1, on http.server.

`tests/registry.py` starts it. https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
from collections.abc import Mapping
from urllib.parse import quote

from tests.images import INDEX
from tests.registry_http import Connection
from tests.registry_state import Manifest, Refused, Reply, Repository, Token, Upload

SMALL = 1 << 20
"""Blobs up to this size are kept even with ``keep=False``: a configuration is read again."""
ROUTE = re.compile(
    r"/v2/(?P<name>[a-z0-9]+(?:[._/-]+[a-z0-9]+)*)"
    r"/(?P<kind>blobs/uploads|blobs|manifests|tags|referrers)/(?P<last>[A-Za-z0-9._:-]*)"
)
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def json_reply(content: object, headers: Mapping[str, str] | None = None) -> Reply:
    return Reply(200, {"Content-Type": "application/json", **(headers or {})}, json.dumps(content).encode())


class Handler(Connection):
    def answer(self, path: str) -> Reply:
        if path == "/token" and self.state.auth == "bearer":
            return self.give_token()
        if path == "/v2/":
            self.check_access("", frozenset())
            return json_reply({})
        match = ROUTE.fullmatch(path)
        if match is None:
            raise Refused(404, "NAME_UNKNOWN", f"no such path: {path}")
        name, kind, last = match["name"], match["kind"], match["last"]
        actions = {"GET": {"pull"}, "HEAD": {"pull"}, "DELETE": {"delete"}}.get(self.command, {"pull", "push"})
        if kind == "blobs/uploads":
            actions = {"pull", "push"}
        self.check_access(name, frozenset(actions))
        call = getattr(self, f"{self.command.lower()}_{kind.replace('/', '_')}", None)
        if call is None:
            raise Refused(405, "UNSUPPORTED")
        reply: Reply = call(name, last)
        return reply

    # Access

    def basic_user(self) -> bool | None:
        """Whether the Basic credentials are right; None where there are none."""
        scheme, _, value = self.record.authorization.partition(" ")
        if scheme.lower() != "basic":
            return None
        return value == base64.b64encode(f"{self.state.user}:{self.state.password}".encode()).decode()

    def give_token(self) -> Reply:
        user = self.basic_user()
        if user is False or (user is None and not self.state.anonymous):
            raise Refused(401, "UNAUTHORIZED", "wrong user or password")
        scopes: dict[str, frozenset[str]] = {}
        for scope in " ".join(self.query.get("scope", [])).split():
            kind, _, rest = scope.partition(":")
            name, _, actions = rest.rpartition(":")
            if kind == "repository":
                granted = frozenset(actions.split(",")) if user else frozenset(actions.split(",")) & {"pull"}
                scopes[name] = scopes.get(name, frozenset()) | granted
        token = secrets.token_urlsafe(16)
        self.state.tokens[token] = Token(scopes, self.state.token_uses)
        return json_reply({"token": token, "access_token": token, "expires_in": 300})

    def check_access(self, name: str, actions: frozenset[str]) -> None:
        if self.state.auth == "basic" and not self.basic_user():
            raise Refused(401, "UNAUTHORIZED", headers={"WWW-Authenticate": 'Basic realm="test"'})
        if self.state.auth != "bearer":
            return
        token = self.token()
        problem = ""
        if token is None:
            problem = "invalid_token" if self.record.authorization else ""
        elif actions <= token.scopes.get(name, frozenset()):
            with self.state.lock:
                token.uses = None if token.uses is None else token.uses - 1
            return
        else:
            problem = "insufficient_scope"
        challenge = f'Bearer realm="{self.state.realm or self.state.url + "/token"}",service="test"'
        if name:
            challenge += f',scope="repository:{name}:{",".join(sorted(actions))}"'
        challenge += f',error="{problem}"' * bool(problem)
        raise Refused(401, "UNAUTHORIZED", headers={"WWW-Authenticate": challenge})

    def token(self) -> Token | None:
        scheme, _, value = self.record.authorization.partition(" ")
        token = self.state.tokens.get(value) if scheme.lower() == "bearer" else None
        return None if token and token.uses is not None and token.uses <= 0 else token

    def may_pull(self, name: str) -> bool:
        token = self.token()
        return self.state.auth != "bearer" or bool(token and "pull" in token.scopes.get(name, frozenset()))

    # Blobs

    def repository(self, name: str) -> Repository:
        return self.state.repositories.get(name, Repository())

    def location(self, path: str) -> str:
        return path if self.state.relative else self.state.url + path

    def served(self, digest: str, content: bytes) -> bytes:
        return bytes(byte ^ 1 for byte in content) if digest in self.state.corrupted else content

    def head_blobs(self, name: str, digest: str) -> Reply:
        size = self.repository(name).size(digest)
        if size is None:
            raise Refused(404, "BLOB_UNKNOWN", f"{digest} is not in {name}")
        headers = {
            "Docker-Content-Digest": digest,
            "Content-Type": "application/octet-stream",
            "Accept-Ranges": "bytes",
        }
        return Reply(200, {**headers, "Content-Length": str(size)})

    def get_blobs(self, name: str, digest: str) -> Reply:
        headers = {**self.head_blobs(name, digest).headers}
        if self.state.redirect_blobs:
            return Reply(307, {"Location": self.state.redirect_blobs.rstrip("/") + self.path})
        content = self.repository(name).blobs.get(digest)
        if content is None:
            raise Refused(500, "UNKNOWN", f"the bytes of {digest} were not kept")
        content = self.served(digest, content)
        reply = Reply(200, headers, content)
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if asked and any(asked.groups()) and not self.state.ignore_range:
            first, last = asked.groups()
            start = int(first) if first else max(0, len(content) - int(last))
            end = min(int(last) + 1, len(content)) if first and last else len(content)
            if start >= end:
                raise Refused(416, "RANGE_INVALID", headers={"Content-Range": f"bytes */{len(content)}"})
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(content)}"
            reply = Reply(206, headers, content[start:end])
        headers["Content-Length"] = str(len(reply.body))
        with self.state.lock:
            cut = self.state.download_cut
            if cut.due(len(reply.body)):
                cut.times -= 1
                reply.cut = cut.after
        return reply

    def delete_blobs(self, name: str, digest: str) -> Reply:
        self.head_blobs(name, digest)
        self.repository(name).blobs.pop(digest, None)
        self.repository(name).dropped.pop(digest, None)
        return Reply(202)

    # Uploads

    def created(self, name: str, digest: str) -> Reply:
        location = self.location(f"/v2/{name}/blobs/{digest}")
        return Reply(201, {"Location": location, "Docker-Content-Digest": digest})

    def progress(self, key: str, status: int) -> Reply:
        """Where the next piece goes. As with real registries, that is another address after every piece."""
        upload = self.state.uploads[key]
        path = f"/v2/{upload.name}/blobs/uploads/{key}?_state={upload.size}"
        location = self.state.location.rstrip("/") + path if self.state.location else self.location(path)
        return Reply(status, {"Location": location, "Range": f"0-{max(0, upload.size - 1)}", "Docker-Upload-UUID": key})

    def post_blobs_uploads(self, name: str, _: str) -> Reply:
        digest, source = self.asked("mount"), self.asked("from")
        other = self.repository(source)
        if digest and other.size(digest) is not None and self.may_pull(source):
            target = self.state.repositories.setdefault(name, Repository())
            if digest in other.blobs:
                target.blobs[digest] = other.blobs[digest]
            else:
                target.dropped[digest] = other.dropped[digest]
            return self.created(name, digest)
        key = secrets.token_hex(16)
        self.state.uploads[key] = Upload(name)
        if self.asked("digest"):
            return self.finish_upload(key)
        return self.progress(key, 202)

    def upload(self, name: str, key: str) -> Upload:
        upload = self.state.uploads.get(key)
        if upload is None or upload.name != name:
            raise Refused(404, "BLOB_UPLOAD_UNKNOWN", f"no upload {key} to {name}")
        if self.asked("_state") != str(upload.size):
            raise Refused(404, "BLOB_UPLOAD_INVALID", "not the Location of the last answer")
        return upload

    def receive(self, key: str) -> None:
        upload = self.state.uploads[key]
        try:
            for piece in self.body:
                upload.hash.update(piece)
                upload.size += len(piece)
                if upload.size > SMALL and not self.state.keep:
                    upload.content = None
                if upload.content is not None:
                    upload.content += piece
        except BaseException:
            self.state.uploads.pop(key, None)
            raise

    def get_blobs_uploads(self, name: str, key: str) -> Reply:
        self.upload(name, key)
        return self.progress(key, 204)

    def delete_blobs_uploads(self, name: str, key: str) -> Reply:
        self.upload(name, key)
        del self.state.uploads[key]
        return Reply(204)

    def patch_blobs_uploads(self, name: str, key: str) -> Reply:
        upload = self.upload(name, key)
        place = self.headers.get("Content-Range")
        if place and place.removeprefix("bytes ").split("-")[0] != str(upload.size):
            raise Refused(416, "RANGE_INVALID", headers=self.progress(key, 416).headers)
        self.receive(key)
        return self.progress(key, 202)

    def put_blobs_uploads(self, name: str, key: str) -> Reply:
        self.upload(name, key)
        return self.finish_upload(key)

    def finish_upload(self, key: str) -> Reply:
        self.receive(key)
        digest = self.asked("digest")
        with self.state.lock:
            upload = self.state.uploads.pop(key)
            if digest != f"sha256:{upload.hash.hexdigest()}":
                raise Refused(400, "DIGEST_INVALID", f"the content has sha256:{upload.hash.hexdigest()}")
            repository = self.state.repositories.setdefault(upload.name, Repository())
            if upload.content is None:
                repository.dropped[digest] = upload.size
            else:
                repository.blobs[digest] = bytes(upload.content)
        return self.created(upload.name, digest)

    # Manifests

    def find_manifest(self, name: str, reference: str) -> tuple[str, Manifest]:
        repository = self.repository(name)
        digest = repository.tags.get(reference, reference)
        if digest not in repository.manifests:
            raise Refused(404, "MANIFEST_UNKNOWN", f"{name} has no {reference}")
        return digest, repository.manifests[digest]

    def get_manifests(self, name: str, reference: str) -> Reply:
        digest, (media_type, content) = self.find_manifest(name, reference)
        headers = {"Content-Type": media_type, "Docker-Content-Digest": digest}
        return Reply(200, headers, self.served(digest, content))

    head_manifests = get_manifests

    def put_manifests(self, name: str, reference: str) -> Reply:
        content = b"".join(self.body)
        digest, media_type = digest_of(content), self.headers.get("Content-Type")
        try:
            manifest = json.loads(content)
        except ValueError:
            manifest = None
        if not media_type or not isinstance(manifest, dict) or manifest.get("mediaType", media_type) != media_type:
            raise Refused(400, "MANIFEST_INVALID", f"Content-Type {media_type}, or the content does not fit")
        if not TAG.fullmatch(reference) and not DIGEST.fullmatch(reference):
            raise Refused(400, "TAG_INVALID")
        if ":" in reference and reference != digest:
            raise Refused(400, "DIGEST_INVALID", f"the content has {digest}")
        with self.state.lock:
            repository = self.repository(name)
            blobs = [*([manifest["config"]] if "config" in manifest else []), *manifest.get("layers", [])]
            missing = [blob["digest"] for blob in blobs if repository.size(blob["digest"]) is None]
            missing += [
                part["digest"] for part in manifest.get("manifests", []) if part["digest"] not in repository.manifests
            ]
            if missing:
                raise Refused(404, "MANIFEST_BLOB_UNKNOWN", f"{name} has no {', '.join(missing)}")
            repository = self.state.repositories.setdefault(name, repository)
            repository.manifests[digest] = Manifest(media_type, content)
            if ":" not in reference:
                repository.tags[reference] = digest
        headers = {"Location": self.location(f"/v2/{name}/manifests/{digest}"), "Docker-Content-Digest": digest}
        if self.state.referrers and "subject" in manifest:
            headers["OCI-Subject"] = manifest["subject"]["digest"]
        return Reply(201, headers)

    def delete_manifests(self, name: str, reference: str) -> Reply:
        with self.state.lock:
            digest, _ = self.find_manifest(name, reference)
            repository = self.repository(name)
            if ":" in reference:
                del repository.manifests[digest]
            for tag in [
                tag for tag, named in repository.tags.items() if named == digest and reference in {tag, digest}
            ]:
                del repository.tags[tag]
        return Reply(202)

    def get_tags(self, name: str, last: str) -> Reply:
        if last != "list" or name not in self.state.repositories:
            raise Refused(404, "NAME_UNKNOWN", f"no repository {name}")
        after, limit = self.asked("last"), self.asked("n")
        tags = [tag for tag in sorted(self.repository(name).tags) if tag > after]
        headers = {}
        if limit and len(tags) > int(limit) > 0:
            tags = tags[: int(limit)]
            headers["Link"] = f'</v2/{name}/tags/list?n={limit}&last={quote(tags[-1])}>; rel="next"'
        return json_reply({"name": name, "tags": tags}, headers)

    def get_referrers(self, name: str, subject: str) -> Reply:
        if not self.state.referrers:
            raise Refused(404, "NAME_UNKNOWN", "no referrers here")
        found = []
        with self.state.lock:
            for digest, (media_type, content) in self.repository(name).manifests.items():
                manifest = json.loads(content)
                if manifest.get("subject", {}).get("digest") == subject:
                    descriptor = {"mediaType": media_type, "digest": digest, "size": len(content)}
                    kind = manifest.get("artifactType") or manifest.get("config", {}).get("mediaType")
                    descriptor |= {"artifactType": kind} if kind else {}
                    descriptor |= {"annotations": manifest["annotations"]} if "annotations" in manifest else {}
                    found.append(descriptor)
        headers = {"Content-Type": INDEX}
        if wanted := self.asked("artifactType"):
            found = [descriptor for descriptor in found if descriptor.get("artifactType") == wanted]
            headers["OCI-Filters-Applied"] = "artifactType"
        return json_reply({"schemaVersion": 2, "mediaType": INDEX, "manifests": found}, headers)
