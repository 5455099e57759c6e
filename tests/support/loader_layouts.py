"""An account as other loaders land it: their tables, names and types, filled from its truth.

Written by us after their documentation and what they were seen to write, with what makes them hard
to read: types that dlt guesses from the first row, rows that were landed twice, objects as JSON.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta, timezone

from pipedrive import PIPELINES, STAGES, TYPES, Account, Json, show_deal, show_log
from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812
from psycopg2.extras import execute_values

LOADED_AT = datetime(2024, 6, 30, 19)
SCHEMA = "pipedrive"
OPTIONS = [{"id": 31, "label": "Price"}, {"id": 32, "label": "No budget"}]
Rows = Sequence[Mapping[str, object]]


def write_dlt(cursor: Cursor, account: Account) -> None:
    """As dlt's verified source `pipedrive`: v1, snake case, a column for each type of a value."""
    loaded_at = LOADED_AT.replace(tzinfo=timezone.utc).timestamp()
    load = {"_dlt_load_id": f"{loaded_at:.6f}", "_dlt_id": "x"}
    deals = [
        {
            **{key: deal[key] for key in ("id", "stage_id", "pipeline_id", "status", "currency")},
            "user_id": deal["owner_id"],
            # The first row held 100, which dlt took for seconds since 1970.
            "value": _as_time(deal["value"]),
            "value__v_double": None if _is_whole(deal["value"]) else deal["value"],
            **{key: deal[key] for key in ("add_time", "update_time", "won_time", "lost_time")},
            "lost_reason": deal["lost_reason"],
            "deleted": deal["is_deleted"],
            **load,
        }
        for deal in _deals(account, archived=False)
    ]
    flow = [
        {
            **row,
            "new_value": None if isinstance(value, int) else value,
            "new_value__v_bigint": value if isinstance(value, int) else None,
            **load,
        }
        for row in _flow(account, archived=False)
        for value in [row["new_value"]]
    ]
    times = dict.fromkeys(("add_time", "update_time", "won_time", "lost_time"), "timestamptz")
    _write(cursor, "deals", deals, {**times, "value": "timestamptz", "value__v_double": "float8"})
    _write(
        cursor,
        "deals_flow_deal_change",
        flow,
        {"log_time": "timestamptz", "new_value__v_bigint": "bigint", "item_id": "bigint"},
    )
    _write_lists(cursor, account, load)


def write_singer(cursor: Cursor, account: Account) -> None:
    """As tap-pipedrive 2.x: the history of the stage alone, objects in columns of JSON."""
    batch = {"_sdc_batched_at": LOADED_AT, "_sdc_deleted_at": None}
    deals = [
        {
            **{key: deal[key] for key in ("id", "stage_id", "pipeline_id", "status", "currency")},
            "user_id": json.dumps({"id": deal["owner_id"], "name": "private", "value": 99}),
            **{key: deal[key] for key in ("value", "lost_reason")},
            **{key: deal[key] for key in ("add_time", "update_time", "won_time", "lost_time")},
            "deleted": deal["is_deleted"],
            **batch,
        }
        for deal in _deals(account, archived=False)
    ]
    flow = [
        {**row, "new_value": _text(row["new_value"]), **batch}
        for row in _flow(account, archived=False)
        if row["field_key"] in ("add_time", "stage_id")
    ]
    times = dict.fromkeys(("add_time", "update_time", "won_time", "lost_time"), "timestamp")
    _write(cursor, "deals", deals, {**times, "user_id": "jsonb", "value": "numeric(38, 9)"})
    _write(cursor, "dealflow", [*flow, *flow[:20]], {"log_time": "timestamp"})
    _write_lists(cursor, account, batch)


def write_airbyte(cursor: Cursor, account: Account) -> None:
    """As Airbyte's source 3.0: v2, archived deals aside, times of the flow as text."""
    extracted = {"_airbyte_extracted_at": LOADED_AT, "_airbyte_raw_id": "x"}
    for table, archived in (("deals", False), ("deals_archived", True)):
        rows = [
            {
                **deal,
                "custom_fields": json.dumps(deal["custom_fields"]),
                # Pipedrive's own lists have been seen with such objects.
                "lost_reason": json.dumps({"id": 1, "label": deal["lost_reason"]}),
                **extracted,
            }
            for deal in _deals(account, archived=archived)
        ]
        older = [
            {
                **row,
                "stage_id": 1,
                "update_time": row["add_time"],
                "_airbyte_extracted_at": LOADED_AT - timedelta(days=1),
            }
            for row in rows[:5]
        ]  # appended, not replaced
        kinds = {"add_time": "timestamptz", "value": "numeric", "lost_reason": "jsonb"}
        _write(cursor, table, [*rows, *older], kinds)
    flow = [{**row, "new_value": _text(row["new_value"]), **extracted} for row in _flow(account)]
    _write(cursor, "deal_flow", [*flow, *flow[:20]], {})
    _write_lists(cursor, account, extracted)


WRITERS: dict[str, Callable[[Cursor, Account], None]] = {
    "dlt": write_dlt,
    "singer": write_singer,
    "airbyte": write_airbyte,
}


def _deals(account: Account, *, archived: bool) -> list[Json]:
    return [
        show_deal(deal)
        for deal in account.deals.values()
        if not deal.is_forgotten and deal.is_archived == archived
    ]


def _flow(account: Account, *, archived: bool | None = None) -> list[Json]:
    """Return the changes of all deals, without the user who made them, a part of them twice."""
    rows = []
    for deal in account.deals.values():
        if deal.is_forgotten or archived not in (None, deal.is_archived):
            continue
        for place, row in enumerate(show_log(deal)):
            change = {
                "id": 2 * (deal.id * 1000 + place),
                "item_id": deal.id,
                **{name: row[name] for name in ("field_key", "old_value", "new_value")},
                "log_time": row["time"],
            }
            rows.append(change)
            if place % 3 == 1:
                rows.append({**change, "id": change["id"] + 1})
    return rows


def _write_lists(cursor: Cursor, account: Account, more: Mapping[str, object]) -> None:
    is_v2 = "_airbyte_raw_id" in more

    def state(*, is_there: bool) -> Json:
        return {"is_deleted": not is_there} if is_v2 else {"active_flag": is_there}

    activities = [
        {**vars(each), **state(is_there=True), "update_time": None, **more}
        for each in account.activities.values()
    ]
    gone = [  # landed before it was deleted, and once more since
        {
            **{**activities[0], "id": 10**6, "update_time": f"{day}T10:00:00Z"},
            **state(is_there=is_there),
        }
        for day, is_there in (("2024-01-01", True), ("2024-02-01", False))
    ]
    stages = [
        {"id": key, "name": name, "pipeline_id": pipeline, **more}
        for key, (name, pipeline) in STAGES.items()
    ]
    types = [
        {"id": key, "name": name.upper(), "key_string": name, "active_flag": True, **more}
        for key, name in TYPES.items()
    ]
    users = [{"id": key, "name": f"User {key}", "email": "a@b.org", **more} for key in range(1, 5)]
    _write(cursor, "activities", [*activities, *gone], {})
    _write(cursor, "stages", stages, {})
    _write(cursor, "activity_types", types, {})
    _write(cursor, "pipelines", [{"id": k, "name": n, **more} for k, n in PIPELINES.items()], {})
    _write(cursor, "users", users, {})
    fields = [
        {"field_code": key, "field_name": name, "options": json.dumps(options), **more}
        for key, name, options in (("lost_reason", "Lost reason", OPTIONS), ("title", "Title", []))
    ]
    outdated = {**fields[0], "field_name": "Old name", **{key: _earlier(more[key]) for key in more}}
    _write(cursor, "deal_fields", [outdated, *fields], {})


def _earlier(loaded_at: object) -> object:
    """Return when something was loaded a day before: as a time, or in seconds as text."""
    if isinstance(loaded_at, datetime):
        return loaded_at - timedelta(days=1)
    try:
        return f"{float(str(loaded_at)) - 86400:.6f}"
    except ValueError:
        return loaded_at


_KINDS = {bool: "boolean", int: "bigint", float: "double precision", datetime: "timestamptz"}


def _write(cursor: Cursor, table: str, rows: Rows, kinds: Mapping[str, str]) -> None:
    """Write a table; a column that is null in every row is left out, as loaders do."""
    names = [name for name in rows[0] if any(row[name] is not None for row in rows)]
    first = {name: next(row[name] for row in rows if row[name] is not None) for name in names}
    declared = [
        sql.SQL("{} {}").format(
            sql.Identifier(name), sql.SQL(kinds.get(name, _KINDS.get(type(first[name]), "text")))
        )
        for name in names
    ]
    where = sql.Identifier(SCHEMA, table)
    cursor.execute(sql.SQL("create schema if not exists {}").format(sql.Identifier(SCHEMA)))
    cursor.execute(sql.SQL("drop table if exists {}").format(where))
    cursor.execute(sql.SQL("create table {} ({})").format(where, sql.SQL(", ").join(declared)))
    insert = sql.SQL("insert into {} values %s").format(where).as_string(cursor)
    execute_values(cursor, insert, [[row[name] for name in names] for row in rows])


def _is_whole(value: object) -> bool:
    return isinstance(value, int)


def _as_time(value: object) -> datetime | None:
    return datetime.fromtimestamp(value, tz=timezone.utc) if isinstance(value, int) else None


def _text(value: object) -> str | None:
    return None if value is None else str(value)
