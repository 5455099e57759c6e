"""The history of a deal: its log, proven whole, else its flow too."""

from collections.abc import Iterator

from runner.extract import answers
from runner.extract.answers import understood
from runner.extract.api import PAGE, Api, NotFound, PathError, Row
from runner.extract.landing import DueDeal, Log

LOG_TOKENS = 20
"""What a page of the log costs."""

FLOW_TOKENS = 40

DEAL_LISTS = (("/api/v2/deals", 10), ("/api/v2/deals/archived", 20))
"""Where a deal can be, and what a page costs."""


def read_history(api: Api, deal: DueDeal) -> Log | None:
    """Return the changes of a deal and whether they are whole; nothing where it is gone.

    Raises:
        BudgetSpent, FunnelError: As `Api.get`.
    """
    path = f"/api/v1/deals/{deal.id}"
    try:
        rows = [row for page in api.pages(f"{path}/changelog", LOG_TOKENS) for row in page]
    except NotFound as missing:
        if is_listed(api, deal.id):
            raise PathError(f"Pipedrive lists deal {deal.id}, but knows no {missing}") from missing
        return None  # deleted since the sweep; the next one will see that
    with understood(f"{path}/changelog"):
        log = answers.read_log(rows)
    if answers.is_whole(log, deal.stage_id, deal.update_time):
        return log, True
    try:
        flow = list(read_flow(api, f"{path}/flow"))
    except NotFound:
        return log, False
    with understood(f"{path}/flow"):
        merged = answers.merge(log, answers.read_flow(flow))
    return merged, answers.is_whole(merged, deal.stage_id, deal.update_time)


def is_listed(api: Api, deal_id: int) -> bool:
    """Return whether a deal is there, archived or not.

    Raises:
        BudgetSpent, NotFound, FunnelError: As `Api.get`.
    """
    return find_deal(api, deal_id, "open,won,lost") is not None


def find_deal(api: Api, deal_id: int, status: str) -> tuple[str, Row] | None:
    """Return a deal as its list has it, and which list that is."""
    for path, cost in DEAL_LISTS:
        for page in api.pages(path, cost, ids=deal_id, status=status):
            for row in page:
                if row.get("id") == deal_id:
                    return path, row
    return None


def read_flow(api: Api, path: str) -> Iterator[Row]:
    """Yield the changes of a deal's flow.

    Raises:
        BudgetSpent, NotFound, FunnelError: As `Api.get`.
    """
    start, has_more = 0, True
    while has_more:
        query = {"items": "dealChange", "start": start, "limit": PAGE}
        body = api.get(path, FLOW_TOKENS, query, may_be_empty=True)
        yield from body.get("data") or []
        # The documentation has one, the API has been seen with the other.
        more = body.get("additional_data") or {}
        more = more.get("pagination") or more
        has_more = bool(more.get("more_items_in_collection") and body.get("data"))
        start += PAGE
