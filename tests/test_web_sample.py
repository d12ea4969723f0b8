"""A visit to the sample collection, with the bundled model, in a real browser. Screenshots go to build/screenshots."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from indexer.cli import main
from search.collection import Collection
from search.encoder import load_encoder
from search.settings import BUNDLED_MODEL, PROJECT
from tests.browser import Browser, needs_chromium, running
from web.app import create_app

SAMPLE = PROJECT / "data" / "sample"
FIRST = "document.querySelector('.tile .name')?.textContent"
NAMES = "[...document.querySelectorAll('.tile .name')].map(name => name.textContent)"

SAME = "document.querySelector('.same .quiet')?.textContent"
"""The path of the first image that is the picture that was asked with."""

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    directory = tmp_path_factory.mktemp("sample")
    assert main(["build", str(SAMPLE), "--model", "bundled", "--collection", str(directory / "collection")]) == 0
    collection = Collection.open(directory / "collection")
    encoder = load_encoder(str(BUNDLED_MODEL), device="cpu", models=directory)
    with running(create_app([collection], lambda _model: encoder)) as url:
        yield url
    collection.close()


def ask(browser: Browser, words: str) -> None:
    browser.run("document.querySelector('.words').select()")
    browser.send("Input.insertText", text=words)
    browser.press("Enter")


def test_a_visit(browser: Browser, site: str) -> None:
    browser.resize(1280, 900)
    browser.open(f"{site}/")
    browser.shoot("start")
    ask(browser, "a rooster")
    browser.wait(f"location.search === '?q=a+rooster' && {FIRST} === '002-rooster.jpg'")
    browser.shoot("results")
    shared, shown = browser.run("location.href"), browser.run(NAMES)

    browser.run("document.querySelector('.tile a').click()")
    browser.wait("document.querySelector('dialog[open] article h1')?.textContent === '002-rooster.jpg'")
    browser.press("ArrowRight")
    browser.wait(f"document.querySelector('dialog article h1').textContent === {json.dumps(shown[1])}")
    browser.press("ArrowLeft")
    browser.wait("document.querySelector('dialog article h1').textContent === '002-rooster.jpg'")
    browser.shoot("lightbox")
    browser.press("Escape")
    browser.wait("!document.querySelector('dialog').open")

    browser.open(f"{site}/")
    browser.drop("mine.jpg", (SAMPLE / "odd" / "upside-down.jpg").read_bytes())
    browser.wait(f"location.search.startsWith('?picture=') && {SAME} === 'odd/upside-down.jpg'")
    browser.shoot("picture")
    ask(browser, "a rooster")
    browser.wait("location.search.startsWith('?q=a+rooster&picture=')")
    both = browser.run(NAMES)[:60]
    assert both.index("002-rooster.jpg") < 12
    assert both.index("upside-down.jpg") < 12
    browser.shoot("picture and words")

    browser.open(shared)
    assert browser.run(NAMES) == shown
    assert browser.problems == []


def test_a_filter_and_two_more_pages(browser: Browser, site: str) -> None:
    browser.resize(1280, 900)
    browser.open(f"{site}/search?q=a+rooster")
    for more in (120, 180):
        browser.run("scrollTo(0, document.body.scrollHeight)")
        browser.wait(f"document.querySelectorAll('.tile').length >= {more}")
    names = browser.run(NAMES)
    hrefs = browser.run("[...document.querySelectorAll('.tile a')].map(link => link.href)")
    assert len(set(hrefs)) == len(names)
    browser.open(f"{site}/search?q=a+rooster&folder=noto-v1&orientation=landscape")
    browser.shoot("filters")
    assert 0 < browser.run("document.querySelectorAll('.tile').length") < 50
    browser.open(f"{site}/search?q=anything&format=GIF")
    assert browser.run(NAMES) == ["animated.gif"]
    assert browser.problems == []


@pytest.mark.parametrize(("width", "dark"), [(390, False), (390, True), (1280, True), (2200, False)])
def test_it_fits_every_screen_in_light_and_dark(browser: Browser, site: str, width: int, *, dark: bool) -> None:
    browser.resize(width, 900, dark=dark)
    for name, path in (("start", "/"), ("results", "/search?q=a+rooster"), ("image", "/images/1"), ("api", "/api")):
        browser.open(site + path)
        assert browser.run("document.documentElement.scrollWidth") <= width
        browser.shoot(f"{name} {width}{' dark' if dark else ''}")
    assert browser.problems == []


def test_what_is_not_there_is_said(browser: Browser, site: str) -> None:
    browser.open(f"{site}/search?q=parliamentary+procedure+of+1848")
    assert "clearly matches" in browser.run("document.querySelector('.faint').textContent")
    browser.open(f"{site}/search?q=a+rooster")
    assert browser.run("document.querySelector('.faint')") is None
    assert browser.problems == []
