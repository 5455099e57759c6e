"""JUnit XML: what CI systems are handed."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from homes import Funnel

from runner.transform.junit import write_junit
from runner.transform.results import NodeResult

RESULTS = [
    NodeResult("not_null_a", "test", "pass", 0.25, 0, model="a"),
    NodeResult(
        "assert_b",
        "test",
        "fail",
        1.5,
        2,
        description="A row here means <trouble> & ]]> more.",
        model="a, b",
        stored_in="pipedrive_audit.assert_b",
        sample=({"kpi_name": "bell\a null\0 \ud800 é \U0001f600"}, {"kpi_name": None}),
    ),
    NodeResult("assert_c", "test", "error", message="no such \x1b column", model="c"),
    NodeResult("assert_d", "test", "warn", 0.1, 1, description="Look.", model="d"),
    NodeResult("assert_e", "test", "skipped", model="e"),
]


def check_schema(file: Path) -> list[ElementTree.Element]:
    """Check the rules of the schema that Jenkins publishes, junit-10.xsd; return the cases."""
    root = ElementTree.parse(file).getroot()  # noqa: S314 - our own
    assert root.tag == "testsuites"
    [suite] = root
    assert suite.tag == "testsuite"
    cases = list(suite)
    assert {case.tag for case in cases} == {"testcase"}
    counted = {"tests": len(cases)}
    for label, tag in {"failures": "failure", "errors": "error", "skipped": "skipped"}.items():
        counted[label] = len(suite.findall(f"testcase/{tag}"))
    assert {label: int(suite.attrib[label]) for label in counted} == counted
    assert suite.attrib["name"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", suite.attrib["timestamp"])
    assert set(suite.attrib) == {*counted, "name", "time", "timestamp"}
    float(suite.attrib["time"])
    for case in cases:
        assert set(case.attrib) == {"name", "classname", "time"}
        assert all(case.attrib.values())
        float(case.attrib["time"])
        for part in case:
            assert part.tag in {"skipped", "error", "failure", "system-out"}
            allowed = {"skipped": {"message"}, "system-out": set()}
            assert set(part.attrib) == allowed.get(part.tag, {"message", "type"})
        assert len(case) <= 1
    return cases


def test_every_status_has_its_element(tmp_path: Path) -> None:
    file = tmp_path / "results.xml"
    write_junit(file, RESULTS, 2.0)
    passed, failed, erred, warned, skipped = check_schema(file)
    assert list(passed) == []
    assert (passed.attrib["classname"], passed.attrib["time"]) == ("a", "0.250")
    [failure] = failed
    assert (failure.tag, failure.attrib["message"]) == ("failure", "2 rows")
    assert failure.text is not None
    assert failure.text.splitlines() == [
        "A row here means <trouble> & ]]> more.",
        "kpi_name: bell\ufffd null\ufffd \ufffd é \U0001f600",
        "kpi_name: None",
        "Rows: pipedrive_audit.assert_b",
    ]
    assert (erred[0].tag, erred[0].attrib["message"]) == ("error", "no such \ufffd column")
    assert (warned[0].tag, warned[0].text) == ("system-out", "Warning: 1 row\nLook.")
    assert skipped[0].tag == "skipped"


@pytest.mark.parametrize("status", ["fail", "pass"])
def test_the_command_writes_all_its_tests(demo: Funnel, tmp_path: Path, status: str) -> None:
    file = tmp_path / "results.xml"
    file.write_text("an older one")
    change = "update pipedrive_reporting.monthly_stats set deals_count = deals_count {} 1000"
    if status == "fail":
        demo.query(change.format("+"))
    try:
        select = ("--select", "monthly_stats")
        outcome = demo("test", "--source-dt", "2024-12-31", *select, "--json", "--junit", str(file))
    finally:
        if status == "fail":
            demo.query(change.format("-"))
    tests = json.loads(outcome.stdout)["tests"]
    cases = check_schema(file)
    assert outcome.returncode == (1 if status == "fail" else 0)
    assert [(case.attrib["name"], case.attrib["classname"]) for case in cases] == [
        (test["name"], test["model"]) for test in tests
    ]
    assert {test["status"] for test in tests} >= {status}
    failures = [case.attrib["name"] for case in cases if case.find("failure") is not None]
    assert failures == [test["name"] for test in tests if test["status"] == "fail"]


@pytest.mark.parametrize("place", ["nowhere/results.xml", "a_file/results.xml", "."])
def test_a_file_that_cannot_be_written_stops_before_the_tests(
    demo: Funnel, tmp_path: Path, place: str
) -> None:
    (tmp_path / "a_file").touch()
    # Were anything tested, it would be refused as well, but later and otherwise.
    outcome = demo("test", "--select", "no_such_model", "--junit", str(tmp_path / place))
    assert outcome.returncode == 2
    assert len(outcome.stderr.splitlines()) == 1
    assert str(tmp_path) in outcome.stderr
    assert "no_such_model" not in outcome.stderr


def test_an_older_file_is_not_taken_for_this_one(demo: Funnel, tmp_path: Path) -> None:
    file = tmp_path / "results.xml"
    file.write_text("an older one")
    outcome = demo("test", "--select", "no_such_model", "--junit", str(file))
    assert outcome.returncode == 2
    assert not file.exists()
