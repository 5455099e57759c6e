"""A real browser, headless, that opens one page and writes down what goes wrong in it."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@dataclass
class Opened:
    """A page, what its console complained about, and what it asked for beside itself."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def value(self, script: str) -> Any:  # noqa: ANN401 - what a script gives
        return self.page.evaluate(script)

    def table(self, selector: str) -> list[list[str]]:
        """The rows of a table, head first, without the marks that keep writing directions apart."""
        rows: list[list[str]] = self.page.eval_on_selector(
            selector,
            "table => [...table.rows].map(row => [...row.cells].map(cell => cell.textContent))",
        )
        return [[cell.replace("\u2068", "").replace("\u2069", "") for cell in row] for row in rows]

    def numbers(self, section: str, *columns: int) -> list[tuple[float, ...]]:
        """Columns of the table behind a section's charts."""
        rows = self.table(f"#{section} details table")[1:]
        return [tuple(float(row[at].replace(",", "")) for at in columns) for row in rows]

    def open_details(self) -> None:
        self.value("document.querySelectorAll('details').forEach(part => { part.open = true })")

    def choose(self, theme: str) -> None:
        """Have the device prefer a theme, and wait until the page has drawn itself anew."""
        self.page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
        self._wait_for_frames()

    def resize(self, width: int) -> None:
        """Change the width, and wait until the page has drawn itself anew."""
        self.page.set_viewport_size({"width": width, "height": 900})
        self._wait_for_frames()

    def _wait_for_frames(self) -> None:
        self.value("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def count(self, selector: str) -> int:
        return self.page.locator(selector).count()


@contextmanager
def start_browser() -> Iterator[Browser]:
    """Start the browser of this machine; without one, skip the test, or fail where CI runs it."""
    path = next(filter(None, map(shutil.which, _NAMES)), None)
    if path is None:
        reason = "there is no chromium; Debian's package has it: apt-get install chromium"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def open_page(
    browser: Browser, path: Path, *, width: int = 1280, theme: Literal["light", "dark"] = "light"
) -> Iterator[Opened]:
    """Open a file. Nothing but the file itself is answered."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)
    opened = Opened(context.new_page())
    url = path.resolve().as_uri()
    opened.page.on("console", lambda message: opened.complaints.append(message.text))
    opened.page.on("pageerror", lambda error: opened.complaints.append(str(error)))
    opened.page.on("request", lambda request: _note(opened, request.url, url))
    try:
        opened.page.goto(url)
        yield opened
    finally:
        context.close()


def _note(opened: Opened, asked: str, own: str) -> None:
    if asked != own and not asked.startswith("data:"):
        opened.requests.append(asked)
