"""The history of a deal: its log, proven whole, else its flow too."""

from collections.abc import Iterator

from runner.extract import answers
from runner.extract.answers import understood
from runner.extract.api import PAGE, Api, NotFound, Row
from runner.extract.landing import DueDeal, Log

LOG_TOKENS = 20
"""What a page of the log costs."""

FLOW_TOKENS = 40


def read_history(api: Api, deal: DueDeal) -> Log | None:
    """Return the changes of a deal and whether they are whole; nothing where it is gone.

    Raises:
        BudgetSpent, FunnelError: As `Api.get`.
    """
    path = f"/api/v1/deals/{deal.id}"
    try:
        rows = [row for page in api.pages(f"{path}/changelog", LOG_TOKENS) for row in page]
    except NotFound:  # deleted since the sweep; the next one will see that
        return None
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
