"""Pipedrive's API: one request after the other, at its pace, within a budget of tokens."""

import random
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

import requests

from runner.errors import FunnelError
from runner.extract.account import Account

Row = Mapping[str, Any]
Query = Mapping[str, object]

WINDOW = 2.0
"""Seconds over which Pipedrive counts the requests of a token."""

PAGE = 500
"""Rows that a page has at most."""

_PAUSE = 1.0
"""Seconds before the second attempt; each further one waits twice as long."""

_ATTEMPTS = 6
_REFUSALS = 3
"""Answers 429 in a row that say: the budget of the day is spent. More of them lead to a block."""

_LONGEST_RESET = 60
"""Seconds; who is to wait longer has spent the budget of the day."""

_TIMEOUT = (10, 60)
"""Seconds to connect, and between two parts of an answer."""

_TOO_SLOW = "did not answer in time"


class BudgetSpent(Exception):  # noqa: N818 - nothing failed
    """No more tokens today, or no more than the user allows."""


class PathError(FunnelError):
    """One thing could not be read; others may well be."""


class NotFound(Exception):  # noqa: N818 - nothing failed
    """What was asked for is gone."""


@contextmanager
def asking() -> Iterator[None]:
    """Turn what an extract goes on from into an error, where nothing can be done without it."""
    try:
        yield
    except BudgetSpent as spent:
        raise FunnelError(
            "the tokens of this day are spent", hint="Type it again tomorrow."
        ) from spent
    except NotFound as missing:
        raise FunnelError(
            f"Pipedrive knows no {missing}", hint="Check it, and PIPEDRIVE_COMPANY."
        ) from missing


@dataclass
class Api:
    """A session with the API of one account.

    Args:
        account: Whom to ask, and as whom.
        burst: Requests allowed within `WINDOW`.
        max_tokens: Tokens to spend; None allows half of what is left of the day, where the
            answers say how much that is.
        asked: Requests made so far.
        spent: Tokens spent so far.
        limits: What the last answer said of limits.
    """

    account: Account
    burst: int
    max_tokens: int | None = None
    asked: int = 0
    spent: int = 0
    limits: dict[str, str] = field(default_factory=dict)
    _answered: deque[float] = field(default_factory=deque)
    _session: requests.Session = field(default_factory=requests.Session)

    def __post_init__(self) -> None:
        """Ask as the account, and as nobody whom a .netrc names."""
        self._session.headers.update({"Accept": "application/json", **self.account.headers})
        self._session.auth = lambda request: request
        self._session.trust_env = not self.account.is_loopback

    def get(
        self,
        path: str,
        cost: int,
        query: Query = MappingProxyType({}),
        *,
        may_be_empty: bool = False,
    ) -> dict[str, Any]:
        """Return an answer that holds data.

        Args:
            path: What to ask for, from `/api` on.
            cost: The tokens it takes.
            query: The parameters.
            may_be_empty: Whether `"data": null` is an answer. Elsewhere it is a fault of the API.

        Raises:
            BudgetSpent: It would take more tokens than are left.
            NotFound: There is no such thing.
            PathError: It was refused, or not answered whatever the attempts.
            FunnelError: So would everything be.
        """
        reason, refusals, error = "", 0, FunnelError
        for attempt in range(_ATTEMPTS):
            if attempt and reason:
                time.sleep(_PAUSE * 2 ** (attempt - 1) * random.uniform(0.5, 1.5))  # noqa: S311
            answer = self._ask(path, cost, query)
            if isinstance(answer, str):
                reason, error = answer, PathError if answer == _TOO_SLOW else FunnelError
                continue
            if answer.status_code == HTTPStatus.TOO_MANY_REQUESTS:
                refusals += 1
                reset = _number(answer, "x-ratelimit-reset")
                left = _number(answer, "x-daily-ratelimit-token-remaining")
                if refusals == _REFUSALS or left == 0 or (reset or 0) > _LONGEST_RESET:
                    raise BudgetSpent
                reason, error = "" if reset is not None else "is busy", FunnelError
                time.sleep(reset or 0)
                continue
            body = _read_body(answer)
            is_empty = not body or (
                isinstance(body, dict)
                and body.get("success") is not False
                and body.get("data") is None
                and not may_be_empty
            )
            if answer.status_code < HTTPStatus.INTERNAL_SERVER_ERROR and (
                answer.status_code != HTTPStatus.OK or not is_empty
            ):
                return self._judge(answer, body, path)
            reason, error = f"answered {answer.status_code}", PathError
            reason += " without content" if is_empty else ""
        raise error(
            f"Pipedrive {reason or 'is busy'} {_ATTEMPTS} times for {path}",
            hint="Type `funnel extract` again later; what was read is kept.",
        )

    def check_account(self) -> None:
        """Check that the token is one of the account's company.

        Raises:
            FunnelError: It is not, or is no token.
        """
        domain = self.get("/api/v1/users/me", 2)["data"].get("company_domain")
        if domain and domain != self.account.company:
            raise FunnelError(
                f"the token is for company {domain}, not {self.account.company}",
                hint="Check PIPEDRIVE_COMPANY and the token.",
            )

    def pages(self, path: str, cost: int, **query: object) -> Iterator[list[Row]]:
        """Yield the rows of an endpoint that hands out a cursor, page by page.

        Raises:
            BudgetSpent, NotFound, FunnelError: As `get`.
        """
        parameters = {"limit": PAGE, **query}
        while True:
            body = self.get(path, cost, parameters)
            yield body["data"]
            cursor = (body.get("additional_data") or {}).get("next_cursor")
            if not cursor:
                return
            if cursor == parameters.get("cursor"):
                raise FunnelError(f"Pipedrive keeps returning the same page of {path}")
            parameters["cursor"] = cursor

    def rows(self, path: str, cost: int) -> list[Row]:
        """Return the rows of an endpoint without pages."""
        data: list[Row] = self.get(path, cost)["data"]
        return data

    def _ask(self, path: str, cost: int, query: Query) -> requests.Response | str:
        """Return an answer, or why there is none."""
        if self.max_tokens is not None and self.spent + cost > self.max_tokens:
            raise BudgetSpent
        self._keep_pace()
        self.asked += 1
        self.spent += cost
        try:
            answer = self._session.get(
                self.account.url + path,
                params={name: str(value) for name, value in query.items()},
                timeout=_TIMEOUT,
                allow_redirects=False,  # which would hand the token to another host
            )
        except requests.Timeout:
            return _TOO_SLOW
        except requests.RequestException:  # its text may name a proxy's password
            return "could not be reached"
        finally:
            self._answered.append(time.monotonic())
        self.limits = {
            name.lower(): value
            for name, value in answer.headers.items()
            if "ratelimit" in name.lower()
        }
        left = _number(answer, "x-daily-ratelimit-token-remaining")
        if self.max_tokens is None and left is not None:
            self.max_tokens = self.spent + int(left) // 2
        if _number(answer, "x-ratelimit-remaining") == 0:
            time.sleep(min(_number(answer, "x-ratelimit-reset") or 0, WINDOW))
        return answer

    def _keep_pace(self) -> None:
        """Wait until no `WINDOW` can hold more than the burst limit.

        Counted from the moment of the answer: whenever the server has counted that request, it was
        not later.
        """
        while len(self._answered) >= self.burst:
            time.sleep(max(0.0, self._answered.popleft() + WINDOW - time.monotonic()))

    def _judge(self, answer: requests.Response, body: object, path: str) -> dict[str, Any]:
        status = answer.status_code
        if status == HTTPStatus.OK and isinstance(body, dict) and body.get("success") is not False:
            return body
        if status in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
            raise NotFound(path)
        if status == HTTPStatus.UNAUTHORIZED:
            raise FunnelError(
                f"Pipedrive does not accept the token for company {self.account.company}",
                hint="Check PIPEDRIVE_API_TOKEN (or PIPEDRIVE_ACCESS_TOKEN) and PIPEDRIVE_COMPANY.",
            )
        if status == HTTPStatus.FORBIDDEN and not isinstance(body, dict):
            raise FunnelError(
                "Pipedrive blocks this address for now",
                hint="Wait an hour, and type `funnel extract` again; what was read is kept.",
            )
        if status == HTTPStatus.FORBIDDEN:
            raise PathError(
                f"the token may not read {path}",
                hint="Use the token of a user who sees all deals, activities and users.",
            )
        raise PathError(
            f"Pipedrive answered {status} for {path}",
            hint="Check PIPEDRIVE_COMPANY, and PIPEDRIVE_API_URL if you set it.",
        )


def _read_body(answer: requests.Response) -> object:
    """Return what an answer holds; text where it is no JSON, as the edge's pages are."""
    try:
        return answer.json()
    except requests.JSONDecodeError:
        return answer.text


def _number(answer: requests.Response, header: str) -> float | None:
    try:
        number = float(answer.headers[header])
    except (KeyError, ValueError):
        return None
    return number if 0 <= number < float("inf") else None
