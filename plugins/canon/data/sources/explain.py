"""What clients of web servers and S3 raise, as one sentence with a remedy and without secrets."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator

from canon.data.errors import TransientError
from canon.model.errors import CanonError

Explained = Callable[[str], contextlib.AbstractContextManager[None]]
"""Wraps calls about a URI: foreign errors come out as CanonError or TransientError."""

CREDENTIALS = frozenset({
    "NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "ProfileNotFound", "TokenRetrievalError",
    "UnauthorizedSSOTokenError", "SSOTokenLoadError", "NoAuthTokenError",
})  # fmt: skip
"""botocore's errors about credentials; their common base says nothing."""
NOT_FOUND, REFUSED, PRECONDITION, BUSY = {404, 410}, {401, 403, 407}, 412, {408, 425, 429}


def redacted(text: object) -> str:
    """First line of a foreign message without users, passwords and queries of the URLs in it (redirects may be signed)."""
    line = "".join(sign for sign in (str(text).splitlines() or [""])[0] if sign.isprintable())
    line = re.sub(r"://[^/\s@'\"]*@", "://", line)
    return re.sub(r"\?[^\s'\"]*", "", line)[:300]


@contextlib.contextmanager
def explained_web(uri: str) -> Iterator[None]:
    """Explain aiohttp's errors. Raises CanonError, or TransientError where the network is to blame."""
    import aiohttp

    try:
        yield
    except aiohttp.ClientSSLError:  # a ValueError, too
        raise CanonError(
            f"cannot read {uri}: the server's certificate is not to be trusted; check the URI, or name a file of "
            "certificates in SSL_CERT_FILE"
        ) from None
    except (aiohttp.InvalidURL, aiohttp.TooManyRedirects, ValueError) as error:
        raise CanonError(
            f"cannot read {uri}: it, or what it redirects to, cannot be followed ({type(error).__name__}); check the URI"
        ) from None
    except (aiohttp.ClientError, OSError) as error:
        raise _unreachable(uri, error) from None


@contextlib.contextmanager
def explained_s3(uri: str) -> Iterator[None]:
    """Explain botocore's errors, and aiohttp's, which it runs on. Raises as `explained_web` does."""
    from botocore import exceptions as boto

    with explained_web(uri):  # outside: some of botocore's errors are OSErrors
        try:
            yield
        except boto.ClientError as error:
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            raise refusal(uri, int(status), str(error.response.get("Error", {}).get("Code", ""))) from None
        except boto.SSLError:
            raise CanonError(
                f"cannot read {uri}: the certificate of the endpoint is not to be trusted; check it, or name a file of "
                "certificates in AWS_CA_BUNDLE"
            ) from None
        except (
            boto.ConnectionError, boto.HTTPClientError, boto.IncompleteReadError, boto.ResponseStreamingError, boto.FlexibleChecksumError,
        ) as error:  # fmt: skip
            raise _unreachable(uri, error) from None
        except RecursionError:  # botocore asks a server that redirects for the bucket's region, and is redirected again
            raise CanonError(
                f"cannot read {uri}: the server redirects in circles; check the bucket, region and endpoint"
            ) from None
        except boto.BotoCoreError as error:
            if type(error).__name__ in CREDENTIALS:
                raise CanonError(
                    f"no credentials to read {uri} ({type(error).__name__}); set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
                    "AWS_PROFILE, or for a public bucket FSSPEC_S3_ANON=true"
                ) from None
            raise CanonError(f"cannot read {uri}: {redacted(error)}; check the URI") from None


def _unreachable(uri: str, error: Exception) -> TransientError:
    said = redacted(error)
    return TransientError(
        f"cannot read {uri}: {type(error).__name__}{f': {said}' if said else ''}; check the network and the endpoint, and "
        "try again"
    )


def refusal(uri: str, status: int, code: str = "") -> CanonError:
    """What an answer with an HTTP status of 400 and more means; ``code`` is S3's own name of the error."""
    said = f"HTTP {status}" + (f", {redacted(code)}" if code and code != str(status) else "")
    is_s3 = uri.lower().startswith("s3:")
    if status >= 500 or status in BUSY or code in {"SlowDown", "RequestTimeout"}:  # noqa: PLR2004  HTTP's own number
        return TransientError(f"cannot read {uri}: the server is busy or broken ({said}); try again later")
    if status == PRECONDITION:
        return CanonError(f"{uri} changed while it was read; wait until it is complete, then run the command again")
    if status in NOT_FOUND:
        where = " and the endpoint (AWS_ENDPOINT_URL, or `endpoint` of the profile)" if is_s3 else ""
        return CanonError(f"there is no source {uri} ({said}); check the URI{where}")
    if status in REFUSED or code in {"ExpiredToken", "InvalidToken"}:
        remedy = "(AWS_PROFILE, AWS_ACCESS_KEY_ID …) and the bucket's policy" if is_s3 else "in ~/.netrc"
        return CanonError(f"no right to read {uri} ({said}); check the credentials {remedy}")
    return CanonError(
        f"cannot read {uri}: the server refuses ({said}); check the URI{', region and endpoint' if is_s3 else ''}"
    )
