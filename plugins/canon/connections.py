"""Whom a connection trusts, and by which way it goes: the same for registries of images and for Argo Server."""

from __future__ import annotations

import ipaddress
import os
import ssl
from typing import Any
from urllib.parse import urlsplit


def is_loopback(host: str) -> bool:
    """Tell whether a host, with or without a port, is this machine."""
    name = urlsplit(f"//{host}").hostname or ""
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def no_proxies(url: str) -> Any:  # noqa: ANN401  requests takes None for a proxy, its types do not
    """No proxy for this machine; what the environment says for others."""
    return dict.fromkeys(("http", "https", "all")) if is_loopback(urlsplit(url).netloc) else None


def authorities() -> str | bool:
    """Whom TLS trusts: what the environment says, else the system, else certifi."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        if os.environ.get(name):
            return os.environ[name]
    paths = ssl.get_default_verify_paths()
    return paths.cafile or paths.capath or True
