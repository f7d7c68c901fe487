"""A headless Chromium that reaches this machine and nothing else."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser
from playwright.sync_api import Page
from playwright.sync_api import Route
from playwright.sync_api import sync_playwright

#: What Debian, other distributions and Google call it.
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")

ARGUMENTS = (
    "--no-sandbox",  # Chromium refuses to run as root otherwise, as CI does
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
)


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """Where Chromium is. None: skipped, or failed if ``REQUIRE_BROWSER`` is set."""
    candidates = (os.environ.get("CHROMIUM"), *map(shutil.which, PROGRAMS))
    path = next(filter(None, candidates), None)

    if path is None:
        reason = f"no browser found, looked for {', '.join(PROGRAMS)} and $CHROMIUM"

        if os.environ.get("REQUIRE_BROWSER"):
            pytest.fail(reason)

        pytest.skip(reason)

    return path


@pytest.fixture(scope="module")
def chromium(chromium_path: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium_path, args=ARGUMENTS
        )
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """An empty window without cookies. The test fails if a page asks another machine
    for anything, or if one of its scripts raises."""
    elsewhere: list[str] = []
    script_errors: list[str] = []

    def stay_here(route: Route) -> None:
        if urlsplit(route.request.url).hostname in {"127.0.0.1", "localhost"}:
            route.continue_()
        else:
            elsewhere.append(route.request.url)
            route.abort()

    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(10_000)
    context.route("**/*", stay_here)
    window = context.new_page()
    window.on("pageerror", lambda error: script_errors.append(str(error)))
    yield window
    context.close()

    assert elsewhere == []
    assert script_errors == []
