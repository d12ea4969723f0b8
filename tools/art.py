"""Emoji art with a free licence -> named things and their sprites.

Packages come from npm into `tools/.art`, which git ignores; `python -m tools.art` fetches them and renders sprites.
"""

import json
import re
import subprocess
import sys
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import resvg_py  # type: ignore[import-not-found, import-untyped, unused-ignore]
from numpy.typing import NDArray
from PIL import Image

from tools.scenes import Thing

CACHE = Path(__file__).parent / ".art"
NAMES_PACKAGE = "cldr-annotations-full@48.2.0"
SPRITE_PIXELS = 96


@dataclass(frozen=True)
class Style:
    """One hand that drew the whole set: its npm package of `@iconify-json`, and whom its licence asks to name."""

    name: str
    icons: str
    title: str
    author: str
    license: str
    source: str  # a repository on GitHub

    @property
    def package(self) -> str:
        """What npm calls it, with the version."""
        return f"@iconify-json/{self.icons}"


STYLES = {
    style.name: style
    for style in (
        Style("noto", "noto@1.2.9", "Noto Emoji", "Google Inc", "Apache-2.0", "googlefonts/noto-emoji"),
        Style("noto-v1", "noto-v1@1.2.5", "Noto Emoji v1", "Google Inc", "Apache-2.0", "googlefonts/noto-emoji"),
        Style("twemoji", "twemoji@1.2.5", "Twemoji", "Twitter and others", "CC-BY-4.0", "jdecked/twemoji"),
        Style("emojione", "emojione@1.2.3", "EmojiOne 2.3", "EmojiOne", "CC-BY-4.0", "EmojiTwo/emojitwo"),
        Style("fxemoji", "fxemoji@1.2.2", "Firefox OS Emoji", "Mozilla", "Apache-2.0", "mozilla/fxemoji"),
        Style("fluent", "fluent-emoji-flat@1.2.6", "Fluent Emoji", "Microsoft", "MIT", "microsoft/fluentui-emoji"),
    )
}
UNSEEN_STYLE = "fluent"  # never drawn in training: it measures how far the names carry
TRAIN_STYLES = tuple(style for style in STYLES if style != UNSEEN_STYLE)

# Signs that carry no picture of a thing, and groups that differ only in a letter, a line or a shade at 96 pixels.
LEFT_OUT = re.compile(
    r"""skin\ tone|keycap|flag$|o.clock|-thirty|button|\bsign\b|\barrows?\b|^(man|woman|men|women)\b|family|pointing
    |^(Aries|Taurus|Gemini|Cancer|Leo|Virgo|Libra|Scorpio|Sagittarius|Capricorn|Aquarius|Pisces|Ophiuchus|zzz|SOS)$
    |(circle|square|diamond)$|triangle\ pointed|prohibited|^no\ |exclamation|question|asterisk|\bloop$|wavy\ dash
    |^(plus|minus|multiply|divide|pound|heavy\ equals\ sign|copyright|registered|trade\ mark|circled\ M|information)$
    |^(waxing|waning|first\ quarter|last\ quarter).*moon$|^speaker\ |hair$|\bmark$|volume|bald|wards|-facing\ fist
    |^deaf\ |^pregnant\ (man|person)|^front-facing|^Mx\ |tilted|middle\ finger|^input\ |symbol$
    |^grinning\ face\ with\ smiling|^kissing\ (face\ with\ smiling|cat)|^slightly\ frowning|^head\ shaking
    |^(hushed|anguished|persevering|weary|tired|shaking|distorted|expressionless|unamused|relieved|confounded)\ face
    |^(downcast|dotted\ line)\ face|^face\ with\ (diagonal|open\ eyes)|but\ relieved|sun\ behind\ (small|large)
    |^oncoming|^locked\ with\ pen|^open\ file|^(railway|tram)\ car$|^(minibus|trolleybus|light\ rail|mountain\ railway)$
    |^(high-speed\ train|e-mail|dvd|metro|ledger)$|(euro|pound|yen)\ banknote|with\ yen$|^(left\ speech|right\ anger)
    |^vibration|^mobile\ phone\ off|^(non-)?potable|^(customs|passport|baggage|left\ luggage|restroom|water\ closet)$
    |^(placard|label|bookmark|splatter|sparkle|wireless|place\ of\ worship|currency\ exchange|antenna\ bars)$
    |^(name\ badge|hairy\ creature|landslide|pouring\ liquid)$|^children\ crossing|^diamond\ with|^dotted\ six
    |^eight-pointed|^passport|^baggage|^moon\ viewing|^fish\ cake""",
    re.VERBOSE | re.IGNORECASE,
)


def fetch() -> None:
    """Download every package that is not in the cache yet."""
    for package in [style.package for style in STYLES.values()] + [NAMES_PACKAGE]:
        if not (folder := _folder(package)).is_dir():
            folder.mkdir(parents=True)
            pack: list[str | Path] = ["npm", "pack", "--silent", "--pack-destination", CACHE, package]
            packed = subprocess.run(pack, check=True, capture_output=True, text=True).stdout.split()[-1]
            subprocess.run(["tar", "-xzf", CACHE / packed, "-C", folder, "--strip-components=1"], check=True)
    (CACHE / ".gitignore").write_text("*\n")


def load_things(styles: Iterable[str] = TRAIN_STYLES) -> list[Thing]:
    """Every thing that at least one of the styles has, in the order of the CLDR."""
    drawn = {style: frozenset(_icons(style)) for style in styles}
    things = []
    for symbol, (name, keywords) in _annotations().items():
        having = tuple(style for style, symbols in drawn.items() if symbol in symbols)
        if having and not LEFT_OUT.search(name):
            things.append(Thing(name, keywords, having))
    return things


class Sprites:
    """Trimmed RGBA pictures of things: small ones from the rendered cache, large ones rendered when asked."""

    def __init__(self) -> None:
        self._symbols = {name: symbol for symbol, (name, _) in _annotations().items()}
        self._rows: dict[str, dict[str, int]] = {}
        self._pixels: dict[str, NDArray[np.uint8]] = {}

    def __call__(self, name: str, style: str, pixels: int) -> Image.Image:
        """The thing in a style, RGBA, its longer side at least `pixels` if above SPRITE_PIXELS, else SPRITE_PIXELS."""
        if pixels > SPRITE_PIXELS:
            return render(_icons(style)[self._symbols[name]], pixels)
        if style not in self._pixels:
            self._open(style)
        return Image.fromarray(self._pixels[style][self._rows[style][name]])

    def _open(self, style: str) -> None:
        names = CACHE / f"{style}-{SPRITE_PIXELS}.json"
        if not names.exists():
            render_style(style)
        self._rows[style] = {name: row for row, name in enumerate(json.loads(names.read_text()))}
        self._pixels[style] = np.load(names.with_suffix(".npy"), mmap_mode="r")


def render_style(style: str) -> None:
    """Render every thing of a style once: (n, SPRITE_PIXELS, SPRITE_PIXELS, 4) uint8 beside the list of names."""
    names = [thing.name for thing in load_things([style])]
    symbols = {name: symbol for symbol, (name, _) in _annotations().items()}
    pixels = np.stack([np.asarray(render(_icons(style)[symbols[name]], SPRITE_PIXELS)) for name in names])
    np.save(CACHE / f"{style}-{SPRITE_PIXELS}.npy", pixels)
    (CACHE / f"{style}-{SPRITE_PIXELS}.json").write_text(json.dumps(names))


def render(svg: str, pixels: int) -> Image.Image:
    """An SVG -> RGBA (pixels, pixels), trimmed to what is drawn and centred."""
    large = Image.open(BytesIO(resvg_py.svg_to_bytes(svg_string=svg, width=2 * pixels, skip_system_fonts=True)))
    trimmed = large.convert("RGBA").crop(large.getchannel("A").getbbox())
    scale = pixels / max(trimmed.size)
    width, height = (max(1, round(side * scale)) for side in trimmed.size)
    fitted = trimmed.resize((width, height), Image.Resampling.LANCZOS)
    square = Image.new("RGBA", (pixels, pixels))
    square.paste(fitted, ((pixels - fitted.width) // 2, (pixels - fitted.height) // 2))
    return square


@lru_cache
def _annotations() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Symbol without variation selectors -> (name, keywords), from the CLDR's English annotations."""
    read = json.loads((_folder(NAMES_PACKAGE) / "annotations/en/annotations.json").read_text(encoding="utf-8"))
    entries: dict[str, dict[str, list[str]]] = read["annotations"]["annotations"]
    return {
        symbol.replace("\ufe0f", ""): (name, tuple(word for word in entry.get("default", ()) if word != name))
        for symbol, entry in entries.items()
        for name in entry.get("tts", ())[:1]
    }


@lru_cache
def _icons(style: str) -> dict[str, str]:
    """Symbol -> SVG, matched by code point where the package lists them, else by name."""
    folder = _folder(STYLES[style].package)
    icons: dict[str, Any] = json.loads((folder / "icons.json").read_text(encoding="utf-8"))
    by_slug = _symbols_by_slug()
    named = {name: by_slug[_slug(name)] for name in icons["icons"] if _slug(name) in by_slug}
    symbols = {symbol: name for name, symbol in named.items()}
    for points, name in json.loads((folder / "chars.json").read_text()).items():
        if name in icons["icons"]:
            symbols["".join(chr(int(point, 16)) for point in points.split("-") if point != "fe0f")] = name
    return {symbol: _svg(icons, name) for symbol, name in symbols.items()}


def _svg(icons: dict[str, Any], name: str) -> str:
    icon = icons["icons"][name]
    width, height = icon.get("width", icons.get("width", 16)), icon.get("height", icons.get("height", 16))
    box = f'viewBox="{icon.get("left", 0)} {icon.get("top", 0)} {width} {height}" width="{width}" height="{height}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {box}>{icon["body"]}</svg>'


def _symbols_by_slug() -> dict[str, str]:
    """Slug of the CLDR name, and of the Unicode name, -> symbol."""
    slugs: dict[str, str] = {}
    for symbol, (name, _) in _annotations().items():
        if len(symbol) == 1 and (formal := unicodedata.name(symbol, "")):
            slugs.setdefault(_slug(formal), symbol)
        slugs[_slug(name)] = symbol
    return slugs


def _slug(name: str) -> str:
    return re.sub("[^a-z0-9]", "", name.lower())


def _folder(package: str) -> Path:
    return CACHE / re.sub("[@/]", "_", package)


def main() -> int:
    """Fetch the packages, render the sprites, say what is there."""
    fetch()
    for style in STYLES:
        render_style(style)
        print(f"{style:10} {len(load_things([style])):5} things  {STYLES[style].license}")
    print(f"{'training':10} {len(load_things()):5} names")
    return 0


if __name__ == "__main__":
    sys.exit(main())
