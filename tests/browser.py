"""A person at Prefect's dashboard: headless Chromium, which comes from the system, on the server's own pages."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Locator, Page, sync_playwright

PATIENCE_MS = 60_000
"""For a page on a machine that has other work."""


class Dashboard:
    """The dashboard of one server in one window.

    Args:
        page: The window.
        url: Of the server, without `/api`.
        folder: Where screenshots go.
    """

    def __init__(self, page: Page, url: str, folder: Path) -> None:
        self._page, self._url, self._folder = page, url, folder
        self.foreign: list[str] = []
        """What the pages asked of other hosts."""
        page.set_default_timeout(PATIENCE_MS)
        page.on("request", lambda asked: self._note(asked.url))

    def sign_in(self, user_and_password: str) -> None:
        """Come in to a server that asks for it."""
        self._page.goto(self._url + "/login")
        field = self._page.locator("input[type=password]")
        field.fill(user_and_password)
        field.press("Enter")
        self._page.wait_for_url(lambda url: "/login" not in url)

    def open(self, path: str, shows: str) -> None:
        """Go to a page, such as `/runs`, and wait until it shows a text."""
        self._page.goto(self._url + path)
        self.wait_for(shows)

    def wait_for(self, text: str) -> None:
        """Wait until the page shows a text."""
        self._page.get_by_text(text).first.wait_for()

    def text(self) -> str:
        """What the page shows."""
        return self._page.locator("body").inner_text()

    def click(self, text: str) -> None:
        """Press what is called so."""
        self._page.get_by_text(text, exact=True).first.click()

    def press(self, button: str) -> None:
        """Press a button."""
        self._page.get_by_role("button", name=button, exact=True).last.click()

    def follow(self, url: str) -> None:
        """Open in this window what the first link leads to that begins so, on another server."""
        address = self._page.locator(f"a[href^='{url}']").first.get_attribute("href")
        assert address is not None
        self._page.goto(address)

    def screenshot(self, name: str, *, height: int = 1000) -> None:
        """Keep a picture of the page as it is now; `height` in pixels."""
        self._page.set_viewport_size({"width": 1400, "height": height})
        self._page.wait_for_timeout(500)  # what is drawn anew at another height
        self._page.screenshot(path=self._folder / f"{name}.png")

    def fill(self, name: str, value: str, *, section: str | None = None) -> None:
        """Write into a text or number field of a form; of a union's kinds the first is taken."""
        field = self._field(name, section)
        kinds = field.locator(".p-button-group button")
        if kinds.count():
            kinds.first.click()
        field.locator("textarea, input").first.fill(value)

    def choose(self, name: str, value: str, *, section: str | None = None) -> None:
        """Take one of the choices of a field."""
        # By the keyboard: the list that a click opens closes again where the page scrolls for it.
        self._field(name, section).locator(".p-select-button__control").press("ArrowDown")
        self._page.locator(".p-select-option__text").get_by_text(value, exact=True).click()

    def _note(self, url: str) -> None:
        if not url.startswith((self._url, "data:", "blob:")):
            self.foreign.append(url)

    def _field(self, name: str, section: str | None) -> Locator:
        within: Page | Locator = self._page if section is None else self._field(section, None)
        found = within.locator(
            f"xpath=.//span[@class='schema-form-property__label'][normalize-space()='{name}'"
            f" or normalize-space()='{name} (Optional)']"
            "/ancestor::div[contains(concat(' ', @class, ' '), ' schema-form-property ')][1]"
        )
        return found.first


@contextmanager
def opened(url: str, folder: Path) -> Iterator[Dashboard]:
    """A window on the dashboard of a server, for the time of the block."""
    program = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    assert program, "Chromium is not there: install it, such as by `apt-get install chromium`, or name it in CHROMIUM"
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-dev-shm-usage"])
        try:
            yield Dashboard(browser.new_page(viewport={"width": 1400, "height": 1000}), url, folder)
        finally:
            browser.close()
