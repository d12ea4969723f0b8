"""search/image.py and the modules behind it: files that the tests make, and the shared samples where they are."""

from __future__ import annotations

import hashlib
import io
import os
import struct
import subprocess
import sys
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageChops, ImageCms, ImageOps, ImageStat, TiffImagePlugin

from search.errors import BadPicture
from search.image import MOST_SCANS, SCALED, SUFFIXES, decode_here, decode_picture, digest_of
from search.paths import read_file
from search.signatures import apart_format_of
from search.types import Facts, Picture

PROJECT = Path(__file__).resolve().parents[1]
SHARED = PROJECT.parent / "shared" / "data"
Base, Gps = ExifTags.Base, ExifTags.GPS

# What makes stored pixels of an upright picture, for each EXIF orientation: the inverse of what a reader does.
STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.fixture(scope="module", autouse=True)
def heif_writer() -> None:
    import pillow_heif

    pillow_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False)


def quarters(width: int = 96, height: int = 64) -> Image.Image:
    """Red, green, blue and white quarters, in reading order."""
    image = Image.new("RGB", (width, height), "white")
    image.paste((200, 30, 30), (0, 0, width // 2, height // 2))
    image.paste((30, 160, 30), (width // 2, 0, width, height // 2))
    image.paste((30, 30, 200), (0, height // 2, width // 2, height))
    return image


def encoded(image: Image.Image, format: str, **options: Any) -> bytes:  # noqa: A002
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def decoded(data: bytes, max_pixels: int = 10_000_000) -> Picture:
    return decode_picture(data, max_pixels=max_pixels)


def refusal(data: bytes, max_pixels: int = 10_000_000) -> str:
    with pytest.raises(BadPicture) as refused:
        decode_picture(data, max_pixels=max_pixels)
    return str(refused.value)


def difference(one: Image.Image, other: Image.Image) -> float:
    """Mean absolute difference of all channels, 0 to 255."""
    assert one.size == other.size
    return float(np.mean(ImageStat.Stat(ImageChops.difference(one.convert("RGB"), other.convert("RGB"))).mean))


def facts(data: bytes) -> Facts:
    return decoded(data).facts


def with_exif(format: str = "JPEG", **tags: Any) -> bytes:  # noqa: A002
    """A picture with EXIF tags by their names; those of the Exif and GPS directories go there."""
    exif = Image.Exif()
    for name, value in tags.items():
        if name.startswith("GPS"):
            exif.get_ifd(ExifTags.IFD.GPSInfo)[Gps[name]] = value
        elif name in ("DateTimeOriginal", "DateTimeDigitized", "LensModel", "UserComment"):
            exif.get_ifd(ExifTags.IFD.Exif)[Base[name]] = value
        else:
            exif[Base[name]] = value
    return encoded(quarters(), format, exif=exif.tobytes())


# ---- formats and modes

COLOR_FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "BMP", "DIB", "JPEG2000", "PPM", "TGA", "SGI", "PCX", "HEIF")


@pytest.mark.parametrize("format_", COLOR_FORMATS)
def test_a_color_picture_keeps_its_colors_in_every_format(format_: str) -> None:
    picture = decoded(encoded(quarters(), format_))
    assert picture.image.mode == "RGB"
    assert difference(picture.image, quarters()) < 6
    assert picture.facts == Facts(width=96, height=64, format=format_)


@pytest.mark.parametrize(
    ("format_", "mode"),
    [
        *(("PNG", mode) for mode in ("1", "L", "LA", "P", "RGBA")),
        *(("TIFF", mode) for mode in ("1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "LAB")),
        *(("JPEG", mode) for mode in ("L", "CMYK")),
        *(("BMP", mode) for mode in ("1", "L", "P", "RGBA")),
        *(("TGA", mode) for mode in ("L", "LA", "P", "RGBA")),
        *(("GIF", mode) for mode in ("1", "L", "P")),
        *(("WEBP", "RGBA"), ("AVIF", "RGBA"), ("HEIF", "RGBA"), ("PPM", "L"), ("PPM", "1"), ("ICO", "RGBA")),
    ],
)
def test_every_mode_becomes_rgb_as_pillow_shows_it(format_: str, mode: str) -> None:
    source = quarters(64, 64)
    if mode == "LAB":
        profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        image = ImageCms.profileToProfile(source, *profiles, outputMode="LAB")
    else:
        image = source.convert("L").convert("LA") if mode == "LA" else source.convert(mode)
    assert image is not None
    options: dict[str, Any] = {"sizes": [(64, 64)]} if format_ == "ICO" else {}
    expected = image if mode in ("1", "L", "LA", "P") else source
    assert difference(decoded(encoded(image, format_, **options)).image, expected) < 8


def test_content_decides_not_the_name() -> None:
    assert "png" in {suffix[1:] for suffix in SUFFIXES}
    assert facts(encoded(quarters(), "WEBP")).format == "WEBP"


def test_the_first_of_several_frames_is_taken() -> None:
    frames = [Image.new("RGB", (40, 30), color) for color in ("red", "blue")]
    for format_ in ("GIF", "PNG", "WEBP", "TIFF", "MPO", "AVIF"):
        picture = decoded(encoded(frames[0], format_, save_all=True, append_images=frames[1:]))
        assert difference(picture.image, frames[0]) < 6, format_


def gray_steps(mode: str, values: list[float]) -> Image.Image:
    dtype = {"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode]
    return Image.fromarray(np.repeat(np.array([values], dtype=dtype), 8, axis=0))


@pytest.mark.parametrize(
    ("format_", "mode", "values", "shown"),
    [
        ("PNG", "I;16", [0, 32896, 65535], [0, 128, 255]),
        ("TIFF", "I;16", [0, 32896, 65535], [0, 128, 255]),
        ("TIFF", "I;16", [0, 2056, 4095], [0, 128, 255]),  # 12 bits in a file of 16
        ("TIFF", "I", [0, 32896, 65535], [0, 128, 255]),
        ("TIFF", "F", [0.0, 0.5, 1.0], [0, 128, 255]),
        ("TIFF", "F", [0.0, 128.0, 255.0], [0, 128, 255]),
        ("TIFF", "F", [-10.0, 0.0, 10.0], [0, 128, 255]),
        ("TIFF", "F", [7.0, 7.0, 7.0], [7, 7, 7]),
    ],
)
def test_deep_gray_is_scaled_not_clipped(format_: str, mode: str, values: list[float], shown: list[int]) -> None:
    image = decoded(encoded(gray_steps(mode, values), format_)).image
    assert [image.getpixel((x, 0)) for x in range(3)] == [pytest.approx((value,) * 3, abs=1) for value in shown]


def test_values_that_are_not_finite_are_refused() -> None:
    assert "not finite" in refusal(encoded(gray_steps("F", [float("nan"), 1, 2]), "TIFF"))


@pytest.mark.parametrize("format_", ["PNG", "WEBP", "TIFF", "AVIF", "HEIF", "TGA"])
def test_transparency_becomes_white(format_: str) -> None:
    image = Image.new("RGBA", (40, 40), (255, 0, 0, 0))
    image.paste((0, 0, 255, 255), (0, 0, 20, 40))
    picture = decoded(encoded(image, format_))
    assert picture.image.getpixel((5, 20)) == pytest.approx((0, 0, 255), abs=6)
    assert picture.image.getpixel((35, 20)) == pytest.approx((255, 255, 255), abs=6)


@pytest.mark.parametrize(
    ("mode", "color", "transparency"), [("L", 10, 10), ("RGB", (9, 8, 7), (9, 8, 7)), ("P", 3, 3), ("P", 3, b"\0" * 4)]
)
def test_a_transparent_color_becomes_white(mode: str, color: Any, transparency: Any) -> None:
    image = Image.new(mode, (8, 8), color)
    if mode == "P":
        image.putpalette(bytes(range(12)))
    data = encoded(image, "PNG", transparency=transparency)
    assert decoded(data).image.getpixel((4, 4)) == (255, 255, 255)


def test_half_transparent_black_is_gray() -> None:
    assert decoded(encoded(Image.new("LA", (8, 8), (0, 128)), "PNG")).image.getpixel((4, 4)) == (127, 127, 127)


def test_a_broken_ink_profile_falls_back_to_plain_inks() -> None:
    data = encoded(Image.new("CMYK", (32, 32), (0, 255, 255, 0)), "JPEG", icc_profile=b"no profile")
    assert decoded(data).image.getpixel((16, 16)) == pytest.approx((255, 0, 0), abs=6)


# ---- orientation


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_exif_orientation_is_applied_once(format_: str, orientation: int) -> None:
    stored = quarters().transpose(STORED[orientation]) if orientation in STORED else quarters()
    exif = Image.Exif()
    exif[Base.Orientation] = orientation
    picture = decoded(encoded(stored, format_, exif=exif.tobytes()))
    assert (picture.facts.width, picture.facts.height) == (96, 64)
    assert difference(picture.image, quarters()) < 6


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_a_nonsense_orientation_is_ignored(orientation: int) -> None:
    assert difference(decoded(with_exif(Orientation=orientation)).image, quarters()) < 6


# ---- limits


def png_header(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 9) + b"IDAT" + b"\0" * 13


@pytest.mark.parametrize("format_", [*COLOR_FORMATS, "GIF", "ICO", "MPO"])
def test_the_pixel_limit_names_size_limit_and_option(format_: str) -> None:
    image = quarters(256, 256)
    assert decoded(encoded(image, format_), max_pixels=256 * 256).image.size == (256, 256)
    message = refusal(encoded(image, format_), max_pixels=50_000)
    assert message == "256 x 256 = 0.065536 megapixels, over the limit of 0.05; a build takes it with --max-megapixels"


def test_a_bomb_is_refused_by_its_header() -> None:
    message = refusal(png_header(60_000, 60_000), max_pixels=128_000_000)
    assert message == "60000 x 60000 = 3600 megapixels, over the limit of 128; a build takes it with --max-megapixels"


def test_an_icon_is_refused_by_the_picture_inside() -> None:
    inside = png_header(30_000, 30_000)
    icon = struct.pack("<HHHBBBBHHII", 0, 1, 1, 16, 16, 0, 0, 1, 32, len(inside), 22) + inside
    assert refusal(icon, max_pixels=128_000_000).startswith("30000 x 30000 = 900 megapixels")


def test_the_limit_may_lie_above_the_one_of_pillow() -> None:
    data = encoded(Image.new("1", (20_000, 10_000)), "PNG")
    assert refusal(data, max_pixels=199_999_999).startswith("20000 x 10000 = 200 megapixels")
    assert refusal(png_header(20_000, 10_000), max_pixels=200_000_000).startswith("broken PNG")


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read as Linux has it")
def test_threads_decode_large_pictures_one_at_a_time(tmp_path: Path) -> None:
    (tmp_path / "large.png").write_bytes(encoded(Image.new("RGB", (5_001, 5_000)), "PNG", compress_level=1))
    code = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from search.image import decode_picture

data = Path(sys.argv[1]).read_bytes()
with ThreadPoolExecutor(8) as threads:
    list(threads.map(lambda _: decode_picture(data, max_pixels=10**8).facts, range(16)))
print(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
"""
    # With the threshold fixed, glibc hands freed pictures back at once, and the peak is that of live ones.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "1000000"}
    command = [sys.executable, "-c", code, str(tmp_path / "large.png")]
    ran = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, check=True)
    one_picture_kib = 5_001 * 5_000 * 4 // 1024
    assert int(ran.stdout) < 4 * one_picture_kib


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"])
def test_pixels_are_kept_without_the_file_that_they_came_from(format_: str) -> None:
    """Which for WebP holds a decoder with twice as many."""
    assert type(decoded(encoded(quarters(), format_)).image) is Image.Image


def test_an_icon_waits_for_its_turn_as_other_pictures_do() -> None:
    turns: list[tuple[int, int]] = []

    def room(*size: int) -> AbstractContextManager[None]:
        turns.append(size)
        return nullcontext()

    data = encoded(quarters(64, 64), "ICO", sizes=[(64, 64), (16, 16)])
    with pytest.raises(BadPicture, match="64 x 64"):
        decode_here(data, max_pixels=64 * 64 - 1, short_side=None, room=room)
    assert turns == []
    decode_here(data, max_pixels=64 * 64, short_side=None, room=room)
    assert turns[0] == (64, 64)


# ---- refusals


def test_a_jpeg_of_hundreds_of_scans_is_refused() -> None:
    """Pillow reads what lies behind the picture too; in a baseline JPEG it is not looked at."""
    scans = b"\xff\xda" * MOST_SCANS
    assert refusal(encoded(quarters(), "JPEG", progressive=True) + scans).endswith(
        f"over the limit of {MOST_SCANS}; others have ten or so"
    )
    assert decoded(encoded(quarters(), "JPEG") + scans).facts.width == 96


@pytest.mark.parametrize("head", [b"P1\n2 1\n1 0\n", b"P2 2 1 255 0 255\n", b"P3 2 1 255 0 0 0 255 255 255\n"])
def test_pixels_in_words_are_read_by_a_process_of_their_own(head: bytes) -> None:
    assert apart_format_of(head) == "PPM"
    assert np.asarray(decoded(head).image).tolist() == [[[0, 0, 0], [255, 255, 255]]]


@pytest.mark.parametrize("cut", [0.3, 0.6, 0.95])
def test_a_truncated_jpeg_is_refused_as_truncated(cut: float) -> None:
    noise = Image.effect_noise((200, 200), 90).convert("RGB")
    data = encoded(noise, "JPEG")
    assert "truncated" in refusal(data[: int(len(data) * cut)])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"a text file, not a picture\n" * 20,
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n",
        b"%PDF-1.4\n",
        b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>",
        b"\0\0\0\x20ftypisom\0\0\2\0isomiso2mp41\0\0\0\x08free" + b"\0" * 100,
        b"\0\0\0\x0cJXL \r\n\x87\n" + b"\0" * 40,
    ],
)
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    assert refusal(data) == "not a picture of a known format"


@pytest.mark.parametrize("format_", [*COLOR_FORMATS, "GIF", "ICO", "QOI"])
def test_damage_anywhere_gives_a_picture_or_one_plain_line(format_: str) -> None:
    whole = encoded(quarters(), format_)
    random = np.random.default_rng(7)
    for _ in range(40):
        data = bytearray(whole[: random.integers(8, len(whole) + 1)])
        for place in random.integers(0, len(data), 4):
            data[place] = random.integers(0, 256)
        try:
            assert decoded(bytes(data)).image.mode == "RGB"
        except BadPicture as refused:
            message = str(refused)
            assert message
            assert len(message) < 200
            assert "\n" not in message
            assert " at 0x" not in message


def test_pillow_does_not_warn_on_any_thread() -> None:
    exif = bytearray(with_exif(Make="x" * 40, Model="y" * 40))
    place = exif.index(b"Exif\0\0")
    exif[place + 18 : place + 22] = b"\xff\xff\xff\x7f"  # a count beyond the block: "Possibly corrupt EXIF data"
    with ThreadPoolExecutor(8) as threads:
        pictures = list(threads.map(decoded, [bytes(exif)] * 64))
    assert all(picture.facts.width == 96 for picture in pictures)


def test_pillow_does_not_warn_of_a_tiff_that_might_be_raw() -> None:
    tag = struct.pack("<HHII", 270, 2, 2**30, 0)  # a text that is longer than the file
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "TIFF" in refusal(b"II*\0\x08\0\0\0" + struct.pack("<H", 1) + tag + bytes(4))


def test_importing_is_light() -> None:
    heavy = "{'torch', 'faiss', 'numpy', 'rawpy', 'pillow_heif'}"
    code = f"import sys, search.image; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=PROJECT, check=False).returncode == 0


# ---- files


def test_a_file_is_read_and_digested(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"content")
    data = read_file(tmp_path / "a.jpg")
    assert data == b"content"
    assert digest_of(data) == hashlib.sha256(b"content").digest()


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.touch(), "empty file"),
        (lambda path: path.mkdir(), "cannot be read: Is a directory"),
        (lambda path: os.mkfifo(path), "not a regular file"),
        (lambda path: path.symlink_to("/dev/zero"), "not a regular file"),
        (lambda path: path.symlink_to(path), "cannot be read: Too many levels of symbolic links"),
        (lambda path: None, "cannot be read: No such file or directory"),  # noqa: ARG005
    ],
)
def test_what_cannot_be_read_says_why_and_never_blocks(tmp_path: Path, make: Any, reason: str) -> None:
    make(tmp_path / "a.jpg")
    with pytest.raises(BadPicture, match=f"^{reason}$"):
        read_file(tmp_path / "a.jpg")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_forbidden_file_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"x")
    (tmp_path / "a.jpg").chmod(0)
    with pytest.raises(BadPicture, match="cannot be read: Permission denied"):
        read_file(tmp_path / "a.jpg")


def test_a_file_over_the_limit_names_both_sizes(tmp_path: Path) -> None:
    with (tmp_path / "a.tif").open("wb") as file:
        file.truncate(3_000_000)
    with pytest.raises(BadPicture, match=r"3 MB, over the limit of 2\.5 MB"):
        read_file(tmp_path / "a.tif", max_bytes=2_500_000)


# ---- facts


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_exif_facts_are_read_in_every_format_that_has_them(format_: str) -> None:
    data = with_exif(
        format_,
        Make="Canon",
        Model="Canon EOS 40D",
        LensModel="EF 50mm f/1.8",
        DateTimeOriginal="2008:05:30 15:56:01",
        GPSLatitudeRef="S",
        GPSLatitude=(33.0, 51.0, 24.0),
        GPSLongitudeRef="E",
        GPSLongitude=(151.0, 12.0, 36.0),
        ImageDescription="the opera house",
    )
    assert facts(data) == Facts(
        width=96,
        height=64,
        format=format_,
        taken_at=datetime(2008, 5, 30, 15, 56, 1),
        camera="Canon EOS 40D",
        lens="EF 50mm f/1.8",
        latitude=-33.8566667,
        longitude=151.21,
        caption="the opera house",
    )


@pytest.mark.parametrize(
    ("tags", "taken_at"),
    [
        ({"DateTimeOriginal": "2001:02:03 04:05:06", "DateTime": "2011:01:01 00:00:00"}, datetime(2001, 2, 3, 4, 5, 6)),
        (
            {"DateTimeOriginal": "0000:00:00 00:00:00", "DateTimeDigitized": "2002:01:01 10:00:00"},
            datetime(2002, 1, 1, 10),
        ),
        ({"DateTime": "2003-04-05T06:07:08.123"}, datetime(2003, 4, 5, 6, 7, 8)),
        ({"DateTime": "2003:04:05"}, datetime(2003, 4, 5)),
        ({"DateTime": "2003:04:05  9:05:07"}, datetime(2003, 4, 5, 9, 5, 7)),
        ({"DateTime": "2003: 4: 5  9: 5: 7"}, datetime(2003, 4, 5, 9, 5, 7)),
        ({"DateTime": "2003:04:05 06:07"}, datetime(2003, 4, 5, 6, 7)),
        ({"DateTime": "2003:02:31 00:00:00"}, None),
        ({"DateTime": "    :  :     :  :  "}, None),
        ({"DateTime": "yesterday"}, None),
    ],
)
def test_the_time_is_the_first_that_makes_sense(tags: dict[str, str], taken_at: datetime | None) -> None:
    assert facts(with_exif(**tags)).taken_at == taken_at


@pytest.mark.parametrize(
    ("make", "model", "camera"),
    [
        ("NIKON CORPORATION", "NIKON D70", "NIKON D70"),
        ("NIKON", "COOLPIX P6000", "NIKON COOLPIX P6000"),
        ("OLYMPUS OPTICAL CO.,LTD", "C960Z", "OLYMPUS C960Z"),
        ("Apple", "iPhone 13", "Apple iPhone 13"),
        ("", "D70", "D70"),
        ("Canon  ", "", "Canon"),
        ("", "\0\0", None),
    ],
)
def test_the_camera_does_not_repeat_its_make(make: str, model: str, camera: str | None) -> None:
    assert facts(with_exif(Make=make, Model=model)).camera == camera


def rational(numerator: int, denominator: int) -> TiffImagePlugin.IFDRational:
    return TiffImagePlugin.IFDRational(numerator, denominator)


@pytest.mark.parametrize(
    ("latitude", "ref"),
    [
        ((91.0, 0.0, 0.0), "N"),
        ((10.0, 0.0, 0.0), ""),
        ((10.0, 0.0, 0.0), "X"),
        ((rational(0, 0), rational(0, 0), rational(0, 0)), "N"),
    ],
)
def test_a_place_that_makes_no_sense_is_no_place(latitude: tuple[Any, ...], ref: str) -> None:
    data = with_exif(GPSLatitude=latitude, GPSLatitudeRef=ref, GPSLongitude=(1.0, 0.0, 0.0), GPSLongitudeRef="E")
    assert (facts(data).latitude, facts(data).longitude) == (None, None)


def test_zero_zero_is_a_receiver_without_a_fix() -> None:
    zero = (0.0, 0.0, 0.0)
    data = with_exif(GPSLatitude=zero, GPSLatitudeRef="N", GPSLongitude=zero, GPSLongitudeRef="E")
    assert facts(data).latitude is None


@pytest.mark.parametrize("block", [b"", b"garbage", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\xff\xff"])
def test_a_broken_exif_block_costs_the_facts_not_the_picture(block: bytes) -> None:
    picture = decoded(encoded(quarters(), "JPEG", exif=b"Exif\0\0" + block))
    assert picture.facts == Facts(width=96, height=64, format="JPEG")


# ---- captions inside the file


def xmp(description: str, attribute: str = "", doctype: str = "") -> bytes:
    return (
        f'<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?>{doctype}<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" {attribute}>{description}'
        '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    ).encode()


def alternatives(*texts: tuple[str, str]) -> bytes:
    items = "".join(f'<rdf:li xml:lang="{language}">{text}</rdf:li>' for language, text in texts)
    return xmp(f"<dc:description>\n <rdf:Alt>\n {items}\n</rdf:Alt></dc:description>")


@pytest.mark.parametrize(
    ("packet", "caption"),
    [
        (alternatives(("x-default", "a dog &amp; a cat\n on  grass")), "a dog & a cat on grass"),
        (alternatives(("de", "ein Hund"), ("x-default", "a dog")), "a dog"),
        (alternatives(("de", "ein Hund"), ("fr", "un chien")), "ein Hund"),
        (xmp("", attribute='dc:description="as an attribute"'), "as an attribute"),
        (xmp("<dc:description>without a list</dc:description>"), "without a list"),
        (alternatives(("x-default", "  ")), None),
        (xmp("<dc:title>a title</dc:title>"), None),
        (b"<not xml", None),
        (b"\xff\xfe\0\0", None),
    ],
)
def test_the_xmp_description_is_the_caption(packet: bytes, caption: str | None) -> None:
    assert facts(encoded(quarters(), "JPEG", xmp=packet)).caption == caption


@pytest.mark.parametrize("format_", ["JPEG", "WEBP", "AVIF", "HEIF"])
def test_xmp_is_read_in_every_format_that_can_be_written(format_: str) -> None:
    packet = alternatives(("x-default", "a red door"))
    assert facts(encoded(quarters(), format_, xmp=packet)).caption == "a red door"


def test_an_entity_bomb_in_xmp_is_not_expanded() -> None:
    entities = '<!ENTITY a "aaaaaaaaaa">' + "".join(
        f'<!ENTITY {after} "{f"&{before};" * 10}">' for before, after in zip("abcdefgh", "bcdefghi", strict=True)
    )
    packet = xmp("<dc:description>&i;</dc:description>", doctype=f"<!DOCTYPE bomb [{entities}]>")
    assert facts(encoded(quarters(), "JPEG", xmp=packet)).caption is None


def with_iptc(caption: bytes) -> bytes:
    block = b"\x1c\x02\x78" + struct.pack(">H", len(caption)) + caption
    resource = b"8BIM\x04\x04\0\0" + struct.pack(">I", len(block)) + block + b"\0" * (len(block) % 2)
    segment = b"Photoshop 3.0\0" + resource
    data = encoded(quarters(), "JPEG")
    return data[:2] + b"\xff\xed" + struct.pack(">H", len(segment) + 2) + segment + data[2:]


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_the_iptc_caption_is_read(encoding: str) -> None:
    assert facts(with_iptc("Café am Fluß".encode(encoding))).caption == "Café am Fluß"


@pytest.mark.parametrize(
    ("tags", "caption"),
    [
        ({"ImageDescription": "Zwei Füchse".encode()}, "Zwei Füchse"),
        ({"ImageDescription": "family 👨‍👩‍👧 at the lake".encode()}, "family 👨‍👩‍👧 at the lake"),
        ({"ImageDescription": "हाथी".encode()}, "हाथी"),  # two letters, each with a vowel behind it
        ({"ImageDescription": "น้ำ".encode()}, "น้ำ"),
        ({"XPComment": "a comment".encode("utf-16-le") + b"\0\0"}, "a comment"),
        ({"UserComment": b"ASCII\0\0\0by hand"}, "by hand"),
        ({"UserComment": b"UNICODE\0" + "à la main".encode("utf-16-le")}, "à la main"),
        ({"UserComment": b"UNICODE\0\xfe\xff" + "猫が好き".encode("utf-16-be")}, "猫が好き"),
        ({"UserComment": b"UNICODE\0\xff\xfe" + "à la main".encode("utf-16-le")}, "à la main"),
        ({"UserComment": b"UNKNOWN\0text"}, None),
        ({"UserComment": b"\0" * 8 + b"plain" + b"\0" * 90}, "plain"),
        ({"ImageDescription": "OLYMPUS DIGITAL CAMERA         "}, None),
        ({"ImageDescription": "SANYO DIGITAL CAMERA"}, None),
        ({"ImageDescription": "SONY DSC"}, None),
        ({"ImageDescription": "DSC_0042"}, None),
        ({"ImageDescription": "   "}, None),
        ({"ImageDescription": b"\x01\x02\x03binary"}, None),
        ({"ImageDescription": '{"filter": 1}'}, None),
        ({"ImageDescription": "[1943] at the beach"}, "[1943] at the beach"),
        ({"ImageDescription": "SONY DSC", "UserComment": b"ASCII\0\0\0a real one"}, "a real one"),
    ],
)
def test_exif_texts_are_captions_unless_a_camera_wrote_them(tags: dict[str, Any], caption: str | None) -> None:
    assert facts(with_exif(**tags)).caption == caption


def test_xmp_comes_before_exif() -> None:
    exif = Image.Exif()
    exif[Base.ImageDescription] = "from exif"
    packet = alternatives(("x-default", "from xmp"))
    assert facts(encoded(quarters(), "JPEG", exif=exif.tobytes(), xmp=packet)).caption == "from xmp"


# ---- RAW

Entries = dict[int, tuple[int, list[Any]]]
_TYPES = {1: "B", 2: "B", 3: "H", 4: "I", 5: "II", 10: "ii"}


def directory(entries: Entries, start: int) -> bytes:
    """A TIFF directory that lies at `start`, with its values behind it: {tag: (type, values)}."""
    rows, values = b"", b""
    behind = start + 2 + 12 * len(entries) + 4
    for tag, (kind, numbers) in sorted(entries.items()):
        packed = b"".join(struct.pack(f"<{_TYPES[kind]}", *(n if isinstance(n, tuple) else (n,))) for n in numbers)
        place = packed.ljust(4, b"\0") if len(packed) <= 4 else struct.pack("<I", behind + len(values))
        values += packed + b"\0" * (len(packed) % 2) if len(packed) > 4 else b""
        rows += struct.pack("<HHI", tag, kind, len(numbers)) + place
    return struct.pack("<H", len(entries)) + rows + b"\0" * 4 + values


def dng(preview: Image.Image, sensor: tuple[int, int], orientation: int = 1) -> bytes:
    """A small DNG: an RGB preview in the first directory, flat red sensor values in the second."""
    width, height = sensor
    pixels, jpeg = np.full((height, width), 20_000, dtype="<u2"), encoded(preview, "JPEG")
    pixels[0::2, 0::2], pixels[1::2, 1::2] = 50_000, 20_000
    sensor_at = 8 + len(jpeg) + len(jpeg) % 2
    second_at = sensor_at + pixels.nbytes
    second: Entries = {
        254: (4, [0]), 256: (4, [width]), 257: (4, [height]), 258: (3, [16]), 259: (3, [1]), 262: (3, [32803]),
        273: (4, [sensor_at]), 277: (3, [1]), 278: (4, [height]), 279: (4, [pixels.nbytes]),
        33421: (3, [2, 2]), 33422: (1, [0, 1, 1, 2]), 50717: (4, [65535]),
    }  # fmt: skip
    second_bytes = directory(second, second_at)
    first_at = second_at + len(second_bytes) + len(second_bytes) % 2
    matrix = [(10000, 10000), (0, 1), (0, 1), (0, 1), (10000, 10000), (0, 1), (0, 1), (0, 1), (10000, 10000)]
    first: Entries = {
        254: (4, [1]), 256: (4, [preview.width]), 257: (4, [preview.height]), 258: (3, [8, 8, 8]), 259: (3, [7]),
        262: (3, [6]), 271: (2, [*b"Acme\0"]), 272: (2, [*b"Acme One\0"]), 273: (4, [8]), 274: (3, [orientation]),
        277: (3, [3]), 278: (4, [preview.height]), 279: (4, [len(jpeg)]), 306: (2, [*b"2020:01:02 03:04:05\0"]),
        330: (4, [second_at]), 50706: (1, [1, 4, 0, 0]), 50708: (2, [*b"Acme One\0"]), 50721: (10, matrix),
        50728: (5, [(1, 1), (1, 1), (1, 1)]), 50778: (3, [21]),
    }  # fmt: skip
    body = jpeg.ljust(sensor_at - 8, b"\0") + pixels.tobytes() + second_bytes.ljust(first_at - second_at, b"\0")
    return b"II*\0" + struct.pack("<I", first_at) + body + directory(first, first_at)


def test_a_raw_file_gives_its_preview_and_the_size_of_the_photograph() -> None:
    picture = decoded(dng(quarters(960, 640), sensor=(1440, 960)))
    assert difference(picture.image, quarters(960, 640)) < 6
    assert picture.facts == Facts(1440, 960, "RAW", taken_at=datetime(2020, 1, 2, 3, 4, 5), camera="Acme One")


def test_the_preview_of_a_raw_file_is_turned_upright() -> None:
    picture = decoded(dng(quarters(960, 640), sensor=(1440, 960), orientation=6))
    assert difference(picture.image, quarters(960, 640).transpose(Image.Transpose.ROTATE_270)) < 6
    assert (picture.facts.width, picture.facts.height) == (960, 1440)


def test_a_raw_file_with_a_small_preview_is_developed() -> None:
    picture = decoded(dng(quarters(96, 64), sensor=(480, 320)))
    red, green, blue = ImageStat.Stat(picture.image).mean
    assert picture.image.mode == "RGB"
    assert picture.image.size == (240, 160)
    assert red > max(green, blue) + 50
    assert (picture.facts.width, picture.facts.height) == (480, 320)


def test_a_raw_file_is_developed_only_within_the_limit() -> None:
    message = refusal(dng(quarters(96, 64), sensor=(480, 320)), max_pixels=100_000)
    assert message.startswith("480 x 320 = 0.1536 megapixels, over the limit")


def test_a_damaged_raw_file_is_refused() -> None:
    assert refusal(b"FUJIFILMCCD-RAW 0201" + b"\0" * 300).startswith("RAW: ")


def test_a_plain_tiff_is_never_taken_for_raw() -> None:
    assert facts(with_exif("TIFF", Make="NIKON", Model="D1")).format == "TIFF"


# ---- samples


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"no samples in {SHARED}")
@pytest.mark.parametrize("name", ["Landscape", "Portrait"])
def test_all_orientations_of_a_photograph_are_the_same_picture(name: str) -> None:
    upright = decoded((SHARED / "orientation" / f"{name}_1.jpg").read_bytes()).image
    for orientation in (0, *range(2, 9)):
        image = decoded((SHARED / "orientation" / f"{name}_{orientation}.jpg").read_bytes()).image
        assert difference(image, upright) < 5, orientation


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"no samples in {SHARED}")
def test_the_photographs_of_real_cameras_are_decoded_with_their_facts() -> None:
    files = [file for file in sorted((SHARED / "cameras").iterdir()) if file.suffix.lower() in SUFFIXES]
    found = {file.name: decoded(read_file(file), 128_000_000).facts for file in files}
    assert len(found) == 31
    nikon = found["DSCN0010.jpg"]
    assert (nikon.camera, nikon.taken_at) == ("NIKON COOLPIX P6000", datetime(2008, 10, 22, 16, 28, 39))
    assert (nikon.latitude, nikon.longitude) == pytest.approx((43.467448, 11.885127), abs=1e-6)
    iphone = found["heic_IMG_5195.HEIC"]
    assert (iphone.width, iphone.height, iphone.camera) == (2566, 3313, "Apple iPhone 11 Pro Max")
    assert iphone.lens == "iPhone 11 Pro Max back triple camera 4.25mm f/1.8"
    assert iphone.longitude == pytest.approx(-94.28877, abs=1e-5)
    assert found["jpg_xmp_no_exif.jpg"].caption == "Der Goalie bin ig"
    assert found["jpg_exif-org_sanyo-vpcg250.jpg"].caption is None


def photograph(width: int, height: int) -> Image.Image:
    """Soft shapes with fine grain, like a photograph."""
    rng = np.random.default_rng(11)
    layers = []
    for cells, strength in ((6, 70), (40, 30), (300, 8)):
        coarse = rng.normal(0, strength, (cells, cells, 3)).astype(np.float32)
        bands = [
            Image.fromarray(coarse[..., band]).resize((width, height), Image.Resampling.BICUBIC) for band in range(3)
        ]
        layers.append(np.stack([np.asarray(band) for band in bands], axis=-1))
    return Image.fromarray(np.clip(128 + sum(layers), 0, 255).astype(np.uint8))


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_scaled_decode_shows_the_model_the_same_and_tells_the_same_facts(orientation: int) -> None:
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    photograph(4000, 3000).save(file, "JPEG", quality=90, exif=exif)
    whole = decode_picture(file.getvalue(), max_pixels=10**8)
    scaled = decode_picture(file.getvalue(), max_pixels=10**8, short_side=SCALED * 224)
    assert scaled.facts == whole.facts
    assert sorted(scaled.image.size) == [750, 1000]
    assert (scaled.image.width < scaled.image.height) == (whole.image.width < whole.image.height)
    seen = [
        np.asarray(ImageOps.fit(image, (224, 224), Image.Resampling.BICUBIC), np.float64)
        for image in (whole.image, scaled.image)
    ]
    assert 10 * np.log10(255**2 / np.mean((seen[0] - seen[1]) ** 2)) > 50


@pytest.mark.parametrize(
    ("format_", "size", "decoded"),
    [
        ("JPEG", (800, 500), (800, 500)),
        ("JPEG", (1200, 804), (600, 402)),
        ("JPEG", (1200, 803), (1200, 803)),
        ("JPEG", (1600, 4000), (400, 1000)),
        ("PNG", (1600, 4000), (1600, 4000)),
    ],
)
def test_only_large_jpegs_shrink_and_only_by_what_divides_them(
    format_: str, size: tuple[int, int], decoded: tuple[int, int]
) -> None:
    file = io.BytesIO()
    Image.new("RGB", size).save(file, format_)
    picture = decode_picture(file.getvalue(), max_pixels=10**8, short_side=400)
    assert picture.image.size == decoded
    assert (picture.facts.width, picture.facts.height) == size
