import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.errors import ConfigError
from millstream.properties import parse_properties
from millstream.settings.properties import read_properties


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=1\nb:2\nc 3\n", {"a": "1", "b": "2", "c": "3"}),
        ("a = 1\r\nb : 2\rc  =  3", {"a": "1", "b": "2", "c": "3"}),
        ("  \t# comment\n! too\n\n \t\n\fa=1", {"a": "1"}),
        ("a=1  ", {"a": "1  "}),
        ("a", {"a": ""}),
        ("a=", {"a": ""}),
        ("=1", {"": "1"}),
        ("a==1", {"a": "=1"}),
        ("a :=1", {"a": "=1"}),
        ("a \t 1 2", {"a": "1 2"}),
        ("a=1\na=2", {"a": "2"}),
        ("a=x\\\n   y\\\n\tz", {"a": "xyz"}),
        ("a=x\\\n# y", {"a": "x# y"}),
        ("a=x\\\n\nb=1", {"a": "x", "b": "1"}),
        ("a=x\\\\\nb=1", {"a": "x\\", "b": "1"}),
        ("a=x\\\\\\\ny", {"a": "x\\y"}),
        ("a=x\\", {"a": "x"}),
        ("\\\n  a=1", {"a": "1"}),
        ("\\\n\na=1", {"a": "1"}),
        ("\\\n# c=1\na=1", {"a": "1"}),
        ("\\\n  ! \\u12\na=1", {"a": "1"}),
        ("# c\\\na=1", {"a": "1"}),
        (r"a\ b\=c\:d=1", {"a b=c:d": "1"}),
        (r"a=\t\n\r\f\q\:\"", {"a": '\t\n\r\fq:"'}),
        (r"a=\u00fc\u20AC", {"a": "ü€"}),
        (r"a=\uD83D\uDE00 \uD83D", {"a": "😀 �"}),
        (r"path=C:\\temp\new", {"path": "C:\\temp\new"}),
    ],
)
def test_a_file_is_read_as_java_reads_it(text, expected):
    assert parse_properties(text) == expected


@pytest.mark.parametrize("bad", ["\\u12", "\\u12g4", "\\u+123"])
def test_an_escape_that_cannot_be_read_is_an_error_that_names_file_and_line(bad):
    with pytest.raises(ConfigError) as caught:
        parse_properties(f"# first\n\na=1\nb=x{bad}\n", "worker.properties")
    assert str(caught.value) == (
        f"worker.properties, line 4: '{bad[:6]}' is not a character: \\u takes four hexadecimal digits;"
        " write \\\\ for a backslash"
    ).replace("'\\", "'\\")


@pytest.mark.parametrize("encoding", ["iso-8859-1", "utf-8"])
def test_a_file_that_begins_with_the_mark_of_utf_8_is_utf_8_and_its_first_setting_is_read(tmp_path, encoding):
    path = tmp_path / "worker.properties"
    path.write_bytes("listeners=http://127.0.0.1:0\r\nfile=für.txt\r\n".encode("utf-8-sig"))
    assert read_properties(path, encoding) == {"listeners": "http://127.0.0.1:0", "file": "für.txt"}
    path.write_bytes(b"\xef\xbb\xbfa=\xfc")
    with pytest.raises(ValueError, match="invalid start byte"):
        read_properties(path, encoding)


def test_worker_files_are_latin_1_and_those_of_the_file_provider_utf_8(tmp_path):
    file = tmp_path / "f.properties"
    file.write_bytes("a=ü".encode())
    assert read_properties(file) == {"a": "Ã¼"}
    assert read_properties(file, "utf-8") == {"a": "ü"}


def escaped(text, key):
    out = []
    for at, char in enumerate(text):
        if char in "\\=:#!\t\n\r\f" or (char == " " and (key or at == 0)):
            out.append({"\t": "\\t", "\n": "\\n", "\r": "\\r", "\f": "\\f"}.get(char, "\\" + char))
        else:
            out.append(char)
    return "".join(out)


@given(st.dictionaries(st.text(min_size=1), st.text()), st.sampled_from(["\n", "\r\n", "\r"]))
def test_what_java_would_store_is_read_back(settings, end):
    text = "".join(f"{escaped(k, True)}={escaped(v, False)}{end}" for k, v in settings.items())
    assert parse_properties(text) == settings


@given(st.text(alphabet="ab=: \t\\\n\r\f0#!"))
def test_any_text_without_wrong_escapes_is_read(text):
    for key, value in parse_properties(text).items():
        assert isinstance(key, str)
        assert isinstance(value, str)
