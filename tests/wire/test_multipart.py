from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.wire.multipart import BrokenForm, FieldFinder, boundary_of, is_form

FILE = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\nContent-Type: audio/wav\r\n\r\n'
MODEL = b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n'
END = b"--b--\r\n"
SOUND = b'\x00\r\n--\r\n--x name="model"\r\n\r\nno'


def values(finder: FieldFinder) -> list[bytes]:
    return [bytes(finder.data[start:end]) for start, end in finder.spans]


@given(st.lists(st.integers(0, 200), max_size=8))
def test_the_field_is_found_wherever_the_bytes_are_cut(cuts: list[int]) -> None:
    form = FILE + SOUND + b"\r\n" + MODEL + END
    places = sorted({0, *(cut for cut in cuts if cut < len(form)), len(form)})
    finder = FieldFinder(b"b", "model")
    for start, end in pairwise(places):
        finder.feed(form[start:end])
    assert finder.done and values(finder) == [b"whisper-1"] and bytes(finder.data) == form


def test_it_stops_at_the_field_and_reads_nothing_of_the_file_behind_it() -> None:
    finder = FieldFinder(b"b", "model")
    assert finder.feed(MODEL + FILE[:20]) and not finder.ended


def test_with_all_of_them_it_goes_on_to_the_end() -> None:
    finder = FieldFinder(b"b", "model", all_of_them=True)
    assert not finder.feed(MODEL + FILE + SOUND + b"\r\n")
    assert finder.feed(MODEL.replace(b"whisper-1", b"other") + END) and finder.ended
    assert values(finder) == [b"whisper-1", b"other"]


@pytest.mark.parametrize(
    "part",
    [
        b"--b\r\ncontent-disposition:form-data;name=model\r\n\r\nm\r\n",
        b'--b\r\nX-Odd: 1\r\nCONTENT-DISPOSITION: form-data; x=1; name="model"\r\nY: 2\r\n\r\nm\r\n',
    ],
)
def test_other_spellings_of_a_part_are_read(part: bytes) -> None:
    finder = FieldFinder(b"b", "model")
    assert finder.feed(part + END) and values(finder) == [b"m"]


def test_an_empty_field_is_one_and_a_file_of_that_name_is_none() -> None:
    finder = FieldFinder(b"b", "model")
    assert finder.feed(MODEL.replace(b"whisper-1", b"") + END) and values(finder) == [b""]
    finder = FieldFinder(b"b", "model")
    assert finder.feed(FILE.replace(b'"file"', b'"model"') + b"x\r\n" + END) and not finder.spans


@pytest.mark.parametrize("data", [b"{}", b"-x", b"\r\n--b\r\n", b"--c\r\n" + MODEL])
def test_what_does_not_begin_with_the_boundary_is_no_form(data: bytes) -> None:
    with pytest.raises(BrokenForm, match="does not begin"):
        FieldFinder(b"b", "model").feed(data)


def test_headers_of_a_part_that_do_not_end_are_no_form() -> None:
    with pytest.raises(BrokenForm, match="headers do not end"):
        FieldFinder(b"b", "model").feed(b"--b\r\n" + b"x" * 20_000)


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/form-data; boundary=abc", b"abc"),
        ('Multipart/Form-Data; charset=utf-8; BOUNDARY="a b;c"', b"a b;c"),
    ],
)
def test_the_boundary_stands_in_the_content_type(content_type: str, boundary: bytes) -> None:
    assert is_form(content_type) and boundary_of(content_type) == boundary


def test_a_type_without_a_boundary_is_refused_and_others_are_no_forms() -> None:
    with pytest.raises(BrokenForm, match="no boundary"):
        boundary_of("multipart/form-data")
    assert not is_form("application/json") and not is_form("multipart/mixed; boundary=x")


def test_a_boundary_of_which_readers_understand_different_things_is_none() -> None:
    for parameters in (
        'x=";boundary=a"; boundary="b\\"',
        'boundary="a\\b"',
        "boundary=a; boundary=b",
        "boundary=a; boundary*=utf-8''b",
        "boundary*0=a",
        "boundary = a",
        "boundary=a b",
        "boundary=a, multipart/form-data; boundary=b",
    ):
        with pytest.raises(BrokenForm, match="more than one way"):
            boundary_of(f"multipart/form-data; {parameters}")
    assert boundary_of('multipart/form-data; x=";boundary=a"; boundary=b') == b"b"


def part(headers: bytes, value: bytes = b"other") -> bytes:
    return b"--b\r\n%b\r\n\r\n%b\r\n" % (headers, value)


FIELD = b"Content-Disposition: form-data; "


@pytest.mark.parametrize(
    "second",
    [
        part(FIELD + b"name*=utf-8''model"),
        part(FIELD + b'name="mod\\el"'),
        part(FIELD + b'x="; filename=y"; name="model"'),
        part(FIELD + b'name="model"; filename=""'),
        part(FIELD + b'name="x"; name="model"'),
        part(FIELD + b'name = "model"'),
        part(b'Content-Disposition: form-data;\r\n name="model"'),
        part(FIELD + b'name="x"\nContent-Disposition: form-data; name="model"'),
        part(FIELD + b'name="x"\r\n' + FIELD + b'name="model"'),
        part(FIELD + b'name="x"\r\nContent-Disposition : form-data; name="model"'),
        part(FIELD + b'name="model"\r\nContent-Transfer-Encoding: base64', b"b3RoZXI="),
        part(b"Content-Type: text/plain"),
        part(b""),
        b"--bx\r\n" + FIELD + b'name="x"\r\n' + part(FIELD + b'name="model"'),
        part(FIELD + b'name="x"', b"v\r\n--b--x") + part(FIELD + b'name="model"'),
        part(FIELD + b'name="x"', b"v\n--b\r\n" + FIELD + b'name="model"\r\n\r\nother'),
        END + part(FIELD + b'name="model"'),
    ],
)
@pytest.mark.parametrize("size", [1, 1000])
def test_where_another_reader_may_find_the_field_elsewhere_the_form_is_refused(second: bytes, size: int) -> None:
    finder, form = FieldFinder(b"b", "model", all_of_them=True), MODEL + second + END
    with pytest.raises(BrokenForm):  # where it is refused depends on the size
        for at in range(0, len(form), size):
            finder.feed(form[at : at + size])


@pytest.mark.parametrize(
    "other",
    [
        FILE + b"\n--\r\n--x\r\n",
        part(FIELD + b'name="image[]"; filename="a \\"b\\".png"; filename*=utf-8\'\'a.png\r\nContent-Length: 5'),
        part(b"content-disposition:form-data;name=x\r\nContent-Transfer-Encoding: base64"),
        part(FIELD + b'name=""').replace(b"--b\r\n", b"--b \t\r\n"),
    ],
)
def test_what_clients_send_is_understood_by_all_readers(other: bytes) -> None:
    finder, form = FieldFinder(b"b", "model", all_of_them=True), other + MODEL + other + END
    for at in range(len(form)):
        finder.feed(form[at : at + 1])
    assert finder.ended and values(finder) == [b"whisper-1"]


def test_a_line_that_goes_on_behind_a_boundary_is_no_form() -> None:
    with pytest.raises(BrokenForm, match="more behind it"):
        FieldFinder(b"b", "model").feed(MODEL.replace(b"--b", b"--bc") + END)
