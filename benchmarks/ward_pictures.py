"""Pictures of every view of a running monitor, for the documents.

Run as ``python -m benchmarks.ward_pictures URL [--out docs]`` beside ``make demo``, which says the
URL. The last picture is of a page that hears its server no more.
"""

import argparse
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

DESK, PHONE, WALL = (1280, 800), (390, 844), (1920, 1080)
LIVE_MS = 30_000


def main() -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", help="of a monitor that lets everybody in, as the demo's does")
    parser.add_argument("--out", type=Path, default=Path("docs"))
    asked = parser.parse_args()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        for name, size, theme, path in (
            ("ward", DESK, "light", "/"),
            ("ward-dark", WALL, "dark", "/"),
            ("ward-phone", PHONE, "light", "/"),
            ("alarms", DESK, "light", "/alarms"),
            ("system", DESK, "light", "/system"),
            ("patient", DESK, "light", None),
            ("stale", DESK, "light", "/"),
        ):
            with _page(browser, asked.url, size, theme) as page:
                if path is None:
                    path = page.locator("#tiles a").first.get_attribute("href")
                page.goto(asked.url + str(path))
                page.wait_for_selector("html[data-feed=live]", timeout=LIVE_MS)
                if name == "patient":
                    page.wait_for_load_state("load")
                    page.wait_for_timeout(1500)  # the pictures in it
                if name == "stale":
                    page.context.set_offline(True)
                    page.wait_for_selector("html[data-feed=stale]", timeout=LIVE_MS)
                file = asked.out / f"monitor-{name}.png"
                page.screenshot(path=file, full_page=name in ("patient", "system"))
                print(file)
        browser.close()


@contextmanager
def _page(browser: Browser, url: str, size: tuple[int, int], theme: str) -> Iterator[Page]:
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if theme == "dark" else "light",
    )
    page = context.new_page()
    page.goto(url)
    page.wait_for_selector("html[data-feed=live]", timeout=LIVE_MS)
    yield page
    context.close()


if __name__ == "__main__":
    main()
