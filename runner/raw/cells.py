"""How the cells of a CSV file are read: what each may hold, and what is stored of it.

Postgres reads far more than is meant, some of it as something else: 13.05.24 as a day of 2013, and
newer servers 0x10 as 16. A file's cells are therefore copied as they stand, into domains that let
only pass what says the same to everybody.
"""

from dataclasses import dataclass

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812 - a class in lower case

from runner.warehouse.raw_contract import LONGEST_NAME, RawColumn

INVISIBLE = " \t\r\n\v\f\u00a0\u2007\u202f\u200b\ufeff"
"""What can stand around a value unseen: blanks, tabs, no-break spaces, byte order marks."""

_AROUND_ID = INVISIBLE + "\"'"
# Three zeros behind a point can be thousands: 1.000.
_ID_PATTERN = "^[+-]?[0-9]+([.](0{0,2}|0{4,}))?$"
_BARE_ID = "btrim({0}, {around_id})"
_ID = f"cast(split_part({_BARE_ID}, '.', 1) as bigint)"

_ID_CHECK = f"value is null or {_BARE_ID} ~ {{id_pattern}} and {_ID} is not null".replace(
    "{0}", "value"
)

_ID_FIELDS = ("lost_reason", "pipeline_id", "stage_id", "user_id")
# Of the fields whose values are ids: 5.0 as 5, and a reason typed freely as it is.
_NEW_VALUE = f"""
    case
        when lower(btrim(changed_field_key, {{invisible}})) = any({{id_fields}})
            and length({{0}}) < 40
            and {_BARE_ID} ~ {{id_pattern}}
            and length(split_part({_BARE_ID}, '.', 1)) < 19
            then cast({_ID} as text)
        else {{0}}
    end
"""

TIME_PATTERN = (
    "^[0-9]{4}-[0-9]{2}-[0-9]{2}"
    "([Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]+)?)?([Zz]|[+-][0-9]{2}(:?[0-9]{2})?)?)?$"
)
# Cut to microseconds, because Postgres would round a seventh digit, if need be into the next month.
_TIME_AS_UTC = """
    cast(
        case
            when length({0}) > 26 then regexp_replace({0}, '([.][0-9]{{6}})[0-9]+', '\\1')
            else {0}
        end as timestamptz
    ) at time zone 'UTC'
"""

# Lax paths would look into a list within the list.
_OPTION_PATH = """strict $[*] ? (
    (@.id.type() == "number" || @.id.type() == "string" || @.id.type() == "boolean")
    && (@.label.type() == "number" || @.label like_regex "^.{0,%s}$" flag "s")
)"""
_OPTIONS_CHECK = """
    case jsonb_typeof(value)
        when 'array'
            then jsonb_array_length(value)
                = jsonb_array_length(jsonb_path_query_array(value, {option_path}))
        else jsonb_typeof(value) = 'null'
    end
"""

_FIX = "Fix the file and load again; nothing was written."


@dataclass(frozen=True)
class CellType:
    """How one kind of cell is read.

    Args:
        is_a: What a value that was refused is not.
        type: The type of the file's column.
        check: What holds for `value`, if the type alone does not say it.
        stored: What is stored of the column `{0}`.
        hint: What to do about a refusal.
    """

    is_a: str
    type: str
    check: str | None = None
    stored: str = "{0}"
    hint: str = _FIX


_TYPES = {
    "bigint": CellType("a bigint", "text", _ID_CHECK, _ID),
    "boolean": CellType("a boolean", "boolean"),
    "jsonb": CellType("a list of options, each with id and label", "jsonb", _OPTIONS_CHECK),
    "text": CellType(
        f"a text of at most {LONGEST_NAME} characters",
        "text",
        "{longest} >= length(value)",
        "btrim({0}, {invisible})",
    ),
    "timestamp": CellType(
        "a timestamp",
        "text",
        "value ~ {time_pattern} and isfinite(cast(value as timestamptz))",
        _TIME_AS_UTC,
        f"Write times as in ISO 8601, such as 2024-05-31 09:30:00+02:00. {_FIX}",
    ),
}
_DOMAIN = "file_"
_FREE_TEXT = CellType("a text", "text", stored=_NEW_VALUE)
_LITERALS: dict[str, sql.Composable] = {
    "around_id": sql.Literal(_AROUND_ID),
    "id_fields": sql.Literal(list(_ID_FIELDS)),
    "id_pattern": sql.Literal(_ID_PATTERN),
    "invisible": sql.Literal(INVISIBLE),
    "longest": sql.Literal(LONGEST_NAME),
    "option_path": sql.Literal(_OPTION_PATH % LONGEST_NAME),
    "time_pattern": sql.Literal(TIME_PATTERN),
}


def cell_type(column: RawColumn) -> CellType:
    """Return how a column's cells are read."""
    return _FREE_TEXT if column.is_free_text else _TYPES[column.type]


def file_type(column: RawColumn) -> sql.Composable:
    """Return the type of a file's column: a domain where its values are checked."""
    cells = cell_type(column)
    return _domain(column.type) if cells.check else sql.SQL(cells.type)


def stored_value(column: RawColumn) -> sql.Composable:
    """Return the expression that is stored of a file's column."""
    return sql.SQL(cell_type(column).stored).format(sql.Identifier(column.name), **_LITERALS)


def create_domains(cursor: Cursor) -> None:
    """Create the domains for the session, or until `drop_domains`."""
    for name, cells in _TYPES.items():
        if cells.check:
            check = sql.SQL(cells.check).format(**_LITERALS)
            cursor.execute(
                sql.SQL("create domain {} as {} check ({})").format(
                    _domain(name), sql.SQL(cells.type), check
                )
            )


def drop_domains(cursor: Cursor) -> None:
    """Drop the domains, and with them the columns of files that are of their type."""
    domains = [_domain(name) for name, cells in _TYPES.items() if cells.check]
    cursor.execute(sql.SQL("drop domain {} cascade").format(sql.SQL(", ").join(domains)))


def domain_cells(domain: str) -> CellType:
    """Return which cells a domain checks."""
    return _TYPES[domain.removeprefix(_DOMAIN)]


def _domain(type_name: str) -> sql.Identifier:
    return sql.Identifier("pg_temp", _DOMAIN + type_name)
