"""The results of tests as JUnit XML, which CI systems show."""

from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from xml.etree import ElementTree

from runner.console import harmless, write_file
from runner.errors import FunnelError
from runner.text.words import plural
from runner.transform.results import NodeResult


def prepare_junit(path: Path) -> None:
    """Make sure that the file can be written, and that no older one is taken for this run's.

    Raises:
        FunnelError: It cannot.
    """
    try:
        path.open("w").close()
        if path.is_file():
            path.unlink()
    except OSError as error:
        raise FunnelError(
            f"cannot write {path}: {error.strerror}", hint="Name a file in a folder that is there."
        ) from error


def write_junit(path: Path, results: Sequence[NodeResult], seconds: float) -> None:
    """Write one suite with a case for each test; a warning passes and says so in its output.

    Args:
        path: The file.
        results: What became of the tests.
        seconds: Time that all of them took.

    Raises:
        FunnelError: The file cannot be written.
    """
    statuses = [result.status for result in results]
    root = ElementTree.Element("testsuites")
    suite = ElementTree.SubElement(
        root,
        "testsuite",
        name="funnel test",
        tests=str(len(results)),
        failures=str(statuses.count("fail")),
        errors=str(statuses.count("error")),
        skipped=str(statuses.count("skipped")),
        time=f"{seconds:.3f}",
        timestamp=f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%S}",
    )
    for result in results:
        _add_case(suite, result)
    ElementTree.indent(root)
    write_file(path, ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))


def _add_case(suite: ElementTree.Element, result: NodeResult) -> None:
    case = ElementTree.SubElement(
        suite,
        "testcase",
        name=result.name,
        classname=result.model,
        time=f"{result.seconds:.3f}",
    )
    said = plural(result.failures, "row") if result.failures else result.message
    rows = [", ".join(f"{name}: {value}" for name, value in row.items()) for row in result.sample]
    stored = f"Rows: {result.stored_in}" if result.stored_in else ""
    details = harmless("\n".join(filter(None, (result.description, *rows, stored))))
    if result.status == "skipped":
        ElementTree.SubElement(case, "skipped", message="something it reads was not built")
    elif result.status in ("fail", "error"):
        tag, kind = {"fail": ("failure", "data"), "error": ("error", "query")}[result.status]
        problem = ElementTree.SubElement(case, tag, message=harmless(said), type=kind)
        problem.text = details
    elif result.status == "warn":
        ElementTree.SubElement(case, "system-out").text = f"Warning: {said}\n{details}"
