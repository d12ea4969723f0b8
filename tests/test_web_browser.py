"""The pages in a real browser, over pictures of one color each."""

from __future__ import annotations

import base64
import io
import json
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from indexer.bench_pictures import picture as drawn
from indexer.cli import main
from search.collection import Collection
from search.prompts import Label
from search.vocabulary import make_vocabulary
from tests.browser import Browser, LeftError, needs_chromium, running
from tests.colors import COLORS, ColorEncoder
from tests.conftest import Build, build_from
from tests.test_web_api import picture
from tests.test_web_fetch import PUBLIC, Internet, send
from web.access import Access
from web.app import create_app

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def site(empty: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a running application with 150 red pictures of all shapes and one of every other color."""
    place, encoder = tmp_path_factory.mktemp("site"), ColorEncoder()
    photos = place / "photos"
    photos.mkdir()
    for number in range(150):
        _paint(photos / f"red-{number}.png", "red", (200 + 20 * (number % 17), 300), number)
    for color in COLORS.keys() - {"red"}:
        _paint(photos / f"{color}.png", color, (320, 240), 0)
    with closing(Collection.open(shutil.copytree(empty, place / "collection"))) as collection:
        build_from(collection, encoder, photos)
        collection.tag(make_vocabulary(encoder, [Label("red"), Label("green"), Label("a street at night")], ["{}"]))
        with running(create_app([collection], lambda _model: encoder)) as url:
            yield url


def _paint(file: Path, color: str, size: tuple[int, int], number: int) -> None:
    """A picture of one color with a small mark, so that no two have the same content."""
    image = Image.new("RGB", size, COLORS[color])
    ImageDraw.Draw(image).rectangle((number, 0, number + 2, 4), fill="gray")
    image.save(file)


FIRST = "document.querySelector('.tile .name')?.textContent"
SHIFT = """new Promise(done => {
    const sum = list => list.getEntries().reduce((total, entry) => total + entry.value, 0);
    new PerformanceObserver(list => done(sum(list))).observe({type: 'layout-shift', buffered: true});
    setTimeout(() => done(0), 300);
})"""
"""How far the page has moved by itself, as browsers measure it; 0 if nothing did."""


def test_a_query_is_typed_and_a_picture_looked_at(browser: Browser, site: str) -> None:
    browser.open(f"{site}/")
    browser.send("Input.insertText", text="blue")
    browser.press("Enter")
    browser.wait(f"location.search === '?q=blue' && {FIRST} === 'blue.png'")
    browser.run("document.querySelector('.tile a').click()")
    browser.wait("document.querySelector('dialog[open] article h1')?.textContent === 'blue.png'")
    assert browser.run("location.pathname").startswith("/images/")
    second = browser.run("document.querySelectorAll('.tile .name')[1].textContent")
    browser.press("ArrowRight")
    browser.wait(f"document.querySelector('dialog article h1').textContent === {json.dumps(second)}")
    browser.press("ArrowLeft")
    browser.wait("document.querySelector('dialog article h1').textContent === 'blue.png'")
    browser.press("Escape")
    browser.wait("!document.querySelector('dialog').open && location.search === '?q=blue'")
    assert browser.run("document.activeElement === document.querySelector('.tile a')")
    browser.run("history.back()")
    browser.wait("location.pathname === '/'")
    assert browser.problems == []


def test_the_lightbox_goes_on_where_the_page_ends(browser: Browser, site: str) -> None:
    browser.open(f"{site}/search?q=red")
    links = "[...document.querySelectorAll('.tile a')]"
    count = browser.run(f"{links}.length")
    browser.run(f"{links}[{count - 1}].click()")
    browser.wait(f"document.querySelector('dialog[open] article h1') && {links}.length > {count}")
    browser.press("ArrowRight")
    name = browser.run(f"{links}[{count}].querySelector('.name').textContent")
    browser.wait(f"document.querySelector('dialog article h1').textContent === {json.dumps(name)}")
    assert browser.run("location.search") == "", "the URL is that of the picture"
    browser.press("Escape")
    browser.wait(f"!document.querySelector('dialog').open && document.activeElement === {links}[{count}]")
    browser.wait(f"location.search === '?q=red&k=' + {links}.length")
    assert browser.run(f"{links}[{count}].getBoundingClientRect().top < innerHeight")
    assert browser.problems == []


@pytest.mark.parametrize("how", ["paste", "drop", "choose"])
def test_a_picture_is_given_in_three_ways(browser: Browser, site: str, how: str) -> None:
    browser.open(f"{site}/")
    data = base64.b64encode(picture("green")).decode()
    browser.run(f"""
        const bytes = Uint8Array.from(atob('{data}'), letter => letter.charCodeAt(0));
        var held = new DataTransfer();
        held.items.add(new File([bytes], 'mine.png', {{type: 'image/png'}}));
        0""")
    browser.run(
        {
            "paste": "document.dispatchEvent(new ClipboardEvent('paste', {clipboardData: held})), 0",
            "drop": "document.dispatchEvent(new DragEvent('drop', {dataTransfer: held, cancelable: true})), 0",
            "choose": """document.querySelector('[type=file]').files = held.files,
                document.querySelector('[type=file]').dispatchEvent(new Event('change')), 0""",
        }[how]
    )
    browser.wait(f"location.search.startsWith('?picture=') && {FIRST} === 'green.png'")
    browser.run("document.querySelector('.words').focus()")
    browser.send("Input.insertText", text="red")
    browser.press("Enter")
    browser.wait(f"location.search.startsWith('?q=red&picture=') && {FIRST} === 'yellow.png'")
    assert browser.problems == []


@pytest.fixture
def internet() -> Iterator[Internet]:
    """Where pictures.example is on the public internet, and inside.example and 127.0.0.1 are this machine."""
    internet = Internet()
    internet.addresses = {"pictures.example": [PUBLIC], "inside.example": ["127.0.0.1"]}
    internet.pages["/green.png"] = send(body=picture("green"))
    yield internet
    internet.close()


@pytest.fixture
def fetching(
    collection: Collection, encoder: ColorEncoder, photos: Path, index: Build, internet: Internet
) -> Iterator[str]:
    """The URL of an application that fetches pictures from the URLs in its search box."""
    index(photos)
    with running(create_app([collection], lambda _model: encoder, fetch=internet.fetcher())) as url:
        yield url


def test_a_url_in_the_search_box_asks_with_its_picture(browser: Browser, fetching: str, internet: Internet) -> None:
    browser.open(f"{fetching}/")
    browser.send("Input.insertText", text="http://pictures.example/green.png")
    browser.press("Enter")
    browser.wait(f"location.search.startsWith('?url=') && {FIRST} === 'green.bmp'")
    assert browser.run("document.querySelector('.words').value") == ""
    assert browser.run("document.querySelector('.chip img').naturalWidth") > 0
    browser.shoot("search-by-url")
    browser.run("document.querySelector('.words').focus()")
    browser.send("Input.insertText", text="red")
    browser.press("Enter")
    browser.wait("location.search.startsWith('?q=red&url=') && document.querySelectorAll('.tile').length === 3")
    assert internet.asked == [("pictures.example", "/green.png")], "it is fetched once"
    assert browser.problems == []


@pytest.mark.parametrize("host", ["127.0.0.1", "inside.example"])
def test_a_url_of_this_machine_is_refused_on_the_page(
    browser: Browser, fetching: str, internet: Internet, host: str
) -> None:
    browser.open(f"{fetching}/")
    browser.send("Input.insertText", text=f"http://{host}/green.png")
    browser.press("Enter")
    browser.wait("document.querySelector('main h1')?.textContent === 'That cannot be searched'")
    told = browser.run("document.querySelector('main').textContent").lower()  # a sentence begins with a capital
    assert f"{host} is not on the public internet" in told
    assert internet.asked == []
    assert internet.connected == []
    browser.shoot(f"search-by-url-refused-{host}")


def test_the_token_is_asked_for_once(browser: Browser, collection: Collection, encoder: ColorEncoder) -> None:
    app = create_app([collection], lambda _model: encoder, access=Access(token="a-token-of-some-length"))
    with running(app) as url:
        browser.send("Page.navigate", url=f"{url}/status")
        browser.wait("location.pathname === '/login' && document.activeElement.name === 'token'")
        browser.send("Input.insertText", text="a-token-of-some-length")
        browser.press("Enter")
        browser.wait("location.pathname === '/status'")
        browser.run("document.querySelector('.links button').click()")
        browser.wait("location.pathname === '/login'")
    assert browser.problems == []


def test_further_pages_come_where_the_first_one_is_all_the_same_picture(
    browser: Browser, collection: Collection, encoder: ColorEncoder, photos: Path, index: Build
) -> None:
    for number in range(3):
        shutil.copy(photos / "red.png", photos / f"{number}.png")
    index(photos)
    (red,) = collection.catalog.known_files(f"{photos}/red.png").values()
    with running(create_app([collection], lambda _model: encoder)) as url:
        browser.open(f"{url}/search?id={red.id}&same=yes&k=2")
        browser.wait("document.querySelectorAll('.tile').length > 1")


def test_further_pages_come_as_one_scrolls_and_a_reload_keeps_them(browser: Browser, site: str) -> None:
    browser.open(f"{site}/search?q=red")
    assert browser.run("document.querySelectorAll('.tile').length") >= 60
    browser.run("document.querySelector('.tile').id = 'still-here'")
    browser.run("scrollTo(0, document.body.scrollHeight)")
    browser.wait("document.querySelectorAll('.tile').length >= 120")
    browser.run("scrollTo(0, document.body.scrollHeight)")
    browser.wait("document.querySelectorAll('.tile').length === 157")
    assert browser.run("!!document.getElementById('still-here') && !document.querySelector('[data-more]')")
    shown = "[...document.querySelectorAll('.tile a')].map(link => link.href)"
    links = browser.run(shown)
    assert len(set(links)) == 157
    assert browser.run("location.search") == "?q=red&k=157"
    browser.send("Page.reload")
    browser.wait("document.querySelectorAll('.tile').length === 157 && !document.getElementById('still-here')")
    assert browser.run(shown) == links
    assert browser.problems == []


def test_a_filter_applies_when_it_is_chosen_and_back_takes_it_off(browser: Browser, site: str) -> None:
    browser.open(f"{site}/search?q=red")
    browser.run("document.querySelector('.filters summary').click()")
    choose = "(field => {{ field.value = '{}'; field.dispatchEvent(new Event('change', {{bubbles: true}})) }})"
    browser.run(choose.format("portrait") + "(document.querySelector('.filters [name=orientation]'))")
    browser.wait("location.search === '?q=red&orientation=portrait'")
    images = "[...document.querySelectorAll('.tile img')]"
    assert browser.run(f"{images}.length > 0 && {images}.every(image => +image.width < +image.height)")
    assert browser.run("document.querySelector('.filters').open")
    browser.run("document.querySelector('.applied a').click()")
    browser.wait("location.search === '?q=red' && document.querySelectorAll('.tile').length >= 60")
    browser.run("history.back()")
    browser.wait("location.search === '?q=red&orientation=portrait'")
    assert browser.problems == []


def test_a_tag_in_the_lightbox_leads_to_a_search_by_it(browser: Browser, site: str) -> None:
    browser.open(f"{site}/search?q=green")
    browser.run("document.querySelector('.tile a').click()")
    browser.wait("document.querySelector('dialog[open] .tags a')?.textContent.trim() === 'green'")
    browser.run("document.querySelector('dialog .tags a').click()")
    browser.wait("location.search === '?q=green&tag=green' && document.querySelector('.tile')")
    assert browser.run("document.querySelector('.filters [name=tag]').value") == "green"
    browser.run("document.querySelector('.applied a').click()")
    browser.wait("location.search === '?q=green' && document.querySelectorAll('.tile').length >= 60")
    assert browser.problems == []


@pytest.mark.parametrize("width", [390, 1280, 2200])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_moves_or_overflows_at_any_width(browser: Browser, site: str, width: int, scheme: str) -> None:
    browser.resize(width, 800, dark=scheme == "dark")
    for path in (
        "/",
        "/search?q=red",
        "/search?q=red&min_side=100",
        "/search?q=red&target=both",
        "/images/1",
        "/status",
        "/api",
    ):
        browser.open(site + path)
        assert browser.run("document.documentElement.scrollWidth") <= width
        assert browser.run(SHIFT) < 0.01
        dark = browser.run("getComputedStyle(document.body).backgroundColor") == "rgb(19, 20, 21)"
        assert dark == (scheme == "dark")
    assert browser.problems == []


def test_the_rows_of_the_grid_are_justified(browser: Browser, site: str) -> None:
    browser.resize(1280, 800)
    browser.open(f"{site}/search?q=red")
    boxes = browser.run("[...document.querySelectorAll('.tile')].map(tile => tile.getBoundingClientRect().toJSON())")
    rows: dict[float, list[Any]] = {}
    for box in boxes:
        rows.setdefault(round(box["top"]), []).append(box)
    *full, _last = rows.values()
    assert len(full) > 5
    for row in full:
        assert max(box["height"] for box in row) - min(box["height"] for box in row) < 1
        assert row[-1]["right"] == pytest.approx(full[0][-1]["right"], abs=1)


@pytest.fixture(scope="module")
def copies(empty: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a running application with three pictures full of things, and a turned crop of one of them."""
    place, encoder = tmp_path_factory.mktemp("copies"), ColorEncoder()
    photos = place / "photos"
    photos.mkdir()
    for seed in range(3):
        drawn(np.random.default_rng(seed), (600, 400)).save(photos / f"{seed}.png")
    Image.open(photos / "1.png").crop((150, 50, 600, 400)).rotate(90, expand=True).save(photos / "part.png")
    with closing(Collection.open(shutil.copytree(empty, place / "collection"))) as collection:
        build_from(collection, encoder, photos)
        assert main(["duplicates", "--collection", str(collection.directory)]) == 0
        with running(create_app([collection], lambda _model: encoder)) as url:
            yield url


OUTLINE = """(() => {
    const image = document.querySelector('.whole:has(.outline) img').getBoundingClientRect();
    const line = document.querySelector('.outline .line').getBoundingClientRect();
    return [line.left - image.left, line.top - image.top, line.width, line.height, image.width, image.height];
})()"""
"""Where the outline lies on the box of its picture, which is fitted into it."""


def test_the_same_picture_is_outlined_apart_and_its_url_can_be_shared(browser: Browser, copies: str) -> None:
    browser.resize(1280, 900)
    browser.open(f"{copies}/")
    file = io.BytesIO()
    drawn(np.random.default_rng(1), (600, 400)).crop((300, 0, 600, 400)).save(file, "PNG")
    browser.drop("half.png", file.getvalue())
    browser.wait("location.search.startsWith('?picture=') && document.querySelector('.same .outline')")
    words = "[...document.querySelectorAll('.same li')].map(item => item.querySelector('p').textContent)"
    assert "Edited: cropped to 50 % of it." in browser.run(words)
    browser.wait("document.querySelector('.whole:has(.outline) img').complete")
    left, top, width, height, box_width, box_height = browser.run(OUTLINE)
    scale = min(box_width / 600, box_height / 400)
    shown = ((box_width - 600 * scale) / 2 + 300 * scale, (box_height - 400 * scale) / 2, 300 * scale, 400 * scale)
    assert (left, top, width, height) == pytest.approx(shown, abs=8 * scale + 4)
    url = browser.run("location.href")
    browser.run("document.querySelector('.same a').click()")
    browser.wait("document.querySelector('dialog[open] article h1')?.textContent === '1.png'")
    browser.press("Escape")
    browser.wait(f"!document.querySelector('dialog').open && location.href === {json.dumps(url)}")
    browser.open(f"{copies}/status")
    browser.run("history.back()")
    browser.wait("document.querySelector('.same .outline')")
    browser.send("Emulation.setScriptExecutionDisabled", value=True)
    browser.send("Page.navigate", url=url)
    browser.wait("document.querySelector('.same .outline')")
    browser.send("Emulation.setScriptExecutionDisabled", value=False)
    assert browser.problems == []


def test_the_same_picture_is_asked_for_in_the_lightbox(browser: Browser, copies: str) -> None:
    browser.open(f"{copies}/search?q=red")
    browser.run("[...document.querySelectorAll('.tile a')].find(one => one.textContent.includes('part.png')).click()")
    same = "[...document.querySelectorAll('dialog[open] .actions a')].find(one => one.search.includes('same=yes'))"
    browser.wait(same)
    browser.run(f"{same}.click()")
    browser.wait("location.search.includes('same=yes') && document.querySelector('.same li')")
    assert browser.run("document.querySelector('.same p').textContent") == (
        "Edited: turned 90° counterclockwise, cropped to 66 % of it."
    )
    assert browser.problems == []


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_duplicates_are_reviewed_at_any_width(browser: Browser, copies: str, width: int, scheme: str) -> None:
    browser.resize(width, 900, dark=scheme == "dark")
    browser.open(f"{copies}/duplicates")
    assert browser.run("document.querySelectorAll('.group').length") == 1
    assert browser.run("document.querySelector('.badge').textContent") == "Best"
    assert browser.run(SHIFT) < 0.01
    browser.run("document.querySelector('.paths summary').click()")
    assert browser.run("document.querySelector('.paths pre').textContent.trim()") == "part.png"
    assert browser.run("document.documentElement.scrollWidth") <= width
    browser.shoot(f"duplicates-{scheme}-{width}")
    assert browser.problems == []


def test_a_page_that_was_left_says_so(browser: Browser, site: str) -> None:
    """So that a wait may outlive it: Chromium answers what it was asked of that page with an error."""
    browser.open(f"{site}/search?q=red")
    with pytest.raises(LeftError):
        browser.run(f"location.href = '{site}/search?q=green', new Promise(() => {{}})")
    browser.wait("location.search === '?q=green'")


DETAILS = "document.querySelector('.filters')"


def test_a_filter_is_chosen_by_keys(browser: Browser, site: str) -> None:
    """A date is done when it is left, and a choice when it is; arrows and digits are on the way."""
    browser.open(f"{site}/search?q=red&from=2001-01-01")
    browser.run(f"{DETAILS}.open = true, {DETAILS}.querySelector('[name=from]').focus()")
    for digit in "06212008":
        browser.send("Input.dispatchKeyEvent", type="keyDown", key=digit, text=digit)
        browser.send("Input.dispatchKeyEvent", type="keyUp", key=digit)
    assert browser.run("location.search") == "?q=red&from=2001-01-01"
    browser.press("Enter")
    browser.wait("location.search.includes('from=2008-06-21')")
    browser.open(f"{site}/search?q=red")
    browser.run(f"{DETAILS}.open = true, {DETAILS}.querySelector('[name=min_side]').focus()")
    choose = f"""(value) => {{
        const select = {DETAILS}.querySelector('[name=min_side]');
        select.dispatchEvent(new KeyboardEvent('keydown', {{key: 'ArrowDown', bubbles: true}}));
        select.value = value;
        select.dispatchEvent(new Event('change', {{bubbles: true}}));
    }}"""
    for value in ("256", "512"):
        browser.run(f"({choose})('{value}')")
    assert browser.run("location.search") == "?q=red"
    browser.run(f"{DETAILS}.querySelector('[name=folder]').focus()")
    browser.wait("location.search === '?q=red&min_side=512'")
    browser.wait("document.activeElement.name === 'folder'")
    for kind in ("keyDown", "keyUp"):
        browser.send("Input.dispatchKeyEvent", type=kind, key="p", **({"text": "p"} if kind == "keyDown" else {}))
    browser.run(f"{DETAILS}.querySelector('[name=orientation]').focus()")
    browser.wait("document.activeElement.name === 'orientation'")
    assert browser.problems == []


def test_back_leads_from_a_picture_to_its_page_after_a_reload(browser: Browser, site: str) -> None:
    browser.open(f"{site}/search?q=blue")
    browser.run("document.querySelector('.tile a').click()")
    browser.wait("document.querySelector('dialog[open] article h1')")
    browser.run("location.reload()")
    browser.wait("location.pathname.startsWith('/images/') && !document.querySelector('dialog').open")
    browser.run("history.back()")
    browser.wait(f"location.search === '?q=blue' && {FIRST} === 'blue.png'")
    browser.run("history.forward()")
    browser.wait("location.pathname.startsWith('/images/') && document.querySelector('main article h1')")
    assert browser.problems == []


def test_a_session_that_ended_is_not_the_end_of_the_hits(
    browser: Browser, collection: Collection, encoder: ColorEncoder, index: Build, tmp_path: Path
) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(70):
        _paint(folder / f"{number}.png", "red", (200, 200), number)
    index(folder)
    with running(create_app([collection], lambda _model: encoder, access=Access(token="a long enough token"))) as url:
        browser.open(f"{url}/login")
        browser.run("document.querySelector('[name=token]').value = 'a long enough token'")
        browser.run("document.querySelector('main form').requestSubmit()")
        browser.wait("location.pathname === '/'")
        browser.resize(400, 500)
        browser.open(f"{url}/search?q=red")
        browser.send("Network.clearBrowserCookies")
        browser.run("document.querySelector('.more').scrollIntoView()")
        browser.wait("document.querySelector('.more a')?.textContent === 'More'")
        assert browser.run("document.querySelectorAll('.tile').length") == 60


@pytest.mark.parametrize("width", [400, 660, 768, 1024])
def test_the_search_box_has_room_beside_a_picture(browser: Browser, copies: str, width: int) -> None:
    browser.resize(width, 900)
    browser.open(f"{copies}/search?id=1")
    assert browser.run("document.querySelector('.words').getBoundingClientRect().width") > 90
