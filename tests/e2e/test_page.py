"""The listening room in a browser: play, skip, see the ranking move, change the model, on a phone as well."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from segue.serving.app import PAGE
from segue.verbs.export import ExportOptions, export
from support.served import ask, free_port, running, small_run

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
if BROWSER is None and os.environ.get("CI") != "true":
    pytest.skip("no chromium here: make test-browser says how to get it", allow_module_level=True)
HOSTILE = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder, other = tmp_path_factory.mktemp("whole"), tmp_path_factory.mktemp("plain")
    whole, plain = small_run(folder, tracks=120), small_run(other, "paper-causal-s-minus", tracks=120)
    export(whole, folder / "export", ExportOptions(name="segue"))
    export(plain, other / "export", ExportOptions(name="s-minus"))
    export(plain, other / "third", ExportOptions(name="a-model-of-a-longer-name"))
    exports, port = (folder / "export", other / "export", other / "third"), free_port()
    with running(*exports, "--sessions", folder / "s.sqlite", port=port):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    assert BROWSER is not None, "CI=true, and no browser: .ci/run installs chromium"
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    yield from _opened(browser, address, {"width": 1280, "height": 800})


@pytest.fixture
def phone(browser: Any, address: str) -> Iterator[Any]:
    yield from _opened(browser, address, {"width": 390, "height": 844})


def _opened(browser: Any, address: str, viewport: dict[str, int]) -> Iterator[Any]:
    context = browser.new_context(viewport=viewport, reduced_motion="reduce", color_scheme="dark")
    page = context.new_page()
    faults: list[str] = []  # a request that a test refuses is none
    asked: list[str] = []
    page.on("console", lambda told: faults.append(told.text) if _is_fault(told) else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    page.wait_for_selector(".row:not(.gone) >> nth=9")
    yield page
    assert faults == []
    assert [url for url in asked if not url.startswith(address)] == [], "nothing comes from elsewhere"
    context.close()


def _is_fault(told: Any) -> bool:
    return told.type in ("error", "warning") and "net::ERR_FAILED" not in told.text


def _list(page: Any) -> list[str]:
    rows = page.eval_on_selector_all(
        ".ranked:first-child .row:not(.gone)",
        "rows => rows.map(row => [Number(row.querySelector('.rank').textContent), row.dataset.track])",
    )
    return [track for _, track in sorted(rows)]


def _act(page: Any, key: str, route: str = "**/v1/next") -> list[str]:
    """Press a key; return the list once the session is one track longer."""
    length = page.locator(".thread li").count()
    with page.expect_response(route):
        page.keyboard.press(key)
    page.wait_for_function("n => document.querySelectorAll('.thread li').length > n", arg=length)
    page.wait_for_timeout(600)
    return _list(page)


def _picture(page: Any, name: str) -> None:
    folder = os.environ.get("SEGUE_PICTURES")
    if folder:
        page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)


def test_five_tracks_play_and_two_are_skipped(page: Any) -> None:
    assert page.locator(".thread li").count() == 5, "a session is under way already"
    before = _list(page)
    assert len(set(before)) == 10
    for key in (" ", "s", " ", "d", " "):
        page.evaluate("document.activeElement.blur()")
        after = _act(page, key)
        assert after != before, "what comes next changes with every action"
        playing = page.locator(".playing h2").inner_text()
        assert playing != "Nothing plays"
        before = after
    assert page.locator(".thread li").count() == 10
    assert "changed" in page.locator(".meter").first.inner_text()
    skipped = page.locator(".thread li button[aria-label*='skipped']").count()
    assert skipped == 3, "two here, one of the session that was under way"
    _picture(page, "desktop")


def test_a_listener_goes_on_from_what_they_played(page: Any, address: str) -> None:
    port, listener = int(address.rpartition(":")[2]), f"Ann {HOSTILE}"
    nobody = _list(page)
    played = [*reversed(nobody[:4])]
    events = [{"track": track, "heard": "listened"} for track in played] + [{"track": HOSTILE, "heard": "skip"}]
    assert ask(port, "POST", "/v1/sessions", {"listener": listener, "events": events})[0] == 201
    page.locator(".listener summary").click()
    page.locator(".panel input[name=listener]").fill(listener)
    with page.expect_response("**/v1/sessions/*/next"):
        page.locator(".panel form button").click()
    page.wait_for_selector(".panel li >> nth=4")
    shown = page.locator(".panel li").all_inner_texts()
    assert shown[0] == f"{HOSTILE} , skipped at once"
    assert all("heard to its end" in text for text in shown[1:])
    assert page.locator(".listener summary").inner_text() == f"{listener} listens"
    assert page.title() != "owned"
    page.wait_for_function("() => document.querySelectorAll('.thread li').length === 1")
    lists = []
    for discovery in ("0", "1"):
        with page.expect_response("**/v1/sessions/*/next"):
            page.locator(".panel input[type=range]").fill(discovery)
        page.wait_for_timeout(600)
        lists.append(_list(page))
    assert {*lists[0][:3]} <= {*played}, "what plays now is one of them, perhaps"
    assert not {*lists[1]} & {*played}
    page.locator(".panel input[type=range]").fill("0.5")
    _picture(page, "listener")
    page.locator(".listener summary").click()
    for _ in range(2):
        page.evaluate("document.activeElement.blur()")
        _act(page, " ", "**/v1/sessions/*/next")
    heard = ask(port, "GET", f"/v1/listeners/{quote(listener, safe='')}")[1]["plays"]
    assert len(heard) == len(events) + 2, "it is kept"
    with page.expect_response("**/v1/sessions/*/next"):
        page.keyboard.press("u")
    page.wait_for_timeout(600)
    heard = ask(port, "GET", f"/v1/listeners/{quote(listener, safe='')}")[1]["plays"]
    assert len(heard) == len(events) + 1, "what is undone was not played"
    page.locator(".listener summary").click()
    with page.expect_response("**/v1/next"):
        page.get_by_role("button", name="Listen as nobody").click()
    assert page.locator(".listener summary").inner_text() == "Who listens?"


def test_undo_brings_back_what_was(page: Any) -> None:
    before, playing = _list(page), page.locator(".playing h2").inner_text()
    _act(page, "s")
    page.keyboard.press("u")
    page.wait_for_function("n => document.querySelectorAll('.thread li').length === n", arg=5)
    page.wait_for_timeout(600)
    assert page.locator(".playing h2").inner_text() == playing
    assert _list(page) == before


def test_the_thread_is_a_way_back(page: Any) -> None:
    page.locator(".thread li button").nth(1).click()
    page.wait_for_function("() => document.querySelectorAll('.thread li').length === 2")
    assert "Returned to" in page.locator(".done").inner_text()


def test_a_row_says_why_and_the_map_answers(page: Any) -> None:
    page.locator(".row button").nth(2).hover()
    page.wait_for_selector(".row.lit")
    why = page.locator(".why").first.inner_text()
    assert "fits" in why
    assert "heard out" in why
    page.locator(".row button").nth(4).focus()
    assert page.locator(".row.lit").count() == 1


def test_models_are_changed_and_stand_side_by_side(page: Any) -> None:
    first = _list(page)
    page.get_by_role("radio", name="S\u2212").click()
    page.wait_for_timeout(800)
    assert page.get_by_role("radio", name="S\u2212").get_attribute("aria-checked") == "true"
    assert _list(page) != first
    page.keyboard.press("b")
    page.wait_for_selector(".ranked >> nth=1")
    page.wait_for_selector(".ranked:nth-child(2) .row >> nth=9")
    assert page.locator(".ranked h2").all_inner_texts() == ["S\u2212", "segue", "a-model-of-a-longer-name"]
    _picture(page, "beside")


def test_every_control_says_its_name_and_is_reached_by_keyboard(page: Any) -> None:
    nameless = page.eval_on_selector_all(
        "button, a, canvas", "all => all.filter(e => !(e.textContent.trim() || e.getAttribute('aria-label'))).length"
    )
    assert nameless == 0
    page.keyboard.press("Tab")
    seen = set()
    for _ in range(30):
        seen.add(page.evaluate("document.activeElement.className || document.activeElement.tagName"))
        page.keyboard.press("Tab")
    assert len(seen) > 3
    assert page.evaluate("document.documentElement.lang") == "en"


def test_on_a_phone_nothing_is_cut_off_and_fingers_find_it(phone: Any) -> None:
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
    sizes = phone.eval_on_selector_all(
        ".actions button, .row button, .undo, .thread button", "all => all.map(e => e.getBoundingClientRect().height)"
    )
    assert min(sizes) >= 44
    length = phone.locator(".thread li").count()
    phone.get_by_role("button", name="Skip now").click()
    phone.wait_for_function("n => document.querySelectorAll('.thread li').length > n", arg=length)
    _picture(phone, "phone")


READABLE = """() => {
  const line = (share) => share <= .04045 ? share / 12.92 : ((share + .055) / 1.055) ** 2.4;
  const light = (text) => {
    const [r, g, b] = text.match(/[0-9.]+/g).map((value) => line(Number(value) / 255));
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const paper = light(getComputedStyle(document.body).backgroundColor);
  return ['.label p', '.why', '.done', '.rank', '.mark', '.switch', '.told small', '.undo'].map((where) => {
    const ink = light(getComputedStyle(document.querySelector(where)).color);
    return (Math.max(ink, paper) + .05) / (Math.min(ink, paper) + .05);
  });
}"""


def test_both_themes_can_be_read(page: Any) -> None:
    contrasts = []
    for _ in range(2):
        contrasts.append(page.evaluate(READABLE))
        page.locator(".theme").click()
    assert contrasts[0] != contrasts[1]
    assert min(map(min, contrasts)) >= 4.5, "WCAG AA"


def test_a_silent_service_is_told_and_comes_back(page: Any) -> None:
    page.route("**/v1/next", lambda route: route.abort())
    page.keyboard.press("s")
    page.wait_for_selector(".fault")
    assert "silent" in page.locator(".fault").inner_text()
    page.unroute("**/v1/next")
    page.get_by_role("button", name="Ask again").click()
    page.wait_for_selector(".fault", state="detached")


def test_what_others_wrote_is_text(browser: Any, address: str) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()

    def hostile(route: Any) -> None:
        document = route.fetch().json()
        for track in document["tracks"]:
            track["title"], track["artist"] = HOSTILE, HOSTILE
        route.fulfill(json=document)

    page.route("**/v1/next", hostile)
    page.goto(address)
    page.wait_for_selector(".row >> nth=9")
    page.wait_for_timeout(300)
    assert page.title() == "Segue"
    assert HOSTILE in page.locator(".playing h2").inner_text()
    assert page.locator(".ranked img, .playing img").count() == 0
    context.close()


OVERLAPS = """() => {
  const boxes = [...document.querySelectorAll('.ranked')].map((each) => each.getBoundingClientRect());
  const inside = [...document.querySelectorAll('.ranked > *, .row:not(.gone) .mark')].every((each) => {
    const box = each.getBoundingClientRect(), whole = each.closest('.ranked').getBoundingClientRect();
    return box.right <= whole.right + 1 && box.left >= whole.left - 1;
  });
  return !inside || boxes.some((box, i) => i && box.left < boxes[i - 1].right && box.top < boxes[i - 1].bottom)
    || document.documentElement.scrollWidth > document.documentElement.clientWidth;
}"""


def test_three_models_stand_side_by_side(page: Any, phone: Any) -> None:
    for each in (page, phone):
        assert not each.evaluate(OVERLAPS)
        each.get_by_role("button", name="Side by side").click()
        # what changed is counted from the lists before the action, so each must have come
        each.wait_for_selector(".ranked:nth-child(3) .row >> nth=9", state="attached")
        each.get_by_role("button", name="Skip now").click()
        each.wait_for_selector(".ranked .meter >> nth=2")
        assert not each.evaluate(OVERLAPS)
        assert each.locator(".ranked h2").all_inner_texts() == ["segue", "S\u2212", "a-model-of-a-longer-name"]


def test_a_room_with_a_token_asks_for_it_once(browser: Any, tmp_path: Path) -> None:
    token, port = "a token nobody guesses".replace(" ", "-"), free_port()
    export(small_run(tmp_path, "paper-causal-s-minus", tracks=120), tmp_path / "export")
    kept = ("--sessions", tmp_path / "s.sqlite")
    with running(tmp_path / "export", *kept, port=port, environment={"SEGUE_TOKEN": token}):
        context = browser.new_context()
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{port}")
        page.get_by_label("Token").wait_for()
        assert page.locator(".room").count() == 0
        for told in ("not-the-token-at-all", token):
            page.get_by_label("Token").fill(told)
            page.get_by_role("button", name="Open").click()
            if told != token:
                page.wait_for_selector("text=That is not the token")
        page.wait_for_selector(".row >> nth=9")
        page.reload()
        page.wait_for_selector(".row >> nth=9")
        assert page.get_by_label("Token").count() == 0
        assert token not in page.url
        assert token not in page.content()
        context.close()


def test_the_pages_files_name_no_other_host() -> None:
    for path in PAGE.iterdir():
        text = path.read_text(encoding="utf-8")
        found = text.replace("http://www.w3.org/", "")
        assert "http://" not in found
        assert "https://" not in found
