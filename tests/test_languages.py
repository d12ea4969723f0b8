"""Texts in scripts that a model cannot know are refused, with tokenizers as they are; everything else passes."""

from __future__ import annotations

from pathlib import Path

import pytest
from open_clip.tokenizer import HFTokenizer, SimpleTokenizer

from indexer.cli import main as indexer
from search.__main__ import main as search
from search.batching import BatchingEncoder
from search.classify import make_classifier
from search.encoder import load_encoder
from search.errors import BadQuery, NoTextTower
from search.languages import require_read
from search.query import TextTerm
from search.searcher import Searcher
from search.tokens import Tokens
from tests.colors import ColorEncoder
from tests.conftest import Build
from tests.test_tokens import word_tokenizer
from web.app import create_app

UNKNOWN = [
    "собака на снегу",
    "雪の中の犬",
    "雪地里的狗",
    "눈 속의 개",
    "σκύλος στο χιόνι",
    "كلب في الثلج",
    "כלב בשלג",
    "बर्फ में कुत्ता",
    "สุนัขในหิมะ",
    "ძაღლი თოვლში",
    "собака 🐕 2024!",
    "-犬",
]

KNOWN = [
    "a dog in the snow",
    "ein Hund im Schnee, grün",
    "İstanbul",
    "con chó trong tuyết",
    "DOG",
    "\uff44\uff4f\uff47",  # full width
    "a sign that says 雪",
    "2024",
    "🐕 🏔️",
    "👩🏽‍🚒",
    "㊙️ 🈲",
    "№ 5 ½ €",
    "?!",
    "½",
]


@pytest.mark.parametrize("text", UNKNOWN)
def test_english_models_do_not_read_other_scripts(text: str) -> None:
    assert Tokens(SimpleTokenizer()).reads([text]) == [False]


@pytest.mark.parametrize("text", KNOWN)
def test_latin_letters_numbers_and_emoji_pass(text: str) -> None:
    assert Tokens(SimpleTokenizer()).reads([text]) == [True]


def test_other_tokenizers_tell_themselves_what_they_do_not_know(tmp_path: Path) -> None:
    """This one knows "a", "dog" and a sign for everything else, and no emoji."""
    tokens = Tokens(HFTokenizer(str(word_tokenizer(tmp_path)), context_length=6, clean="whitespace"))
    assert tokens.reads(["a dog", "a кот", "кот", "犬", "cat", "2024 🐕"]) == [True, True, False, False, False, True]


def test_a_multilingual_tokenizer_is_left_alone(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    tokenizers = pytest.importorskip("tokenizers")
    words = {"<unk>": 0, "</s>": 1, "<pad>": 2, "собака": 3, "на": 4, "снегу": 5}
    words_of_two = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, "<unk>"))
    words_of_two.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=words_of_two, eos_token="</s>", pad_token="<pad>", unk_token="<unk>"
    ).save_pretrained(tmp_path)
    tokens = Tokens(HFTokenizer(str(tmp_path), context_length=6, clean="whitespace"))
    assert tokens.reads(["собака на снегу", "кот на снегу", "雪地里的狗"]) == [True, True, False]


def test_bytes_of_a_tokenizer_that_a_model_brings_itself_spell_everything(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    tokenizers = pytest.importorskip("tokenizers")
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    spelled = tokenizers.Tokenizer(tokenizers.models.BPE({char: place for place, char in enumerate(alphabet)}, []))
    spelled.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel()
    options = {"eos_token": "<end>", "pad_token": "<end>", "unk_token": "<end>"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=spelled, **options).save_pretrained(tmp_path)
    tokens = Tokens(HFTokenizer(str(tmp_path), context_length=6, clean="whitespace"))
    assert tokens.reads(UNKNOWN) == [True] * len(UNKNOWN)


def test_without_a_text_tower_nothing_is_read() -> None:
    with pytest.raises(NoTextTower):
        Tokens(None).reads(["a dog"])


def test_the_encoder_and_its_batching_read_alike(tiny_model: Path) -> None:
    encoder = load_encoder(str(tiny_model), device="cpu")
    assert encoder.reads(["a dog", "犬"]) == BatchingEncoder(encoder).reads(["a dog", "犬"]) == [True, False]
    require_read(encoder, ["a dog", "2024"])
    with pytest.raises(BadQuery, match=r"'собака' is in a script that this model does not know; say it in English, or"):
        require_read(encoder, ["a dog", "собака", "犬"])
    with pytest.raises(BadQuery, match=r"'собака'"):
        make_classifier(encoder, ["dog", "собака"], ["a photo of a {}."])


def test_searches_refuse_what_they_would_look_for_and_what_they_would_take_away(
    index: Build, photos: Path, searcher: Searcher
) -> None:
    index(photos)
    assert searcher.by_text("red", k=1)[0].path.name == "red.png"
    for terms in ([TextTerm("κόκκινο")], [TextTerm("red"), TextTerm("μπλε", -1)]):
        with pytest.raises(BadQuery, match="is in a script that this model does not know"):
            searcher.search(terms)


def test_the_command_line_and_the_web_say_it(
    index: Build, photos: Path, searcher: Searcher, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = tmp_path / "drawn"
    assert indexer(["build", str(photos), "--model", "bundled", "--collection", str(where)]) == 0
    capsys.readouterr()
    assert search(["собака", "на", "снегу", "--collection", str(where)]) == 2
    assert "error: 'собака на снегу' is in a script that this model does not know" in capsys.readouterr().err
    index(photos)
    client = create_app([searcher.collection], lambda _model: ColorEncoder()).test_client()
    for answer in (
        client.post("/api/v1/search", json={"terms": [{"text": "κόκκινο"}]}),
        client.get("/api/v1/search", query_string={"q": "red -κόκκινο"}),
        client.post("/api/v1/embed", json={"texts": ["red", "κόκκινο"]}),
    ):
        assert answer.status_code == 400
        assert answer.json["error"]["code"] == "bad_query"
        assert "'κόκκινο' is in a script that this model does not know" in answer.json["error"]["message"]
    page = client.get("/search?q=κόκκινο")
    assert (page.status_code, "is in a script that this model does not know" in page.text) == (400, True)
