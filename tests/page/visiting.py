"""A visitor in a real browser: what tests do on the page and what they may not see."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Locator, Page, expect

WAIT_MS = 200_000  # a guard against hanging: a busy machine may take its time
MAIN = '[data-testid="stMain"]'
NO_TRACEBACK = re.compile(r"Traceback|File \"|[a-zA-Z]+Error\b")
VIEWS = {
    "Answer": "",
    "Where the time goes": "time",
    "Layers": "layers",
    "Compare": "compare",
    "Trade-off": "trade-off",
    "What if": "what-if",
    "Sources": "sources",
    "Measured": "measured",
    "Devices": "hardware",
    "Export": "export",
}
"""By title: the path."""

TRIES = 20
TRY_MS = 3000  # then what was pressed is pressed again
ROW_PX = 35  # of a table on a canvas, the head as well
expect.set_options(timeout=WAIT_MS)


ONE_PASS, LANGUAGE = "per input", "tokens per second"
"""What the header's figures are of."""


class Visit:
    """One visitor's page, and what the browser saw that should not be."""

    def __init__(self, page: Page, address: str, path: str = "", says: str = ONE_PASS) -> None:
        self.page, self.address, self.says = page, address, says
        self.trouble: list[str] = []
        self.clicks = 0
        page.set_default_timeout(WAIT_MS)
        page.on("dialog", self._dialog)
        page.on("pageerror", lambda error: self.trouble.append(f"script error: {error}"))
        page.on("console", self._console)
        page.on("request", self._request)
        page.goto(address + path)
        expect(self.figures).to_contain_text(self.says)
        self.settle()

    def _dialog(self, dialog) -> None:
        self.trouble.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _console(self, message) -> None:
        # Streamlit looks for its server below a view's own path first.
        if message.type == "error" and "/_stcore/" not in message.location.get("url", ""):
            self.trouble.append(f"console: {message.text}")

    def _request(self, request) -> None:
        url = urlsplit(request.url)
        local = url.scheme in ("data", "blob") or url.netloc == urlsplit(self.address).netloc
        if not local:
            self.trouble.append(f"request: {request.url}")

    def shown(self, what: str) -> Locator:
        """What stands on the page now; while it runs anew, what it showed before is still there."""
        return self.page.locator(f'{MAIN} [data-stale="false"] {what}')

    @property
    def figures(self) -> Locator:
        """The header's three figures, of the plan that was asked for."""
        return self.shown("dl.figures:not(.old)")

    @property
    def latency(self) -> Locator:
        return self.figures.locator("div:not(.what) dd").first

    @property
    def title(self) -> Locator:
        return self.page.get_by_role("heading", level=1)

    @property
    def model(self) -> Locator:
        return self.page.get_by_role("combobox", name="Model", exact=True)

    @property
    def devices(self) -> Locator:
        return self.page.locator(".st-key-devices_chip")

    def see_details(self) -> Locator:
        """Open what is behind the header's line."""
        self.press("button", "Details")
        return self.page.get_by_role("dialog", name="Details")

    @property
    def error(self) -> Locator:
        return self.shown('[data-testid="stAlertContentError"]')

    def settle(self) -> None:
        self.page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]')

    def go(self, view: str) -> None:
        """Open a view by its link."""
        self.clicks += 1
        link = self.page.get_by_test_id("stTopNavLinkContainer").get_by_text(view, exact=True)
        link.click()
        self.page.wait_for_url(lambda url: urlsplit(url).path == f"/{VIEWS[view]}")
        expect(self.title).to_have_text(view)
        expect(self.figures).to_contain_text(self.says)
        self.settle()

    def press(self, role: str, name: str) -> None:
        self.clicks += 1
        self.page.get_by_role(role, name=name, exact=True).click()

    def type_into(self, name: str, value: str) -> None:
        self.clicks += 1
        field = self.page.get_by_role("spinbutton", name=name, exact=True)
        field.fill(value)
        field.press("Enter")

    def grid(self, head: str) -> Grid:
        """The table with such a column."""
        tables = self.shown('[data-testid="stDataFrame"]')
        return Grid(self.page, tables.filter(has=self.page.locator("th", has_text=head)))

    def upload(self, name: str, content: bytes, label: str = "Model file") -> None:
        self.clicks += 1
        files = {"name": name, "mimeType": "application/octet-stream", "buffer": content}
        uploader = self.page.get_by_test_id("stFileUploader").filter(has_text=label)
        uploader.locator("input[type=file]").set_input_files([files])

    def drop(self, name: str, content: bytes) -> None:
        """Drop a file in the middle of the page."""
        self.clicks += 1
        given = self.page.evaluate_handle(
            """([name, bytes]) => {
                const brought = new DataTransfer();
                brought.items.add(new File([new Uint8Array(bytes)], name));
                return brought;
            }""",
            [name, list(content)],
        )
        for event in ("dragover", "drop"):
            self.page.dispatch_event(MAIN, event, {"dataTransfer": given})

    def download(self, name: str) -> bytes:
        with self.page.expect_download() as found:
            self.press("button", name)
        assert found.value.suggested_filename == name
        return Path(found.value.path()).read_bytes()

    def sideways(self) -> int:
        """Pixels by which the page is wider than the window."""
        return int(
            self.page.evaluate(
                f"""() => Math.max(...[document.documentElement, document.querySelector('{MAIN}')]
                    .map(element => element.scrollWidth - element.clientWidth))"""
            )
        )


class Grid:
    """A table that is drawn on a canvas, read by what it tells a screen reader."""

    def __init__(self, page: Page, place: Locator) -> None:
        self.page, self.place = page, place
        self.editor = page.locator("#portal .gdg-style")

    @property
    def rows(self) -> Locator:
        return self.place.locator("tbody tr")

    def cell(self, row: int, head: str) -> Locator:
        """A cell, counted from 0, in the column of such a head."""
        return self.place.locator(f"#glide-cell-{self._column(head)}-{row}")

    def add_row(self) -> None:
        """Click below the last row, and leave the new one as it is."""
        before = self.rows.count()
        self._until(lambda: self._click(before), self.rows, before + 1)
        self._until(self._leave, self.editor, 0)

    def type_into(self, row: int, head: str, text: str) -> None:
        chosen = self.cell(row, head).and_(self.page.locator('[aria-selected="true"]'))

        def choose() -> None:
            self._leave()  # a click on a chosen cell would open it
            self._click(row)
            for _ in range(self._column(head) - 1):
                self.page.keyboard.press("ArrowRight")

        self._until(choose, chosen, 1)
        self.page.keyboard.press("Enter")
        field = self.editor.locator("textarea")
        field.fill(text)
        field.press("Enter")
        expect(self.editor).to_have_count(0)

    def _column(self, head: str) -> int:
        column = self.place.locator("th", has_text=head).get_attribute("aria-colindex")
        assert column is not None
        return int(column)

    def _leave(self) -> None:
        """Close what a cell unfolds and the cell, and choose none."""
        for _ in range(3):
            self.page.keyboard.press("Escape")

    def _click(self, row: int) -> None:
        """On the first column."""
        y_px = ROW_PX * (row + 1.5)
        self.place.locator(".dvn-scroller").click(position={"x": 2 * ROW_PX, "y": y_px})

    def _until(self, act: Callable[[], None], what: Locator, count: int) -> None:
        """Act again where a canvas that was just being drawn did not take it."""
        for _ in range(TRIES):
            act()
            try:
                expect(what).to_have_count(count, timeout=TRY_MS)
                return
            except AssertionError:
                continue
        raise AssertionError(f"{what} did not become {count}")
