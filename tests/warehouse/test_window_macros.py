"""The macros of the window as a truth table, evaluated by the real dbt; then what they refuse."""

import json
import os
import re
import subprocess
import sys
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from dbt.cli.main import dbtRunner
from homes import ROOT

from macros import Macros
from runner.errors import FunnelError
from runner.settings.var_rules import find_rule, parse_var
from runner.transform.dbt_runner import dbt_arguments

BUILT = True
EMPTY = False

# dbt gives an inline query the relation inline_query, so is_incremental() asks whether that exists.
INCREMENTAL = "{{ config(materialized='incremental') }}"
WINDOW = (
    INCREMENTAL
    + """
{{ tojson({
    'ref_date': ref_date() | string,
    'is_incremental': is_incremental(),
    'last_day': last_day_to_process() | string,
    'months': window_months() | map('string') | list,
    'ranges': window_ranges() | map('map', 'string') | map('list') | list,
    'day_start': day_start(ref_date()),
}) }}
"""
)


@pytest.fixture
def empty(macros: Macros) -> Macros:
    """A warehouse in which nothing is built."""
    macros.execute("drop schema if exists funnel cascade")
    return macros


@pytest.fixture
def built(macros: Macros) -> Macros:
    """A warehouse in which the model that asks is built."""
    macros.execute("create schema if not exists funnel")
    macros.execute("create table if not exists funnel.inline_query (date date)")
    return macros


# fmt: off
@pytest.mark.parametrize(
    ("is_built", "dbt_vars", "ranges"),
    [
        # The days of one month, whatever the day of the month; ranges are half open.
        (BUILT, "{source_dt: 2024-05-15, backfill_period: 0}", ["2024-05-01 2024-05-16"]),
        (BUILT, "{source_dt: 2024-05-01, backfill_period: 0}", ["2024-05-01 2024-05-02"]),
        (BUILT, "{source_dt: 2024-05-31, backfill_period: 0}", ["2024-05-01 2024-06-01"]),
        (BUILT, "{source_dt: '2024-05-15', backfill_period: '0'}", ["2024-05-01 2024-05-16"]),
        # Every month that the look-back touches, counted in days.
        (BUILT, "{source_dt: 2024-05-01, backfill_period: 1}", ["2024-04-01 2024-05-02"]),
        (BUILT, "{source_dt: 2024-05-15}", ["2024-04-01 2024-05-16"]),
        (BUILT, "{source_dt: 2024-05-30}", ["2024-04-01 2024-05-31"]),
        (BUILT, "{source_dt: 2024-05-31}", ["2024-05-01 2024-06-01"]),
        (BUILT, "{source_dt: 2024-05-31, backfill_period: 31}", ["2024-04-01 2024-06-01"]),
        (BUILT, "{source_dt: 2024-04-30, backfill_period: 29}", ["2024-04-01 2024-05-01"]),
        (BUILT, "{source_dt: 2024-04-30, backfill_period: 30}", ["2024-03-01 2024-05-01"]),
        (BUILT, "{source_dt: 2024-05-15, backfill_period: 365}", ["2023-05-01 2024-05-16"]),
        (BUILT, "{source_dt: 2023-05-15, backfill_period: 365}", ["2022-05-01 2023-05-16"]),
        # Leap days: 30 days before 1 March is 31 January, without one 30 January.
        (BUILT, "{source_dt: 2024-02-29, backfill_period: 0}", ["2024-02-01 2024-03-01"]),
        (BUILT, "{source_dt: 2024-03-01, backfill_period: 29}", ["2024-02-01 2024-03-02"]),
        (BUILT, "{source_dt: 2024-03-01, backfill_period: 30}", ["2024-01-01 2024-03-02"]),
        (BUILT, "{source_dt: 2023-03-01, backfill_period: 28}", ["2023-02-01 2023-03-02"]),
        (BUILT, "{source_dt: 2023-03-01, backfill_period: 29}", ["2023-01-01 2023-03-02"]),
        (BUILT, "{source_dt: 2000-02-29, backfill_period: 0}", ["2000-02-01 2000-03-01"]),
        # The change of the year.
        (BUILT, "{source_dt: 2024-12-31, backfill_period: 0}", ["2024-12-01 2025-01-01"]),
        (BUILT, "{source_dt: 2025-01-01, backfill_period: 0}", ["2025-01-01 2025-01-02"]),
        (BUILT, "{source_dt: 2025-01-15}", ["2024-12-01 2025-01-16"]),
        (BUILT, "{source_dt: 2025-01-31, backfill_period: 396}", ["2024-01-01 2025-02-01"]),
        (BUILT, "{source_dt: 2025-01-31, backfill_period: 397}", ["2023-12-01 2025-02-01"]),
        # The limits.
        (BUILT, "{source_dt: 1970-01-01, backfill_period: 0}", ["1970-01-01 1970-01-02"]),
        (BUILT, "{source_dt: 9000-12-31, backfill_period: 0}", ["9000-12-01 9001-01-01"]),
        (BUILT, "{source_dt: 2024-05-15, backfill_period: 36600}", ["1924-03-01 2024-05-16"]),
        # A first build: so many months up to source_dt, whenever it runs; at least the look-back.
        (EMPTY, "{source_dt: 2024-05-15}", ["2022-06-01 2024-05-16"]),
        (EMPTY, "{source_dt: 2010-05-15}", ["2008-06-01 2010-05-16"]),
        (EMPTY, "{source_dt: 2024-05-15, months: 1}", ["2024-04-01 2024-05-16"]),
        (EMPTY, "{source_dt: 2024-05-31, months: 1}", ["2024-05-01 2024-06-01"]),
        (EMPTY, "{source_dt: 2024-05-31, months: 2}", ["2024-04-01 2024-06-01"]),
        (EMPTY, "{source_dt: 2024-02-29, months: 12}", ["2023-03-01 2024-03-01"]),
        (EMPTY, "{source_dt: 2024-12-31, months: 12}", ["2024-01-01 2025-01-01"]),
        (EMPTY, "{source_dt: 2025-01-01, months: 13}", ["2024-01-01 2025-01-02"]),
        (EMPTY, "{source_dt: 2024-05-15, months: 2, backfill_period: 75}",
         ["2024-03-01 2024-05-16"]),
        (EMPTY, "{source_dt: 2024-05-15, months: 1200}", ["1924-06-01 2024-05-16"]),
        (BUILT, "{source_dt: 2024-05-15, months: 1200}", ["2024-04-01 2024-05-16"]),
        # More months: apart, beside the window, within it, twice, in any order, in a first build.
        (BUILT, "{source_dt: 2024-05-15, reprocess_months: ['2024-01']}",
         ["2024-01-01 2024-02-01", "2024-04-01 2024-05-16"]),
        (BUILT, "{source_dt: 2024-05-15, reprocess_months: [2024-03]}", ["2024-03-01 2024-05-16"]),
        (BUILT, "{source_dt: 2024-05-15, reprocess_months: ['2024-05', '2024-04']}",
         ["2024-04-01 2024-05-16"]),
        (BUILT, "{source_dt: 2024-05-15, reprocess_months: ['2024-02', '2023-12', '2024-02']}",
         ["2023-12-01 2024-01-01", "2024-02-01 2024-03-01", "2024-04-01 2024-05-16"]),
        (BUILT, "{source_dt: 2024-05-15, reprocess_months: ['2024-01', '2023-12']}",
         ["2023-12-01 2024-02-01", "2024-04-01 2024-05-16"]),
        (EMPTY, "{source_dt: 2024-05-31, months: 1, reprocess_months: ['2024-03']}",
         ["2024-03-01 2024-04-01", "2024-05-01 2024-06-01"]),
        # An old reference date whose month is built further.
        (BUILT, "{source_dt: 2024-05-15, process_through: 2024-05-31}", ["2024-04-01 2024-06-01"]),
        (BUILT, "{source_dt: 2024-05-15, process_through: 2024-05-15}", ["2024-04-01 2024-05-16"]),
        (BUILT, "{source_dt: 2024-02-01, process_through: '2024-02-29'}",
         ["2024-01-01 2024-03-01"]),
        (BUILT, "{source_dt: 2024-05-15, backfill_period: 0, process_through: 2024-05-20,"
                " reprocess_months: ['2024-04', '2024-01']}",
         ["2024-01-01 2024-02-01", "2024-04-01 2024-05-21"]),
        # The time zone moves no day of the window.
        (BUILT, "{source_dt: 2024-03-31, timezone: Europe/Berlin}", ["2024-03-01 2024-04-01"]),
    ],
)
# fmt: on
def test_the_window(
    macros: Macros,
    request: pytest.FixtureRequest,
    is_built: bool,
    dbt_vars: str,
    ranges: list[str],
) -> None:
    request.getfixturevalue("built" if is_built else "empty")
    window = macros.evaluate(WINDOW, dbt_vars)
    assert window["is_incremental"] is is_built
    assert [" ".join(limits) for limits in window["ranges"]] == ranges

    days = [
        first + timedelta(number)
        for first, until in (map(date.fromisoformat, limits.split()) for limits in ranges)
        for number in range((until - first).days)
    ]
    assert window["last_day"] == days[-1].isoformat()
    assert window["ref_date"] in dbt_vars
    assert window["months"] == sorted({f"{day:%Y-%m}-01" for day in days})


@pytest.mark.parametrize("dbt_vars", [{}, {"source_dt": None}])
@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago"])
def test_the_reference_date_is_the_day_of_the_run_by_default(
    built: Macros, zone: str, dbt_vars: dict[str, None]
) -> None:
    before = datetime.now(ZoneInfo(zone)).date()
    found = built.evaluate(WINDOW, json.dumps({**dbt_vars, "timezone": zone}))
    after = datetime.now(ZoneInfo(zone)).date()
    assert before.isoformat() <= found["ref_date"] <= after.isoformat()
    assert found["last_day"] == found["ref_date"]


def test_the_condition_leaves_the_raw_timestamp_bare(built: Macros) -> None:
    template = INCREMENTAL + "{{ tojson(in_window('due_to').split() | join(' ')) }}"
    window = {"source_dt": "2024-05-15", "reprocess_months": ["2024-01"]}
    assert built.evaluate(template, json.dumps(window)) == (
        "( ("
        " due_to >= cast('2024-01-01' as timestamp)"
        " and due_to < cast('2024-02-01' as timestamp)"
        " ) or ("
        " due_to >= cast('2024-04-01' as timestamp)"
        " and due_to < cast('2024-05-16' as timestamp)"
        " ) )"
    )


def test_each_day_of_the_window_is_counted_once(built: Macros) -> None:
    window = {"source_dt": "2024-05-02", "backfill_period": 1, "reprocess_months": ["2024-02"]}
    template = INCREMENTAL + "{{ tojson(count_deals(['kpi_name'])) }}"
    query = built.evaluate(template, json.dumps(window))
    found = built.execute(
        "with kpis as (select 1 as kpi_number, 'Negotiation' as kpi_name),"
        " events as (select date '2024-05-01' as date, 1 as kpi_number, 7 as deal_id)"
        f" select * from ({query}) as counts"
    )
    days = [date(2024, 2, number) for number in range(1, 30)]
    days += [date(2024, 5, 1), date(2024, 5, 2)]
    counts = [int(day == date(2024, 5, 1)) for day in days]
    assert sorted(found) == [
        (day, "Negotiation", count, count) for day, count in zip(days, counts, strict=True)
    ]


NOT_A_DATE = 'must be a date (YYYY-MM-DD) from 1970-01-01 to 9000-12-31: "{}"'
NOT_MONTHS = """must be a list of months ('YYYY-MM') from 1970-01 to 9000-12: "{}\""""
NOT_A_ZONE = 'must be a name of the tz database, such as Europe/Berlin: "{}"'
NOT_IN_THE_MONTH = (
    "var process_through must be in the month of source_dt, on or after it: "
    "source_dt is 2024-05-15, process_through is {}"
)


# fmt: off
@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("source_dt", "2024-13-45", NOT_A_DATE),
        ("source_dt", "2024-02-30", NOT_A_DATE),
        ("source_dt", "2023-02-29", NOT_A_DATE),
        ("source_dt", "2024-04-31", NOT_A_DATE),
        ("source_dt", "2024-01-00", NOT_A_DATE),
        ("source_dt", "0000-00-00", NOT_A_DATE),
        ("source_dt", "1969-12-31", NOT_A_DATE),
        ("source_dt", "9001-01-01", NOT_A_DATE),
        ("source_dt", "", NOT_A_DATE),
        ("source_dt", "today", NOT_A_DATE),
        ("source_dt", 20240101, NOT_A_DATE),
        ("source_dt", True, NOT_A_DATE),
        ("source_dt", "2024-1-1", NOT_A_DATE),
        ("source_dt", "01.02.2024", NOT_A_DATE),
        ("source_dt", "2024-01-01 00:00:00", NOT_A_DATE),
        ("source_dt", "2024-01-01T00:00:00", NOT_A_DATE),
        ("source_dt", " 2024-01-01", NOT_A_DATE),
        ("process_through", "2024-02-30", NOT_A_DATE),
        ("process_through", "x", NOT_A_DATE),
        ("process_through", "", NOT_A_DATE),
        ("process_through", "2024-05-14", NOT_IN_THE_MONTH),
        ("process_through", "2024-04-30", NOT_IN_THE_MONTH),
        ("process_through", "2024-06-01", NOT_IN_THE_MONTH),
        ("process_through", "2025-05-20", NOT_IN_THE_MONTH),
        ("months", 0, 'must be an integer from 1 to 1200: "{}"'),
        ("months", -1, 'must be an integer from 1 to 1200: "{}"'),
        ("months", "x", 'must be an integer from 1 to 1200: "{}"'),
        ("months", "", 'must be an integer from 1 to 1200: "{}"'),
        ("months", 1.5, 'must be an integer from 1 to 1200: "{}"'),
        ("months", 1201, 'must be an integer from 1 to 1200: "{}"'),
        ("months", None, 'must be an integer from 1 to 1200: "{}"'),
        ("backfill_period", -3, 'must be an integer from 0 to 36600: "{}"'),
        ("backfill_period", "1e3", 'must be an integer from 0 to 36600: "{}"'),
        ("backfill_period", 36601, 'must be an integer from 0 to 36600: "{}"'),
        ("backfill_period", "30 days", 'must be an integer from 0 to 36600: "{}"'),
        ("reprocess_months", ["2024-13"], NOT_MONTHS),
        ("reprocess_months", ["2024-04", "x"], NOT_MONTHS),
        ("reprocess_months", ["2024-00"], NOT_MONTHS),
        ("reprocess_months", ["2024-1"], NOT_MONTHS),
        ("reprocess_months", ["2024-01-01"], NOT_MONTHS),
        ("reprocess_months", [202401], NOT_MONTHS),
        ("reprocess_months", "x", NOT_MONTHS),
        ("reprocess_months", ["0000-01"], NOT_MONTHS),
        ("reprocess_months", 202401, NOT_MONTHS),
        ("reprocess_months", None, NOT_MONTHS),
        ("reprocess_months", ["2024-06"],
         "var reprocess_months must not have a month after source_dt: "
         "source_dt is 2024-05-15, the month is {}"),
        ("timezone", "Mars/Olympus", NOT_A_ZONE),
        ("timezone", "europe/berlin", NOT_A_ZONE),
        ("timezone", "", NOT_A_ZONE),
        ("timezone", None, NOT_A_ZONE),
    ],
)
# fmt: on
def test_refuses_a_bad_value_with_one_sentence(
    empty: Macros,
    name: str,
    value: Any,  # noqa: ANN401 - whatever YAML can say
    sentence: str,
) -> None:
    said = empty.refusal(WINDOW, json.dumps({"source_dt": "2024-05-15", name: value}))
    wrong = value[-1] if isinstance(value, list) else value
    expected = sentence if sentence.startswith("var ") else f"var {name} {sentence}"
    assert said == expected.format(wrong)


INJECTIONS = [
    ("source_dt", "2024-01-01'; drop table x--"),
    ("process_through", "2024-05-20'; drop table x--"),
    ("months", "1; drop table x--"),
    ("backfill_period", "1; drop table x--"),
    ("reprocess_months", ["2024-01'; drop table x--"]),
    ("timezone", "UTC'; drop table x--"),
]


@pytest.mark.parametrize(("name", "value"), INJECTIONS)
def test_lets_no_text_into_the_sql(empty: Macros, name: str, value: str | list[str]) -> None:
    said = empty.refusal(WINDOW, json.dumps({"source_dt": "2024-05-15", name: value}))
    assert said.startswith(f"var {name} ")
    assert "drop table x--" in said


@pytest.mark.parametrize(
    ("dbt_vars", "message"),
    [
        ("{full_check: 1}", "var full_check must be true or false"),
        ("{min_step_ratio: 1.5}", "var min_step_ratio must be a number from 0 to 1"),
        ("{anomaly_threshold: '1 or true'}", "var anomaly_threshold must be a number"),
        ("{quiet_days: 0}", "var quiet_days must be an integer"),
        ("{step_pairs: [['4']]}", "var step_pairs must be a list of pairs"),
        ("{step_pairs: ['45']}", "var step_pairs must be a list of pairs"),
        ("{step_pairs: [['4', \"5') --\"]]}", "var step_pairs must be a list of pairs"),
    ],
)
def test_a_threshold_that_is_none_is_refused(empty: Macros, dbt_vars: str, message: str) -> None:
    assert empty.refusal("{{ check_vars() }}", dbt_vars).startswith(message)


# Each of them for every var. Only owners and texts may hold such a text, which is quoted in SQL.
HOSTILE = [
    *("x'; drop table x--", "UTC'", '"', "1 or true", "1;", "7\\", "7'--"),
    *("a\nb", "1\n", "7 \n", "", "1e3", "٣"),
    *(None, True, -1, 1.5, 10**7, {"a": 1}, [], ["4", "5') --"], [["4", "5') --"]]),
]
PARSED = """
{%- set found = {} -%}
{%- for name, rule in var_rules()['vars'].items() -%}
    {%- set rule = dict(var_rules()['types'][rule['type']], **rule) -%}
    {%- set parsed = [] -%}
    {%- for value in var('values') -%}
        {%- set fits = parse_value(rule, value) is not none -%}
        {%- do parsed.append(parse_value(rule, value) | string if fits else 'refused') -%}
    {%- endfor -%}
    {%- do found.update({name: parsed}) -%}
{%- endfor -%}
{{ tojson(found) }}
"""


def test_no_rule_lets_hostile_text_into_the_sql(empty: Macros) -> None:
    found = empty.evaluate(PARSED, json.dumps({"values": HOSTILE}))
    open_types = {"owners", "texts"}
    for name, parsed in found.items():
        if find_rule(name).type not in open_types:
            plain = re.compile(r"[A-Za-z0-9._ -]{1,40}")
            assert [text for text in parsed if not plain.fullmatch(text)] == [], name


def test_the_runner_reads_single_values_as_the_macros_do(empty: Macros) -> None:
    values = ["0", 1, 12, "36600", 36601, "1200", 1201, 100000, 86401, "7", "0.5", "a_b", *HOSTILE]
    found = empty.evaluate(PARSED, json.dumps({"values": values}))
    for name, parsed in found.items():
        rule = find_rule(name)
        if rule.type in ("identifier", "integer", "number", "step"):
            # dbt keeps a number as it is written, for the SQL.
            is_number = rule.type == "number"
            expected = [
                str(float(text)) if is_number and text != "refused" else text for text in parsed
            ]
            assert [try_parse(name, value) for value in values] == expected, name


def try_parse(name: str, value: object) -> str:
    try:
        return str(parse_var(name, value))
    except FunnelError:
        return "refused"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("source_dt", "2024-01-01'; drop table x--"),
        ("reprocess_months", ["2024-06"]),
        ("timezone", "Mars/Olympus"),
    ],
)
def test_a_build_with_a_bad_value_touches_nothing(
    empty: Macros, name: str, value: str | list[str]
) -> None:
    dbt_vars = {"source_dt": "2024-05-15", name: value}
    outcome = dbtRunner().invoke(dbt_arguments(empty.dbt.project, ["build"], dbt_vars))
    assert str(outcome.exception).startswith("Compilation Error in ")
    assert outcome.result is None
    assert empty.schemas() == {"public"}


@pytest.mark.long
@pytest.mark.parametrize(
    ("dbt_vars", "sentence"),
    [
        (
            '{source_dt: "2024-01-01\'; drop table x--"}',
            "var source_dt must be a date (YYYY-MM-DD) from 1970-01-01 to 9000-12-31: "
            '"2024-01-01\\u0027; drop table x--"',
        ),
        (
            "{source_dt: 2024-05-15, backfill_period: -3}",
            'var backfill_period must be an integer from 0 to 36600: "-3"',
        ),
        # YAML itself knows dates and refuses this one.
        ("{source_dt: 2024-13-45}", "ValueError: month must be in 1..12"),
    ],
)
def test_plain_dbt_with_a_bad_value_touches_nothing(
    empty: Macros, tmp_path: Path, dbt_vars: str, sentence: str
) -> None:
    command = [str(Path(sys.executable).parent / "dbt"), "build", "--vars", dbt_vars]
    folders = ["--target-path", str(tmp_path), "--log-path", str(tmp_path)]
    outcome = subprocess.run(
        [*command, *folders, "--no-use-colors"],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "FUNNEL_TARGET": "local"},
    )
    assert outcome.returncode != 0
    assert sentence in [line.strip() for line in (outcome.stdout + outcome.stderr).splitlines()]
    assert empty.schemas() == {"public"}
