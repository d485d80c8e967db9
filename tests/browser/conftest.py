"""A real browser, and what is read off its pages."""

import os
import shutil

import pytest
from playwright.sync_api import Error, sync_playwright


@pytest.fixture(scope="module")
def browser():
    """Yield Chromium: the system's, else Playwright's own."""
    with sync_playwright() as playwright:
        try:
            found = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox"]
            )
        except Error as error:
            if os.environ.get("REQUIRE_SERVICES") == "1":
                raise
            pytest.skip(f"no Chromium: {error}")
        yield found
        found.close()
