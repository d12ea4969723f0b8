"""Filters as they are written: what is read is what was written, and every mistake is named."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.errors import BadFilter
from search.expression import FIELDS, ORIENTATIONS, Condition, Date, format_name, parse_conditions
from search.filters import Filter
from search.places import HALF_WAY_ROUND_KM, Near


def test_an_expression_is_read_as_its_conditions() -> None:
    text = 'taken>=2024-06 camera:"Example X100" folder:trips/2023 width>=2000 tag:dog -format:png near:48.2,16.37,10km'
    assert parse_conditions(text) == (
        Condition("taken", ">=", Date(2024, 6)),
        Condition("camera", ":", "Example X100"),
        Condition("folder", ":", "trips/2023"),
        Condition("width", ">=", 2000),
        Condition("tag", ":", "dog"),
        Condition("format", ":", "PNG", negated=True),
        Condition("near", ":", Near(48.2, 16.37, 10.0)),
    )


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("width=300", "width:300"),
        ("  Width:0300\n", "width:300"),
        ("format:.jpg", "format:JPEG"),
        ("format:heic", "format:HEIF"),
        ("taken:2024-6-1", "taken:2024-06-01"),
        ('taken:"2024"', "taken:2024"),
        ("near:+48.20,16,1e1KM", "near:48.2,16,10km"),
        ('near:"48.2, 16.37, 500 m"', "near:48.2,16.37,500m"),
        (r'camera:"24\" \\ display"', r'camera:"24\" \\ display"'),
        (r"folder:a\b", r"folder:a\b"),
        ("camera:-x:y=z<1", "camera:-x:y=z<1"),
        ("", ""),
    ],
)
def test_an_expression_is_written_in_one_way(text: str, same: str) -> None:
    assert str(Filter.parse(text)) == same


characters = st.sampled_from(""" "'\\\t\n\u2003abcXÄß日🌍-+*:<>=,.%_/0123""")
texts = st.text(characters, min_size=1).filter(str.strip)
dates = st.one_of(
    st.builds(Date, st.integers(1, 9998)),
    st.builds(Date, st.integers(1, 9998), st.integers(1, 12)),
    st.dates(max_value=datetime(9998, 12, 31).date()).map(lambda day: Date(day.year, day.month, day.day)),
)
nears = st.builds(
    Near,
    st.floats(-90, 90),
    st.floats(-180, 180),
    st.floats(0, HALF_WAY_ROUND_KM, exclude_min=True, allow_subnormal=False),
    st.sampled_from(["km", "m"]),
)
values = {
    "taken": dates,
    "folder": texts,
    "format": texts.map(str.upper).filter(lambda name: format_name(name) == name),
    "orientation": st.sampled_from(ORIENTATIONS),
    "width": st.integers(0, 10**15 - 1),
    "height": st.integers(0, 10**15 - 1),
    "side": st.integers(0, 10**15 - 1),
    "camera": texts,
    "place": st.sampled_from(["yes", "no"]),
    "near": nears,
    "tag": texts,
}
conditions = st.sampled_from(list(values)).flatmap(
    lambda field: st.builds(
        Condition,
        st.just(field),
        st.sampled_from([":", "<", "<=", ">", ">="]) if FIELDS[field].is_ordered else st.just(":"),
        values[field],
        st.booleans(),
    )
)


@settings(deadline=None, derandomize=True, database=None)
@given(st.lists(conditions).map(tuple))
def test_what_is_written_is_read_as_the_same(asked: tuple[Condition, ...]) -> None:
    assert set(values) == set(FIELDS)
    assert parse_conditions(str(Filter(asked))) == asked


@settings(deadline=None, derandomize=True, database=None)
@given(st.lists(st.sampled_from([*FIELDS, *' "\\-:=<>.,', ">=", "2024", "km", "12", "png"])).map("".join))
def test_any_other_text_is_refused_or_read_as_what_it_says(text: str) -> None:
    try:
        asked = Filter.parse(text)
    except BadFilter:
        return
    assert Filter.parse(str(asked)) == asked


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kamera:x", "unknown field 'kamera'; did you mean camera\\? There are: taken, folder"),
        ("with>=3", "unknown field 'with'; did you mean width\\?"),
        ("zzz:1", "unknown field 'zzz'. There are: taken"),
        ("sunset", "'sunset' is no condition; write a field, an operator and a value"),
        ("width >= 3", "'width' is no condition; .* without spaces"),
        ("camera:", 'camera: has no value; write camera:"Example X100", without spaces'),
        ('camera:" "', "camera: has no value"),
        ('tag:dog camera:"X100', "the quote in '\"X100' is not closed"),
        ('camera:"X"100', "quotes stand around all of a value"),
        ("camera>=2", "camera takes : and not >="),
        ("camera:\udcff", "is no text"),
        ('camera:"\0"', "is no text"),
        ("folder:\ud800", "is no text"),
        ("folder:a\0b", "is no text"),
        ("width>=2k", "width: '2k' is no whole number of up to 15 digits; an example: width>=2000"),
        ("width>=-1", "'-1' is no whole number"),
        ("width<9999999999999999", "is no whole number of up to 15 digits"),
        ("orientation:up", "'up' is not one of landscape, portrait, square"),
        ("place:maybe", "'maybe' is not one of yes, no"),
        ("near:here", "'here' is not a place and a distance in km or m; an example: near:48.2,16.37,10km"),
        ("near:1,2,3", "is not a place and a distance"),
        ("near:91,0,1km", "the latitude is 91; it may be from -90 to 90"),
        ("near:0,-181,1km", "the longitude is -181; it may be from -180 to 180"),
        ("near:0,0,0m", "the distance is 0m; it may be up to 20016km, and not 0"),
        ("near:0,0,1e999km", "the distance is infkm"),
        ("taken:today", "'today' is not a date; write 2024, 2024-06 or 2024-06-21"),
        ('taken:"24-06"', "is not a date"),
        ("taken<2024-13", "'2024-13' is not a date: month must be in 1..12"),
        ("taken<2024-02-30", "is not a date: day"),
        ("taken:0000-01", "is not a date: year"),
        ("taken:2024-00", "'2024-00' is not a date"),
        ("taken:9999-12-31", "is not a date"),
    ],
)
def test_a_mistake_is_named_with_what_to_do(text: str, said: str) -> None:
    with pytest.raises(BadFilter, match=said):
        Filter.parse(text)


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("2024", datetime(2024, 1, 1), datetime(2025, 1, 1)),
        ("2024-2", datetime(2024, 2, 1), datetime(2024, 3, 1)),
        ("2023-12-31", datetime(2023, 12, 31), datetime(2024, 1, 1)),
    ],
)
def test_a_date_is_a_year_a_month_or_a_day(text: str, start: datetime, end: datetime) -> None:
    assert (Date.read(text).start, Date.read(text).end) == (start, end)
