"""What is said of a remote on S3 that refuses, or fails."""

from __future__ import annotations

import pytest
from botocore.stub import Stubber

from canon.model.errors import CanonError
from canon.remotes.s3 import S3Objects

KEYS = {"access_key_id": "id", "secret_access_key": "key", "region": "us-east-1"}


@pytest.mark.parametrize(
    ("code", "status", "remedy"),
    [
        ("InternalError", 500, "the server is at fault; try again"),
        ("SlowDown", 503, "the server is at fault; try again"),
        ("AccessDenied", 403, "look at the credentials' rights"),
        ("NoSuchBucket", 404, "there is no bucket bucket: make it"),
    ],
)
def test_the_remedy_is_of_the_one_at_fault(code: str, status: int, remedy: str) -> None:
    objects = S3Objects("s3://bucket/dvc", KEYS)
    with Stubber(objects._client) as stub:
        stub.add_client_error("put_object", code, http_status_code=status)
        with pytest.raises(CanonError, match=rf"does not let us write runs/x: {code} \(HTTP {status}\); {remedy}"):
            objects.write("runs/x", b"")
