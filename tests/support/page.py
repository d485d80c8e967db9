"""What a page of the monitor shows, read off a browser."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

VIOLET_BGR = (182, 33, 91)
"""Of `--stale` in monitor.css, by day."""

SEEN = """() => new MutationObserver(() => { window.changed ??= Date.now(); })
  .observe(document.documentElement, { attributeFilter: ["data-feed"] })"""
"""Notes when the page first changes its mind on whether it is to be believed: `changed`."""


def is_live(page: Any) -> None:
    """Wait until the page shows values."""
    page.wait_for_selector("html[data-feed=live]", timeout=15_000)


def is_stale(page: Any) -> None:
    """Wait until the page says STALE."""
    page.wait_for_selector("html[data-feed=stale]", timeout=15_000)


def pixels(place: Any) -> NDArray[np.uint8]:
    """Return a page, or a place on it, as (H, W, 3) BGR."""
    found = cv2.imdecode(np.frombuffer(place.screenshot(), np.uint8), cv2.IMREAD_COLOR)
    return np.asarray(found, np.uint8)


def violet(page: Any) -> float:
    """Return how much of the page is in the colour of STALE."""
    return float((np.abs(pixels(page).astype(int) - VIOLET_BGR).max(axis=2) < 12).mean())


def numbers_seen(page: Any) -> int:
    """Return how many numbers are visible."""
    return int(page.locator("data:visible").count())
