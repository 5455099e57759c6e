"""What each macro of macros/engine/ means, on Postgres; and that there is a version for Spark."""

import json
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
import yaml
from homes import ROOT
from malformed_exports import IDS, NO_IDS
from sqlfluff.core import Linter

from macros import Macros

FOLDER = ROOT / "macros" / "engine"
DISPATCHED = {file.stem for file in FOLDER.glob("*.sql") if "dispatch" in file.read_text()}


def listed(texts: list[str | None], column: str) -> str:
    """A query for texts, numbered in their order."""
    quoted = ["null" if text is None else "'" + text.replace("'", "''") + "'" for text in texts]
    rows = ", ".join(f"({number}, {text})" for number, text in enumerate(quoted))
    return f"select * from (values {rows}) as listed (number, {column})"


@pytest.mark.parametrize(
    "zone",
    ["UTC", "Europe/Berlin", "America/New_York", "America/Havana", "Pacific/Kiritimati"],
)
def test_local_dates_and_months(macros: Macros, zone: str) -> None:
    # Around the changes of the clocks, of the month and of the year, every quarter of an hour.
    moments = [
        datetime(2024, month_number, night, tzinfo=timezone.utc)
        + timedelta(minutes=15 * quarter, seconds=second)
        for month_number, night in ((1, 1), (3, 1), (3, 10), (3, 31), (10, 27), (11, 3))
        for quarter in range(-80, 80)
        for second in (-1, 0)
    ]
    template = "{{ tojson([local_date('moment'), local_date('moment', 'month')]) }}"
    day, month = macros.evaluate(template, json.dumps({"timezone": zone}))
    texts = [f"{moment:%Y-%m-%d %H:%M:%S}" for moment in moments]
    found = macros.execute(
        f"select {day}, {month} from (select number, cast(text as timestamp) as moment"
        f" from ({listed([*texts, None], 'text')}) as texts) as moments order by number"
    )
    days = [moment.astimezone(ZoneInfo(zone)).date() for moment in moments]
    assert found == [*((day, day.replace(day=1)) for day in days), (None, None)]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("'2024-02-28', '2024-03-01'", ["2024-02-28", "2024-02-29", "2024-03-01"]),
        ("'2024-05-01', '2024-05-01'", ["2024-05-01"]),
        ("'2024-05-02', '2024-05-01'", []),
        # A day is a day, also where it has 23 hours in the time zone of the server.
        ("'2024-03-30', '2024-04-01'", ["2024-03-30", "2024-03-31", "2024-04-01"]),
        ("'2023-12-01', '2024-02-29', 'month'", ["2023-12-01", "2024-01-01", "2024-02-01"]),
        ("'2024-02-01', '2024-02-01', 'month'", ["2024-02-01"]),
        ("modules.datetime.date(9000, 12, 31), '9000-12-31'", ["9000-12-31"]),
    ],
)
def test_date_series(macros: Macros, arguments: str, expected: list[str]) -> None:
    query = macros.evaluate(f"{{{{ tojson(date_series({arguments})) }}}}")
    macros.execute("set timezone = 'Europe/Berlin'")
    found = macros.execute(query)
    macros.execute("reset timezone")
    assert sorted(found) == [(date.fromisoformat(day),) for day in expected]


OPTIONS: dict[str | None, list[tuple[str | None, str | None]]] = {
    None: [],
    '[{"id": 1, "label": "Price"}, {"id": "2", "label": " Time "}]': [
        ("1", "Price"),
        ("2", " Time "),
    ],
    # As written, and whatever else an item holds.
    '[{"id": 5.0, "label": 7, "color": null}]': [("5.0", "7")],
    '[{"id": 123456789012345678901234, "label": "ünï\\u00e9\\"\\n"}]': [
        ("123456789012345678901234", 'ünïé"\n')
    ],
    '[{"id": null, "label": "No id"}, {"label": "None"}, {"id": 3}, {}]': [
        (None, "No id"),
        (None, "None"),
        ("3", None),
        (None, None),
    ],
    '[null, 1, "x"]': [(None, None)] * 3,
    "[]": [],
    "null": [],
    '{"id": 1, "label": "Not a list"}': [],
    '"[]"': [],
    "7": [],
    "": [],
    "   ": [],
}


@pytest.mark.parametrize("data_type", ["text", "jsonb"])
def test_read_options(macros: Macros, data_type: str) -> None:
    query = macros.evaluate("{{ tojson(read_options('fields')) }}")
    for options, expected in OPTIONS.items():
        if data_type == "text" or options is None or options.strip():
            column = f"cast({'null' if options is None else '$$' + options + '$$'} as {data_type})"
            fields = f"select 'stage_id' as field, {column} as field_value_options"
            found = macros.execute(f"with fields as ({fields}) {query}")
            assert found == [("stage_id", *option) for option in expected], options


# fmt: off
@pytest.mark.parametrize(
    ("pattern", "fitting", "others"),
    [
        ("[0-9]{1,18}",
         ["0", "7", "007", "9" * 18],
         ["", " ", "9" * 19, " 7", "7 ", "\t7", "7\n", "\n7", "7\n7", "7\u00a0", "-7", "+7", "5.0",
          "1e3", "0x1f", "1_000", "1,000", "٣", "½", "7a", "7'"]),
        ("-?[0-9]{1,12}([.][0-9]{1,6})?",
         ["0", "-0", "5.0", "-12.345678", "9" * 12, "007.50"],
         ["", "-", ".", ".5", "5.", "1e3", " 7", "7\n", "5.0000000", "9" * 13, "--1", "1.2.3",
          "5,0", "NaN", "infinity", "+5"]),
        ("a|bc", ["a", "bc"], ["ab", "abc", "ac", "A", "b"]),
        (".*[^@ ]@[^@ ]+[.][^@ ].*",
         ["x@y.zz", "to\nx@y.zz now"],
         ["@y.zz", "x@y", "x @ y.zz", "x@.", "x@y."]),
    ],
)
# fmt: on
def test_matches(macros: Macros, pattern: str, fitting: list[str], others: list[str]) -> None:
    condition = macros.evaluate(f"{{{{ tojson(matches('text', '{pattern}')) }}}}")
    texts = listed([*fitting, *others, None], "text")
    found = macros.execute(f"select {condition} from ({texts}) as texts order by number")
    assert found == [(True,)] * len(fitting) + [(False,)] * len(others) + [(None,)]


def test_read_id_is_the_rule_of_the_loader(macros: Macros) -> None:
    texts = [text for text in (*IDS, *NO_IDS) if not text.strip("\"'").startswith(("+", "-"))]
    read = macros.evaluate("{{ tojson(read_id('text')) }}")
    found = macros.execute(
        f"select {read} from ({listed([*texts, None], 'text')}) as texts order by number"
    )
    expected = [
        str(IDS[text]) if IDS.get(text) is not None else text.strip(" ").lower() for text in texts
    ]
    assert [value for (value,) in found] == [*expected, None]


def test_in_byte_order(macros: Macros) -> None:
    texts: list[str | None] = ["b", "B", "é", "z", "_", "10", "9", " a", "-a", "aB", "ab", "", "😀"]
    order = macros.evaluate("{{ tojson(in_byte_order('text')) }}")
    found = macros.execute(f"select text from ({listed(texts, 'text')}) as texts order by {order}")
    assert [text for (text,) in found] == sorted(map(str, texts), key=str.encode)


@pytest.mark.parametrize(
    ("begin", "end", "expected"),
    [
        ("2024-05-15 10:00:00", "2024-05-15 10:01:30.5", "90.5"),
        ("2024-05-15 10:01:30.5", "2024-05-15 10:00:00", "-90.5"),
        ("2024-05-15 10:00:00.999999", "2024-05-15 10:00:01", "0.000001"),
        ("2024-02-28 23:59:59", "2024-03-01 00:00:00", "86401"),
        # No hour is lost where the clocks of some zone change.
        ("2024-03-31 00:00:00", "2024-04-01 00:00:00", "86400"),
        ("1970-01-01 00:00:00", "9000-12-31 23:59:59.999999", "221876927999.999999"),
        ("2024-05-15 10:00:00", None, None),
        (None, "2024-05-15 10:00:00", None),
    ],
)
def test_seconds_between(
    macros: Macros, begin: str | None, end: str | None, expected: str | None
) -> None:
    seconds = macros.evaluate("{{ tojson(seconds_between('began_at', 'ended_at')) }}")
    columns = [
        f"cast({'null' if moment is None else repr(moment)} as timestamp) as {name}"
        for moment, name in ((begin, "began_at"), (end, "ended_at"))
    ]
    [(found,)] = macros.execute(f"select {seconds} from (select {', '.join(columns)}) as moments")
    assert found == (None if expected is None else Decimal(expected))


def test_settings_of_the_server(macros: Macros) -> None:
    template = "{{ tojson([set_server(), set_server(nested_loops=false)]) }}"
    dbt_vars = {"lock_timeout": 7, "work_mem": 65}
    usual, without_loops = macros.evaluate(template, json.dumps(dbt_vars))
    shown = {
        "lock_timeout": "7s",
        "client_connection_check_interval": "1s",
        "idle_in_transaction_session_timeout": "0",
        "work_mem": "65MB",
        "jit": "off",
        "enable_nestloop": "on",
    }
    for settings, loops in ((usual, "on"), (without_loops, "off")):
        macros.execute(f"begin; {settings}")
        found = {name: macros.execute(f"show {name}")[0][0] for name in shown}
        macros.execute("rollback")
        assert found == {**shown, "enable_nestloop": loops}
    usual, _ = macros.evaluate(template, json.dumps({"work_mem": 0}))
    assert "work_mem" not in usual


CALLS = {
    "local_date": "'due_to', 'Europe/Berlin'",
    "day_start": "'2024-05-01', 'Europe/Berlin'",
    "date_series": "'2024-05-01', '2024-05-31', 'month'",
    "read_options": "'fields'",
    "matches": "'new_value', '-?[0-9]{1,12}([.][0-9]{1,6})?'",
    "in_byte_order": "'kpi_name'",
    "seconds_between": "'entered_at', 'exited_at'",
    "is_among": "'deal_id', 'select deal_id from deal_months'",
    "set_server": "64, false",
    "delete_months": "['2024-05-01']",
}
WITHOUT_QUERY = {"stored_types"}


def test_each_engine_has_a_short_version(macros: Macros) -> None:
    described = yaml.safe_load((FOLDER / "_macros.yml").read_text())["macros"]
    assert {macro["name"] for macro in described} == {file.stem for file in FOLDER.glob("*.sql")}
    assert all(macro["description"] for macro in described)
    assert set(CALLS) | WITHOUT_QUERY == DISPATCHED
    for name in sorted(DISPATCHED):
        text = (FOLDER / f"{name}.sql").read_text()
        for engine in ("postgres", "spark"):
            start = text.index(f"{{%- macro {engine}__{name}(")
            version = text[start : text.index("endmacro", start)]
            assert len(version.splitlines()) - 2 <= 10, (name, engine)


def test_the_versions_for_spark_are_its_sql(macros: Macros) -> None:
    calls = ", ".join(f"'{name}': spark__{name}({called})" for name, called in CALLS.items())
    rendered = macros.evaluate(f"{{{{ tojson({{{calls}}}) }}}}")
    linter = Linter(dialect="sparksql")
    for name, text in rendered.items():
        is_whole = not text or text.lstrip().startswith(("select", "alter"))
        query = text if is_whole else f"select {text} as {name} from events"
        assert linter.parse_string(query).violations == [], name
