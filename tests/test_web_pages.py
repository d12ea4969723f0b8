"""The pages: each state has a URL, works without scripts, and shows nothing that was not meant to be shown."""

from __future__ import annotations

import io
import re
import shutil
from html import unescape
from pathlib import Path
from urllib.parse import quote_plus, urlsplit

import numpy as np
import pytest
from flask.testing import FlaskClient
from PIL import Image, ImageOps

from indexer.bench_pictures import picture as drawn
from search.collection import Collection
from search.query import TextTerm
from search.searcher import Searcher
from search.types import EncoderIdentity, Root
from tests.colors import ColorEncoder
from tests.conftest import Build, paint
from tests.test_web_api import id_of, picture
from web.app import create_app
from web.present import NARROWEST, RATIO_STEP, WIDEST
from web.uploads import Uploads


@pytest.fixture
def client(collection: Collection, encoder: ColorEncoder, photos: Path, index: Build) -> FlaskClient:
    (photos / "red.txt").write_text("a wall painted <b>red</b>")
    index(photos)
    collection.catalog.follow([Root(str(photos))])
    return create_app([collection], lambda _model: encoder).test_client()


def page(client: FlaskClient, url: str, status: int = 200) -> str:
    answer = client.get(url)
    assert answer.status_code == status
    return answer.get_data(as_text=True)


def tiles(html: str) -> list[str]:
    """The names under the pictures of a grid."""
    return re.findall(r'<span class="name">([^<]*)</span>', html)


def asked(client: FlaskClient, **form: object) -> str:
    """Where the search form leads."""
    answer = client.post("/search", data=form)
    assert answer.status_code == 303
    return answer.headers["Location"]


def test_the_start_page_shows_pictures_and_examples_from_their_captions(client: FlaskClient) -> None:
    html = page(client, "/")
    assert sorted(tiles(html)) == ["blue.webp", "green.bmp", "red.png"]
    assert "3 pictures" in html
    assert 'href="/search?q=a+wall+painted+%3Cb%3Ered%3C/b%3E"' in html


def test_an_empty_collection_says_how_to_fill_it(collection: Collection, encoder: ColorEncoder) -> None:
    client = create_app([collection], lambda _model: encoder).test_client()
    assert "python -m indexer build" in page(client, "/")
    assert "There is no other picture in this collection yet" in page(client, "/search?q=red")
    assert "came without captions" in page(client, "/search?q=red&target=texts")
    page(client, "/status")


def test_a_text_leads_to_a_url_that_shows_its_picture_first(client: FlaskClient) -> None:
    url = asked(client, q=" the  blue ")
    assert url == "/search?q=the+blue"
    html = page(client, url)
    assert tiles(html)[0] == "blue.webp"
    assert 'value="the blue"' in html


def test_an_uploaded_picture_leads_to_a_url_too(client: FlaskClient) -> None:
    url = asked(client, image=(io.BytesIO(picture("green")), "mine.png"))
    assert tiles(page(client, url))[0] == "green.bmp"
    (preview,) = re.findall(r'src="(/media/uploads/[^"]+)"', page(client, url))
    with client.get(preview) as answer:
        assert answer.mimetype == "image/webp"


def test_a_picture_and_a_text_are_asked_together(client: FlaskClient, photos: Path, index: Build) -> None:
    paint(photos / "yellow.png", "yellow")
    index(photos)
    url = asked(client, q="red", image=(io.BytesIO(picture("green")), "mine.png"))
    assert tiles(page(client, url))[0] == "yellow.png"
    key = re.search("picture=([0-9a-f]+)", url)[1]
    assert asked(client, q="red", picture=key) == url


def test_a_picture_that_is_no_longer_held_is_asked_for_again(client: FlaskClient) -> None:
    assert "give it again" in page(client, "/search?picture=0123456789ab", 400)


def test_words_that_were_refused_can_be_mended_in_the_box(client: FlaskClient) -> None:
    assert 'name="q" value="&lt;blue&gt;"' in page(client, "/search?q=<blue>&sort=best", 400)


def test_a_file_that_is_no_picture_is_refused(client: FlaskClient) -> None:
    answer = client.post("/search", data={"image": (io.BytesIO(b"no picture"), "a.png")})
    assert answer.status_code == 400
    assert "Not a picture of a known format." in answer.get_data(as_text=True)


def test_the_form_with_nothing_in_it_leads_to_the_start(client: FlaskClient) -> None:
    assert client.get(asked(client, q=" ")).headers["Location"] == "/"


def test_the_oldest_uploads_make_room_for_new_ones() -> None:
    uploads = Uploads(max_bytes=1_000)
    first, second = (uploads.add(picture(color, (64, 64))) for color in ("red", "blue"))
    assert uploads.get(second) is not None
    for color in ("green", "cyan", "yellow", "white"):
        uploads.add(picture(color, (64, 64)))
    assert uploads.get(first) is None


def test_processes_share_uploads_through_their_folder(tmp_path: Path) -> None:
    key = Uploads(tmp_path).add(picture("red"))
    kept = Uploads(tmp_path).get(key)
    assert kept is not None
    assert kept.data == picture("red")


@pytest.mark.parametrize("key", ["../secret", "", "0" * 24, "0" * 25, "x" * 24])
def test_a_key_that_was_not_given_out_is_no_upload(tmp_path: Path, key: str) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "uploads").mkdir()
    assert Uploads(tmp_path / "uploads").get(key) is None


def test_more_of_a_long_list_is_a_link_away(client: FlaskClient, photos: Path, index: Build) -> None:
    for number in range(70):
        paint(photos / f"{number}.png", "red", (24 + number, 16))
    index(photos)
    html = page(client, "/search?q=red")
    assert len(tiles(html)) == 60
    (link,) = re.findall(r'href="([^"]+)" data-more', html)
    further = page(client, unescape(link))
    assert len(tiles(further)) == 13
    assert not set(tiles(html)) & set(tiles(further))
    assert "from the 61st on" in further
    assert "data-more" not in further
    assert len(tiles(page(client, "/search?q=red&k=73"))) == 73


def test_filters_narrow_and_each_can_be_taken_off(client: FlaskClient) -> None:
    html = page(client, "/search?q=red&format=WEBP&orientation=landscape")
    assert tiles(html) == ["blue.webp"]
    links = [unescape(link) for link in re.findall(r'href="([^"]+)" aria-label="Without the filter', html)]
    assert links == ["/search?q=red&orientation=landscape", "/search?q=red&format=WEBP"]
    assert len(tiles(page(client, links[0]))) == 3
    assert '<option value="WEBP" selected>' in html


def test_a_new_query_keeps_the_filters(client: FlaskClient) -> None:
    html = page(client, "/search?q=red&format=WEBP")
    form = html[html.index("<form") : html.index("</form>")]
    assert '<input type="hidden" name="format" value="WEBP">' in form
    assert asked(client, q="green", format="WEBP") == "/search?q=green&format=WEBP"


def test_filters_that_let_nothing_through_say_so(client: FlaskClient) -> None:
    html = page(client, "/search?q=red&min_side=4096")
    assert "No picture is what the filters ask for" in html
    assert 'href="/search?q=red"' in html


def test_a_sum_of_texts_ids_and_the_upload_is_asked(client: FlaskClient, collection: Collection) -> None:
    by_name = {Path(path).name: known.id for path, known in collection.catalog.known_files("/").items()}
    sums = f'"white" - id:{by_name["blue.webp"]} - "green"'
    assert tiles(page(client, f"/search?q={quote_plus(sums)}"))[0] == "red.png"
    url = asked(client, q='"white" - upload:1 - "green"', image=(io.BytesIO(picture("blue")), "a.png"))
    assert tiles(page(client, url))[0] == "red.png"
    page(client, "/search?q=" + quote_plus('"red" + id:99'), 404)
    assert "There is no upload:1; 0 came with the query" in page(client, "/search?q=upload:1", 400)
    assert tiles(page(client, "/search?q=" + quote_plus('"red" + ./nowhere.png')))  # a path is a text here


def test_a_filter_is_written_and_kept(client: FlaskClient) -> None:
    html = page(client, "/search?q=red&where=-format:png+-folder:trip")
    assert tiles(html) == ["green.bmp"]
    assert 'name="where" value="-format:png -folder:trip"' in html
    assert asked(client, q="blue", where="width<9") == "/search?q=blue&where=width%3C9"


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("kamera:x", "Unknown field 'kamera'; did you mean camera?"),
        ('camera:"', "The quote in"),
        ("tag:dog", "'dog'"),
        ("width>=-1", "'-1' is no whole number"),
    ],
)
def test_a_filter_that_cannot_be_read_is_kept_with_what_is_wrong_beside_it(
    client: FlaskClient, where: str, said: str
) -> None:
    answer = client.get("/search", query_string={"q": "red", "where": where})
    html = answer.get_data(as_text=True)
    assert answer.status_code == 400
    field = re.search(r'<input name="where" value="([^"]*)"[^<]*aria-describedby="wrong"', html)
    assert field
    assert unescape(field[1]) == where
    wrong = re.search(r'<p class="wrong" id="wrong" role="alert">([^<]*)</p>', html)
    assert wrong
    assert said in unescape(wrong[1])
    assert 'href="/search?q=red"' in html
    assert not tiles(html)


def test_an_absolute_folder_is_one_below_a_followed_one(client: FlaskClient, photos: Path) -> None:
    assert not tiles(page(client, f"/search?q=red&where=folder:{photos}"))
    assert tiles(page(client, "/search?q=red&where=folder:/trip/")) == ["blue.webp"]


def test_filters_are_offered_for_what_the_pictures_differ_in(client: FlaskClient) -> None:
    html = page(client, "/search?q=red")
    assert re.findall(r'<option value="([A-Z]+)"', html) == ["BMP", "PNG", "WEBP"]
    assert 'name="from"' not in html
    assert 'name="camera"' not in html


def test_words_behind_a_minus_are_taken_away(client: FlaskClient) -> None:
    assert tiles(page(client, "/search?q=white+-blue+-green"))[0] == "red.png"


def test_the_same_picture_elsewhere_is_named_on_its_page(client: FlaskClient, photos: Path, index: Build) -> None:
    (photos / "copy of red.png").write_bytes((photos / "red.png").read_bytes())
    index(photos)
    html = page(client, "/search?q=red")
    for link in re.findall(r'href="(/images/\d+)"', html)[:2]:
        other = page(client, link)
        assert "The same file elsewhere" in other
    assert "The same file elsewhere" not in page(client, re.findall(r'href="(/images/\d+)"', html)[2])


def test_captions_are_shown_with_their_pictures(client: FlaskClient) -> None:
    html = page(client, "/search?q=red&target=texts")
    assert "<p>a wall painted &lt;b&gt;red&lt;/b&gt;</p>" in html


def test_pictures_and_captions_together_come_page_by_page(client: FlaskClient) -> None:
    html = page(client, "/search?q=red&target=both")
    said = "a wall painted &lt;b&gt;red&lt;/b&gt;"
    assert sorted(tiles(html)) == sorted(["blue.webp", "green.bmp", "red.png", said])
    assert "3 pictures and 1 caption, strongest first" in html
    assert 'name="sort"' not in html
    url, found = "/search?q=red&target=both&k=3", []
    while url:
        paged = page(client, url)
        found += tiles(paged)
        url = next((unescape(link) for link in re.findall(r'href="([^"]*)" data-more', paged)), "")
    assert found == tiles(html)


def test_what_is_sorted_or_grouped_can_be_asked_for_together_too(client: FlaskClient) -> None:
    html = page(client, "/search?q=red&folder=trip&sort=newest&group=yes")
    assert 'href="/search?q=red&amp;target=both&amp;folder=trip"' in html
    assert "leave sort, group and diverse out" in page(client, "/search?q=red&target=both&sort=newest", 400)


def test_the_page_of_an_image_has_its_facts_captions_and_neighbours(client: FlaskClient) -> None:
    html = page(client, f"/images/{id_of(client, 'red')}")
    assert re.search(r"24 . 16 pixels", html)
    assert "<li>a wall painted &lt;b&gt;red&lt;/b&gt;</li>" in html
    assert sorted(tiles(html)) == ["blue.webp", "green.bmp"]
    other = page(client, f"/images/{id_of(client, 'blue')}")
    assert "Nearest captions of other pictures" in other
    assert '<p class="folder">trip</p>' in other


def test_more_like_this_leaves_the_picture_itself_out(client: FlaskClient) -> None:
    html = page(client, f"/search?id={id_of(client, 'red')}")
    assert sorted(tiles(html)) == ["blue.webp", "green.bmp"]


def test_the_status_tells_counts_builds_and_failures(client: FlaskClient, photos: Path, index: Build) -> None:
    (photos / "trip" / "broken.png").write_bytes(b"no picture")
    index(photos)
    html = page(client, "/status")
    assert "generation 1" in html
    assert "<td>trip/broken.png</td>" in html
    assert str(photos.parent) not in html


def test_a_place_of_room_is_kept_for_every_picture(client: FlaskClient) -> None:
    html = page(client, "/")
    images = re.findall(r"<img [^>]*thumbnail[^>]*>", html)
    assert len(images) == 3
    for image in images:
        assert 'width="24" height="16"' in image
        assert re.search(r'alt="[^"]+"', image)
        assert 'loading="lazy"' in image


def test_every_ratio_that_a_tile_may_have_is_in_the_stylesheet(client: FlaskClient) -> None:
    with client.get(f"{client.application.static_url_path}/grid.css") as answer:
        css = answer.get_data(as_text=True)
    rules = [(int(number), float(ratio)) for number, ratio in re.findall(r"\.ratio-(\d+) { --ratio: ([\d.]+); }", css)]
    expected = [(n - NARROWEST, RATIO_STEP**n) for n in range(NARROWEST, WIDEST + 1)]
    assert [number for number, _ in rules] == [number for number, _ in expected]
    assert [ratio for _, ratio in rules] == pytest.approx([ratio for _, ratio in expected], abs=1e-3)


def test_links_stay_in_the_collection_that_was_chosen(
    collection: Collection, encoder: ColorEncoder, photos: Path, index: Build, tmp_path: Path
) -> None:
    index(photos)
    other = Collection.create(tmp_path / "other", encoder.identity)
    client = create_app([other, collection], lambda _model: encoder).test_client()
    html = page(client, "/search?q=red&collection=collection")
    assert tiles(html)[0] == "red.png"
    links = re.findall(r'(?:href|src)="(/(?:images|media|status|search)[^"]*)"', html)
    assert links
    assert all("collection=collection" in link for link in links)
    assert "No pictures yet" in page(client, "/")
    moved = asked(client, q="red", id="1", asked_in="collection", collection="other")
    assert moved == "/search?q=red"


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("/images/99", 404),
        ("/search?id=99", 404),
        ("/search?id=x", 400),
        ("/search?q=red&k=0", 400),
        ("/search?q=red&k=1001", 400),
        ("/search?q=red&target=x", 400),
        ("/?collection=nowhere", 404),
        ("/nothing", 404),
    ],
)
def test_what_cannot_be_shown_is_told_on_a_page(client: FlaskClient, url: str, status: int) -> None:
    html = page(client, url, status)
    assert "Start page" in html
    assert "Traceback" not in html


def test_text_from_outside_is_never_markup(client: FlaskClient) -> None:
    html = page(client, "/search?q=%22%3E%3Cscript%3Ealert(1)%3C/script%3E")
    assert "<script>alert" not in html


def test_every_answer_keeps_to_itself(client: FlaskClient) -> None:
    static = f"{client.application.static_url_path}/base.css"
    for url in ("/", "/search?q=red", "/images/99", "/api/v1/health", static):
        with client.get(url) as answer:
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Referrer-Policy"] == "same-origin"


def test_pages_hold_no_inline_code_and_nothing_from_other_hosts(client: FlaskClient) -> None:
    for url in ("/", "/search?q=red", "/search?q=red&target=texts", f"/images/{id_of(client, 'red')}", "/status", "/x"):
        html = client.get(url).get_data(as_text=True)
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:|<script(?! type=\"module\" src=)", html)
        hosts = {urlsplit(unescape(link)).netloc for link in re.findall(r'(?:href|src|action)="([^"]*)"', html)}
        assert hosts == {""}


def test_a_local_models_folder_is_not_shown(tmp_path: Path, encoder: ColorEncoder) -> None:
    identity = EncoderIdentity("/secret/place/colors", "mean color", "0" * 64, 4, "8x8, squash")
    client = create_app([Collection.create(tmp_path / "c", identity)], lambda _model: encoder).test_client()
    for url in ("/status", "/api/v1/collections"):
        assert "secret" not in page(client, url)


def test_a_very_wide_picture_fits_the_grid(client: FlaskClient, photos: Path, index: Build) -> None:
    Image.new("RGB", (2000, 10), "red").save(photos / "line.png")
    Image.new("RGB", (10, 2000), "red").save(photos / "post.png")
    index(photos)
    html = page(client, "/")
    assert f"ratio-{WIDEST - NARROWEST}" in html
    assert "ratio-0" in html


@pytest.fixture
def edited(client: FlaskClient, photos: Path, index: Build) -> Image.Image:
    """A picture with a lot to see, of which the collection has the file, a copy and its left half, mirrored."""
    image = drawn(np.random.default_rng(7), (400, 300))
    image.save(photos / "seven.png")
    shutil.copy(photos / "seven.png", photos / "trip" / "seven again.png")
    ImageOps.mirror(image.crop((0, 0, 200, 300))).save(photos / "half.png")
    index(photos)
    return image


def same(html: str) -> list[tuple[str, str]]:
    """Verdict and path of the images that stand apart."""
    listed = re.search(r'<ul class="same".*?</ul>', html, re.DOTALL)
    return re.findall(r'</a>\s*<p>(.*?)</p>\s*<p class="quiet">(.*?)</p>', listed[0], re.DOTALL) if listed else []


def file_of(image: Image.Image, kind: str) -> io.BytesIO:
    file = io.BytesIO()
    image.save(file, kind)
    file.seek(0)
    return file


def test_the_same_picture_stands_apart_from_what_is_like_it(client: FlaskClient, edited: Image.Image) -> None:
    right = file_of(edited.crop((120, 0, 400, 300)), "PNG")
    html = page(client, asked(client, image=(right, "right.png")))
    assert sorted(same(html)) == [
        ("Edited: cropped to 70 % of it.", "seven.png"),
        ("Edited: cropped to 70 % of it.", "trip/seven again.png"),
    ]
    assert "The same picture is here 2 times" in html
    assert {"red.png", "half.png"} < set(tiles(html)), "which shows too little of the same"
    assert not {"seven.png", "seven again.png"} & set(tiles(html))
    corners = [tuple(map(float, point.split(","))) for point in re.findall(r'points="(.*?)"', html)[0].split()]
    wanted = [(120, 0), (400, 0), (400, 300), (120, 300)]
    assert np.array(sorted(corners)) == pytest.approx(np.array(sorted(wanted)), abs=6)


def test_a_file_that_is_here_is_told_as_identical_and_its_edits_too(client: FlaskClient, edited: Image.Image) -> None:
    html = page(client, asked(client, image=(file_of(edited, "PNG"), "IMG_1.png")))
    found = dict(map(reversed, same(html)))
    assert found["seven.png"] == found["trip/seven again.png"] == "Identical file."
    assert found["half.png"] == "Edited: mirrored, within a larger picture, of which it fills 50 %."
    html = page(client, asked(client, image=(file_of(edited, "BMP"), "IMG_1.bmp")))
    assert ("Same pixels in another file.", "seven.png") in same(html)


def test_an_image_is_looked_up_where_that_is_asked(client: FlaskClient, edited: Image.Image) -> None:
    hits = client.get("/api/v1/search?q=red&k=10").get_json()["hits"]
    half = next(hit["id"] for hit in hits if hit["image"]["name"] == "half.png")
    link = f"/search?id={half}&amp;same=yes"
    assert link in page(client, f"/images/{half}")
    html = page(client, unescape(link))
    assert {path for _, path in same(html)} == {"seven.png", "trip/seven again.png"}
    assert {words for words, _ in same(html)} == {"Edited: mirrored, cropped to 50 % of it."}
    assert same(page(client, f"/search?id={half}")) == []


def test_what_is_not_here_is_told_and_what_is_like_it_shown(client: FlaskClient, edited: Image.Image) -> None:
    other = file_of(drawn(np.random.default_rng(8), (400, 300)), "PNG")
    html = page(client, asked(client, image=(other, "other.png")))
    assert "The same picture is not here, edited or not" in html
    assert same(html) == []
    assert "seven.png" in tiles(html)


def test_where_nobody_can_tell_the_page_says_so(
    collection: Collection, encoder: ColorEncoder, photos: Path, index: Build
) -> None:
    index(photos, keypoints=0)
    client = create_app([collection], lambda _model: encoder).test_client()
    for file in photos.glob("**/*.*"):
        file.unlink()
    html = page(client, asked(client, image=(io.BytesIO(picture("green")), "a.png")))
    assert "Whether the same picture is here cannot be told" in html
    assert "3 pictures near to it came without local features, and the files are gone" in html


@pytest.mark.parametrize("more", ["q=red", "folder=trip", "sort=newest", "target=texts"])
def test_only_a_picture_alone_is_looked_up(client: FlaskClient, edited: Image.Image, more: str) -> None:
    url = asked(client, image=(file_of(edited, "PNG"), "a.png"))
    assert same(page(client, url))
    html = page(client, f"{url}&{more}")
    assert same(html) == []
    assert "same picture is" not in html


def test_near_identical_hits_are_shown_as_one_where_that_is_chosen(
    client: FlaskClient, photos: Path, index: Build, searcher: Searcher
) -> None:
    for number in range(4):
        paint(photos / f"rose {number}.png", "red", (30 + number, 20))
    index(photos)
    html = page(client, "/search?q=red")
    assert tiles(html)[:5] == ["red.png", *(f"rose {number}.png" for number in range(4))]
    html = page(client, "/search?q=red&group=yes")
    assert len(tiles(html)) == 3
    assert tiles(html)[0] == "red.png"
    assert '<span class="alike" title="4 more that are almost the same">+4' in html
    assert re.search(r'name="group" value="yes" checked', html)
    html = page(client, "/search?q=red&diverse=yes")
    assert tiles(html) == [hit.path.name for hit in searcher.page([TextTerm("red")], diverse=True).hits]
    assert 'href="/search?q=red&amp;group=yes"' not in html
    assert asked(client, q="blue", group="yes", diverse="yes") == "/search?q=blue&group=yes&diverse=yes"


@pytest.mark.parametrize("narrowed", ["", "&min_side=1"])
def test_the_order_that_is_told_is_the_one_that_was_chosen(client: FlaskClient, narrowed: str) -> None:
    nearest, diverse = (page(client, f"/search?q=red{more}{narrowed}") for more in ("", "&diverse=yes"))
    assert nearest.count("nearest first") == 2, "above the pictures, and as the name of their list"
    assert diverse.count("mixed for variety") == 2
    assert "earest first" not in diverse


def test_a_picture_is_encoded_once_for_its_search_lookup_and_further_pages(
    client: FlaskClient, encoder: ColorEncoder
) -> None:
    before = encoder.encoded
    url = asked(client, image=(io.BytesIO(picture("yellow")), "a.png"))
    assert "The same picture is not here" in page(client, f"{url}&k=1")
    assert encoder.encoded == before + 1
    assert len(tiles(page(client, f"{url}&k=1&after=1.1"))) == 1
    assert encoder.encoded == before + 1
    page(client, asked(client, image=(io.BytesIO(picture("cyan")), "a.png")))
    assert encoder.encoded == before + 2


def test_a_text_is_encoded_once_for_all_pages_of_its_hits(client: FlaskClient, encoder: ColorEncoder) -> None:
    url = "/search?q=cyan+and+magenta&k=1"
    page(client, url)
    assert len(tiles(page(client, f"{url}&after=1.1"))) == 1
    assert encoder.texts.count("cyan and magenta") == 1


def test_an_order_of_time_is_not_diverse(client: FlaskClient) -> None:
    html = page(client, "/search?q=red&sort=newest&diverse=yes")
    assert 'name="diverse"' not in html
    assert client.get("/search?q=red&group=maybe").status_code == 400


def test_an_error_keeps_what_was_asked_and_not_refused(client: FlaskClient) -> None:
    html = client.get("/search?q=-red&folder=trip&target=texts&k=5000&sort=never").get_data(as_text=True)
    assert 'value="-red"' in html
    for name, value in (("folder", "trip"), ("target", "texts")):
        assert f'<input type="hidden" name="{name}" value="{value}">' in html
    assert "never" not in html.partition("<form")[2].partition("</form>")[0]
    broken = {"image": (io.BytesIO(b"no picture"), "a.png"), "q": "red", "folder": "trip"}
    html = client.post("/search", data=broken).get_data(as_text=True)
    assert 'value="red"' in html
    assert '<input type="hidden" name="folder" value="trip">' in html


def test_a_filter_that_nobody_offers_stays_in_its_form(client: FlaskClient) -> None:
    html = page(client, "/search?q=red&from=2008&camera=nikon&min_side=3&format=jpg&tag=")
    form = html.partition('<details class="filters"')[2].partition("</form>")[0]
    assert '<input type="text" name="from" value="2008">' in form
    for value, label in (("nikon", "nikon"), ("3", "3 px or more"), ("jpg", "jpg")):
        assert f'<option value="{value}" selected>{label}</option>' in form


def test_another_collection_is_not_asked_for_what_only_one_has(
    collection: Collection, encoder: ColorEncoder, photos: Path, index: Build, tmp_path: Path
) -> None:
    index(photos)
    other = Collection.create(tmp_path / "other", encoder.identity)
    client = create_app([collection, other], lambda _model: encoder).test_client()
    narrowed = {"folder": "trip", "tag": "dog", "format": "PNG", "camera": "x", "min_side": "256"}
    assert asked(client, q="red", **narrowed, asked_in="collection", collection="collection").count("=") == 6
    moved = asked(client, q="red", **narrowed, asked_in="collection", collection="other")
    assert moved == "/search?q=red&min_side=256&collection=other"
    assert "python -m indexer build FOLDER --collection …/other" in page(client, "/?collection=other")
