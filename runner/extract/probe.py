"""What this account really gives of a deal: its log beside its flow, as counts without values."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from runner.extract import answers
from runner.extract.account import Account
from runner.extract.answers import KEYS, Change, understood
from runner.extract.api import PAGE, Api, NotFound, Row, asking
from runner.extract.histories import LOG_TOKENS, find_deal, read_flow
from runner.text.text_table import TextTable
from runner.text.words import plural


@dataclass(frozen=True)
class Probe:
    """What was seen of a deal, a line for each thing."""

    lines: Mapping[str, str]
    is_whole: bool

    def draw(self) -> str:
        """Return it as a table."""
        return TextTable((), list(self.lines.items()), names=1, has_note=True).draw()

    def document(self) -> dict[str, Any]:
        """Return it as `--json` prints it."""
        return {"probe": dict(self.lines), "is_whole": self.is_whole}


def probe_deal(account: Account, deal_id: int, burst: int) -> Probe:
    """Return what the account gives of a deal. Needs no database, and writes nothing.

    Raises:
        FunnelError: There is no such deal, or the account cannot be read.
    """
    with asking():
        return _probe(Api(account, burst), deal_id)


def _probe(api: Api, deal_id: int) -> Probe:
    found = find_deal(api, deal_id, "open,won,lost,deleted")
    if not found:
        raise NotFound(f"deal {deal_id}")
    where, row = found
    path = f"/api/v1/deals/{deal_id}"
    pages = list(api.pages(f"{path}/changelog", LOG_TOKENS))
    logged = [each for page in pages for each in page]
    flow_rows = list(read_flow(api, f"{path}/flow"))
    with understood(path):
        deal = answers.read_deal(row)
        log, flow = answers.read_log(logged), answers.read_flow(flow_rows)
    _, _, seen_at, _, stage_id, _, status = deal[:7]
    merged = answers.merge(log, flow)
    log_is_whole, is_whole = (
        answers.is_whole(changes, stage_id, seen_at)  # type: ignore[arg-type]
        for changes in (log, merged)
    )
    lines = {
        "deal": f"in {where}, status {status if status in _STATUSES else 'of another name'}, "
        f"lost_reason is {_shape(row.get('lost_reason'))}",
        "log": f"{plural(len(logged), 'row')} in {plural(len(pages), 'page')} of {PAGE}",
        "log, kept": _count_keys(change.field_key for change in log),
        "log, twice": plural(_count_kept(logged) - len(log), "row"),
        "log, owner": _list({str(each["field_key"]) for each in logged} & {"user_id", "owner_id"}),
        "log, lost reason": _list(
            {_shape(each["new_value"]) for each in logged if each["field_key"] == "lost_reason"}
        ),
        "log, whole": _judge(log, is_whole=log_is_whole),
        "flow": plural(len(flow_rows), "row"),
        "flow, kept": _count_keys(change.field_key for change in flow),
        "only in the log": _count_keys(each.field_key for each in set(log) - set(flow)),
        "only in the flow": _count_keys(each.field_key for each in set(flow) - set(log)),
        "both, whole": _judge(merged, is_whole=is_whole),
        "limits": ", ".join(f"{name} {value}" for name, value in api.limits.items()) or "not said",
        "cost": f"{plural(api.asked, 'request')}, {api.spent:,} tokens",
    }
    return Probe(lines, is_whole)


_STATUSES = ("open", "won", "lost", "deleted")


def _count_kept(rows: Iterable[Row]) -> int:
    return sum(str(row["field_key"]) in (*KEYS, "owner_id") for row in rows)


def _count_keys(keys: Iterable[str]) -> str:
    return ", ".join(f"{key} {count}" for key, count in sorted(Counter(keys).items())) or "nothing"


def _judge(changes: Iterable[Change], *, is_whole: bool) -> str:
    if is_whole:
        return "yes: from the creation to the stage of today"
    if all(change.field_key != "add_time" for change in changes):
        return "no: the creation is missing"
    return "no: it does not end in the stage of today"


def _shape(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, Mapping):
        return "an object"
    return "an id" if str(value).isdecimal() else "text"


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"
