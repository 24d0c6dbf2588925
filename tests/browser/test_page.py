"""The page of `serve` in a real browser, on a real broker, with a worker."""

from pathlib import Path
from typing import Any, cast

import pytest
from support.serve_process import ServeProcess
from support.topics import produce, wait_until

pytest.importorskip("playwright", reason="the page is tested by: hatch run http:page")
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, ViewportSize, expect

pytestmark = pytest.mark.broker
PHONE: ViewportSize = {"width": 360, "height": 740}
COUNTED_MS = 60_000


def open_page(page: Page, serve: ServeProcess) -> None:
    page.goto(serve.url)
    expect(page.locator("#connection")).to_have_text("live", timeout=20_000)
    expect(page.locator("#send")).to_be_enabled(timeout=20_000)


def submit(page: Page, text: str) -> None:
    page.get_by_label("Type a text").fill(text)
    page.get_by_role("button", name="Count").click()


def test_submitted_text_comes_back_with_its_anagrams(
    page: Page, serve: ServeProcess, complaints: list[str]
) -> None:
    open_page(page, serve)
    submit(page, "Listen, cat")
    answer = page.locator("#answers li").first
    expect(answer).to_contain_text("committed after", timeout=COUNTED_MS)
    for word in ("act", "cat", "enlist", "listen", "silent", "tinsel"):
        expect(answer.locator(".chip", has_text=word).first).to_be_visible()
    assert complaints == []


def test_markup_in_a_text_is_shown_and_not_run(
    page: Page, serve: ServeProcess, complaints: list[str]
) -> None:
    open_page(page, serve)
    submit(page, "<img src=x onerror=alert(1)>cat")
    expect(page.locator("#answers li").first).to_contain_text("<img src=x onerror=alert(1)>cat")
    expect(page.locator("#answers li").first).to_contain_text("committed after", timeout=COUNTED_MS)
    assert page.locator("main img").count() == 0
    assert complaints == []


def test_page_shows_what_others_send_as_it_is_committed(
    page: Page, serve: ServeProcess, env: dict[str, str], complaints: list[str]
) -> None:
    open_page(page, serve)
    produce(env, [(b"blob-%d" % n, b"granite ingrate stop") for n in range(200)] + [(b"bad", b"\xff")])
    expect(page.locator("#top tr").first).to_contain_text("aeginrt", timeout=COUNTED_MS)
    expect(page.locator("#top tr").first).to_contain_text("400", timeout=20_000)
    expect(page.locator("#latest li").first).to_be_visible()
    expect(page.locator("#dead li")).to_contain_text("undecodable: 1", timeout=20_000)
    expect(page.locator("#dead code")).to_have_text("anagram-stream dead-letters replay --reason undecodable")
    expect(page.locator("#lag tr")).to_have_count(2, timeout=20_000)
    expect(page.locator("#group")).to_contain_text("1 member", timeout=20_000)
    assert complaints == []


def test_page_looks_up_a_word(page: Page, serve: ServeProcess, complaints: list[str]) -> None:
    open_page(page, serve)
    page.get_by_label("How often were the anagrams").fill("Silent")
    page.get_by_role("button", name="Look up").click()
    expect(page.locator("#word-answer")).to_contain_text("eilnst: 0 (")
    assert complaints == []


def test_page_connects_again_after_the_server_was_killed(page: Page, serve: ServeProcess) -> None:
    open_page(page, serve)
    port = serve.url.rpartition(":")[2]
    serve.kill()
    expect(page.locator("#connection")).to_contain_text("connection lost", timeout=20_000)
    serve.command = (*serve.command[:-1], port)
    serve.start()
    serve.wait_serving(2)
    expect(page.locator("#connection")).to_have_text("live", timeout=30_000)
    submit(page, "cat")
    expect(page.locator("#answers li").first).to_contain_text("committed after", timeout=COUNTED_MS)


def test_page_asks_for_the_token_that_the_server_requires(
    page: Page, env: dict[str, str], tmp_path: Path
) -> None:
    with ServeProcess({**env, "STREAM_SERVE_TOKEN": "secret"}, tmp_path / "token.log") as serve:
        page.goto(serve.wait_serving())
        expect(page.locator("#connection")).to_have_text("token required", timeout=20_000)
        page.locator("#token").fill("secret")
        page.get_by_role("button", name="Use token").click()
        expect(page.locator("#connection")).to_have_text("live", timeout=20_000)


def test_page_without_submission_explains_how_to_enable_it(
    page: Page, env: dict[str, str], tmp_path: Path
) -> None:
    with ServeProcess({**env, "STREAM_SERVE_SUBMIT": "false"}, tmp_path / "serve.log") as serve:
        page.goto(serve.wait_serving())
        expect(page.locator("#submit-state")).to_contain_text("STREAM_SERVE_SUBMIT=true", timeout=20_000)
        expect(page.locator("#send")).to_be_disabled()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", ["desktop", "phone"])
def test_page_is_accessible(
    page: Page, serve: ServeProcess, env: dict[str, str], scheme: str, width: str
) -> None:
    """The page passes the rules of axe-core, including contrast, and no line is wider than a phone."""
    page.emulate_media(color_scheme=cast("Any", scheme))
    if width == "phone":
        page.set_viewport_size(PHONE)
    open_page(page, serve)
    submit(page, "listen to the silent tinsel")
    produce(env, [(b"bad", b"\xff")])
    expect(page.locator("#answers li").first).to_contain_text("committed after", timeout=COUNTED_MS)
    expect(page.locator("#dead li").first).to_be_visible(timeout=20_000)
    audit = Axe().run(page)
    assert audit.violations_count == 0, audit.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(17, 19, 24)") == (scheme == "dark")


def test_page_is_usable_with_the_keyboard_alone(page: Page, serve: ServeProcess) -> None:
    open_page(page, serve)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.type("cat")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#answers li").first).to_contain_text("committed after", timeout=COUNTED_MS)
    wait_until(lambda: page.locator("#answers .chip").count() >= 2, 10)
