"""The Pipedrive account to read: its company, its address and the token, from the environment."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from runner.errors import FunnelError

TOKENS = ("PIPEDRIVE_API_TOKEN", "PIPEDRIVE_ACCESS_TOKEN")
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_HEADERS = {"PIPEDRIVE_API_TOKEN": "x-api-token", "PIPEDRIVE_ACCESS_TOKEN": "Authorization"}


@dataclass(frozen=True)
class Account:
    """Whom to ask, and as whom.

    Args:
        company: What stands before `.pipedrive.com`.
        url: Where the API is, without a slash at its end.
        headers: What says who asks: the token, which is in nothing else.
    """

    company: str
    url: str
    headers: Mapping[str, str] = field(repr=False)

    @property
    def is_loopback(self) -> bool:
        """Whether the API is on this machine, as in tests."""
        return urlsplit(self.url).hostname in _LOOPBACK


def find_account() -> Account:
    """Return the account that the environment names.

    Raises:
        FunnelError: A variable is unset, or cannot be. A token is never part of it.
    """
    given = [name for name in TOKENS if os.environ.get(name)]
    if len(given) != 1:
        raise FunnelError(
            f"{' and '.join(given)} are both set" if given else f"{TOKENS[0]} is not set",
            hint=f"Set {TOKENS[0]}, or {TOKENS[1]} for OAuth.",
        )
    token = os.environ[given[0]].strip()
    if not re.fullmatch("[!-~]+", token):
        raise FunnelError(f"{given[0]} holds a character that no token has", hint="Set it again.")
    company = os.environ.get("PIPEDRIVE_COMPANY", "").strip().lower().removesuffix(".pipedrive.com")
    if not re.fullmatch("[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", company):
        raise FunnelError(
            "PIPEDRIVE_COMPANY is not the name of a company" if company else _unset("COMPANY"),
            hint="Set it to what stands before .pipedrive.com in your browser.",
        )
    value = f"Bearer {token}" if given[0] == "PIPEDRIVE_ACCESS_TOKEN" else token
    return Account(company, _find_url(company), {_HEADERS[given[0]]: value})


def _unset(name: str) -> str:
    return f"PIPEDRIVE_{name} is not set"


def _find_url(company: str) -> str:
    url = os.environ.get("PIPEDRIVE_API_URL", "").strip().rstrip("/")
    if not url:
        return f"https://{company}.pipedrive.com"
    try:
        parts = urlsplit(url)
        is_plain = not (parts.username or parts.password or parts.query or parts.fragment)
        is_safe = parts.scheme == "https" or (
            parts.scheme == "http" and parts.hostname in _LOOPBACK
        )
        is_right = bool(parts.hostname) and parts.port != 0 and is_plain and is_safe
    except ValueError:
        is_right = False
    if not is_right:  # not shown: it may hold a password
        raise FunnelError(
            "PIPEDRIVE_API_URL is not an https address",
            hint="Unset it, or set it to https://HOST; http is for 127.0.0.1 only.",
        )
    return url
