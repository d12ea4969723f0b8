"""What mutations begin with: a small whole example of each format that a target reads, made by code."""

from __future__ import annotations

import base64
import io
import json
import pickle
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pillow_heif
import safetensors.torch
import torch
from PIL import ExifTags, Image, PngImagePlugin

from tests.test_image import dng

FOUND = Path(__file__).parent / "found"
"""What once made a finding: found/TARGET/NAME."""

XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:description><rdf:Alt>'
    b'<rdf:li xml:lang="x-default">A dog</rdf:li></rdf:Alt></dc:description></rdf:Description></rdf:RDF></x:xmpmeta>'
)


def found(target: str) -> list[bytes]:
    """Inputs that made findings, in the order of their names."""
    return [file.read_bytes() for file in sorted((FOUND / target).glob("*"))]


def images() -> list[bytes]:
    """A picture in each format, some with metadata."""
    pillow_heif.register_heif_opener()
    picture = Image.radial_gradient("L").resize((24, 16))
    colors = Image.merge("RGB", (picture, picture.rotate(90), picture))
    exif = _exif()
    plain = ("PNG", "TIFF", "BMP", "DIB", "GIF", "JPEG2000", "PPM", "DDS", "SGI", "PCX", "TGA", "AVIF", "HEIF", "QOI")
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", XMP.decode())
    text.add_text("Description", "a dog", zip=True)
    return [
        *(_saved(colors, name) for name in plain),
        _saved(colors, "JPEG", exif=exif, xmp=XMP),
        _saved(colors, "JPEG", progressive=True),
        _saved(colors.convert("CMYK"), "JPEG"),
        _saved(colors, "WEBP", exif=exif, xmp=XMP),
        _saved(colors, "PNG", exif=exif, pnginfo=text),
        _saved(colors, "TIFF", exif=exif, compression="tiff_lzw"),
        _saved(colors.convert("P"), "GIF", save_all=True, append_images=[picture.convert("P")]),
        _saved(colors.convert("RGBA"), "PNG", save_all=True, append_images=[colors.convert("RGBA").rotate(90)]),
        _saved(colors, "ICO", sizes=[(16, 16)]),
        _saved(colors, "ICO", sizes=[(16, 16)], bitmap_format="bmp"),
        dng(colors, sensor=(48, 32)),
        b"8BPS\0\1" + bytes(6) + b"\0\1\0\0\0\2\0\0\0\2\0\x08\0\1" + bytes(12) + b"\0\0" + bytes(4),
        b"\x59\xa6\x6a\x95" + b"".join(n.to_bytes(4) for n in (2, 2, 8, 4, 1, 0, 0)) + bytes(4),
    ]


def _saved(image: Image.Image, format_: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, format_, **options)
    return out.getvalue()


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Make], exif[ExifTags.Base.Model] = "Acme", "Acme One"
    exif[ExifTags.Base.ImageDescription], exif[ExifTags.Base.Orientation] = "a dog", 6
    exif.get_ifd(ExifTags.IFD.Exif).update(
        {ExifTags.Base.DateTimeOriginal: "2020:01:02 03:04:05", ExifTags.Base.UserComment: b"UNICODE\0a\0b\0"}
    )
    gps = {ExifTags.GPS.GPSLatitude: (48.0, 12.0, 1.0), ExifTags.GPS.GPSLatitudeRef: "N"}
    exif.get_ifd(ExifTags.IFD.GPSInfo).update(
        gps | {ExifTags.GPS.GPSLongitude: (16.0, 22.0, 1.0), ExifTags.GPS.GPSLongitudeRef: "E"}
    )
    return exif


FILTERS = [
    b'taken>=2024-06 camera:"X100" -format:png near:48.2,16.37,10km',
    b"taken<2024 taken:2024-02-29 width>=2000 height<1000 side>10 side<=20",
    b'folder:trips/2023 -folder:"a \\"b\\" c" orientation:portrait place:yes tag:dog',
]

QUERIES = [
    b'"a beach" + id:12*0.5 - "people" * 3',
    b'a dog -cat -"two cats" \\',
    b"upload:1 - upload:2*.5\nid:3*2",
    b"./dog.jpg*2\n+\nsnow\n-\nid:1",
]


def vectors() -> list[bytes]:
    """Files of NumPy: one vector, rows, several arrays, objects."""
    arrays = [np.ones(4, np.float32), np.eye(4, dtype=np.float16), np.asfortranarray(np.ones((2, 4))), np.array([None])]
    files = [io.BytesIO() for _ in range(len(arrays) + 1)]
    for file, array in zip(files, arrays, strict=False):
        np.save(file, array)
    np.savez(files[-1], a=arrays[0], b=arrays[1])
    return [file.getvalue() for file in files]


def captions() -> list[bytes]:
    """The first byte says which reader is meant; see `targets.py`."""
    karpathy = [{"split": "test", "filename": "a.jpg", "filepath": "x", "sentences": [{"raw": "a dog"}]}]
    coco = {
        "images": [{"id": 1, "file_name": "a.jpg"}],
        "annotations": [{"image_id": 1, "caption": "a dog"}],
    }
    grades = [{"query": "a dog", "image": "a.jpg", "grade": 2}]
    rows = {"path": "a.jpg", "width": 3, "taken_at": "2020-01-02T03:04:05", "captions": ["a dog"], "latitude": 1.5}
    return [
        b"\0a dog\na cat\n",
        b"\1" + json.dumps({"caption": "a dog", "captions": ["a", "b"], "description": "c"}).encode(),
        b"\2" + json.dumps({"a.jpg": ["a dog", "a cat"], "b.jpg": "c"}).encode(),
        b"\3" + json.dumps({"images": karpathy}).encode(),
        b"\3" + json.dumps(coco).encode(),
        b"\3" + json.dumps({"a.jpg": ["a dog"], "b.jpg": "a cat"}).encode(),
        b"\3a.jpg#0\ta dog\na.jpg#1\ta cat\n",
        b'\3image,caption\na.jpg,"a ""big"" dog"\n',
        b"\3image_name| comment_number| comment\na.jpg| 0| a dog\n",
        b"\4label,sensitive,threshold,prompt\ndog,yes,0.5,a dog\ncat,,,\n",
        b"\5query\timage\tgrade\na dog\ta.jpg\t2\n",
        b"\5" + json.dumps(grades).encode(),
        b"\6" + json.dumps([rows]).encode(),
        b"\6" + json.dumps(rows).encode() + b"\n" + json.dumps(rows).encode() + b"\n",
    ]


def checkpoints() -> list[bytes]:
    """The first byte says which reader is meant; see `targets.py`."""
    weights = {"visual.proj": torch.ones(2, 3), "logit_scale": torch.tensor(4.6)}
    saved, old = io.BytesIO(), io.BytesIO()
    torch.save(weights, saved)
    torch.save({"state_dict": weights}, old, _use_new_zipfile_serialization=False)
    with zipfile.ZipFile(saved) as archive:
        pickled = next(archive.read(name) for name in archive.namelist() if name.endswith("/data.pkl"))
    shards = {"weight_map": {"a": "weights", "b": "weights"}}
    towers = {"vision_cfg": {"layers": 1, "width": 32}, "text_cfg": {"vocab_size": 9}, "embed_dim": 4}
    preprocessor = {"size": {"shortest_edge": 32}, "resample": 3, "image_mean": [0, 0, 0]}
    tower = {"hidden_size": 32, "num_attention_heads": 2, "hidden_act": "gelu", "intermediate_size": 64}
    transformers = {"model_type": "clip", "vision_config": tower, "text_config": tower, "preprocessor": preprocessor}
    timm = {"architecture": "resnet18", "pretrained_cfg": {"input_size": [3, 32, 32], "crop_pct": 0.9}}
    return [
        b"\0" + saved.getvalue(),
        b"\0" + old.getvalue(),
        b"\0" + safetensors.torch.save(weights),
        b"\0" + torchscript(pickled),
        b"\1" + pickled,
        b"\1" + pickle.dumps({"a": [1, 2.5, "b", None]}, 2),
        b"\2" + pickled,
        b"\3" + json.dumps(shards).encode(),
        b"\4" + json.dumps({"model_cfg": towers, "preprocess_cfg": {"mean": [0, 0, 0], "size": 32}}).encode(),
        b"\5" + json.dumps(transformers).encode(),
        b"\5" + json.dumps(timm).encode(),
    ]


def torchscript(pickled: bytes) -> bytes:
    """An archive as TorchScript has them, with two storages, around a pickle."""
    return archive({"data.pkl": pickled, "constants.pkl": b"\x80\x02).", "data/0": bytes(24), "data/1": bytes(4)})


def torch_save(pickled: bytes) -> bytes:
    """An archive of torch.save around a pickle."""
    return archive({"data.pkl": pickled, "byteorder": b"little", "version": b"3\n", "data/0": bytes(24)})


def archive(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as target:
        for name, content in files.items():
            target.writestr(f"archive/{name}", content)
    return out.getvalue()


def bodies(places: Iterable[str]) -> list[bytes]:
    """Bodies of requests. The first byte is the place of the address among `places`."""
    png = _saved(Image.new("RGB", (4, 4), "red"), "PNG")
    text = base64.b64encode(png).decode()
    search = {"terms": [{"text": "red", "weight": 2}, {"image_id": 1}, {"image": text}, {"vector": [1, 0, 0, 1]}]}
    known: dict[str, list[bytes]] = {
        "json /api/v1/search": [
            _json(search, k=3, target="images", where="width>3", sort="taken", ranking="cosine", exact=True),
            _json({"terms": [{"text": "blue"}]}, group=True, diverse=True, filter={"min_side": 3, "place": True}),
        ],
        "json /api/v1/lookup": [_json({"image": text}, k=2), _json({"image_id": 2})],
        "json /api/v1/embed": [_json({"texts": ["red", "blue"], "images": [text]})],
        "json /api/v1/classify": [_json({"images": [text], "image_ids": [1], "labels": ["red"], "templates": "plain"})],
        "json /api/v1/score": [_json({"input_data": {"columns": ["image", "text"], "data": [[text, "red, blue"]]}})],
        "query /api/v1/search": [b"q=red&k=3&where=width%3E3&sort=newest&after=&target=texts", b"q=%22a%22+id:1*2"],
        "query /search": [b"q=red&folder=x&min_side=3&from=2020&to=2021&place=no&like=1"],
    }
    form = b'--x\r\nContent-Disposition: form-data; name="%s"; filename="a.png"\r\n\r\n%s\r\n'
    field = b'--x\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
    file = b"".join(form % (name, png) for name in (b"image", b"images"))
    asked = b"".join(field % pair for pair in ((b"q", b"red"), (b"k", b"2")))
    fields = asked + b"".join(field % (name, b"red") for name in (b"labels", b"texts"))
    whole = file + fields + b"--x--\r\n"
    known["form /api/v1/search"] = [form % (b"image", png) + asked + b"--x--\r\n"]  # which refuses the others' fields
    return [bytes([number]) + body for number, place in enumerate(places) for body in known.get(place, [whole])]


def _json(fields: dict[str, object], **more: object) -> bytes:
    return json.dumps({**fields, **more}).encode()
