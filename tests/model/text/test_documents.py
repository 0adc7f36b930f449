from __future__ import annotations

import io
import zipfile

import pytest

from model.errors import CorpusError
from model.text import documents
from model.text.documents import text_of
from model.text.kinds import kind_of


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<p>one\n two<br>three<p>four", "one two\nthree\nfour\n"),
        ("a <b>bold</b> <i>word</i>, <a href=x>linked</a>.", "a bold word, linked.\n"),
        ("<pre>  a\n\tb\n\n c</pre>d", "  a\n\tb\n\n c\nd\n"),
        ("<table><tr><td>1</td><td> 2 </td></tr><tr><th>3<td>4</table>", "1\t2\n3\t4\n"),
        ("<!-- no --><script>no</script><style>no</style><template>no</template><p>yes", "yes\n"),
        ("<h1>A</h1>\n\n<ul>\n <li>b\n <li>c</ul>", "A\nb\nc\n"),
        ("&lt;p&gt; &amp; caf&eacute;", "<p> & café\n"),
    ],
)
def test_a_page_is_read_as_people_see_it(page: str, text: str) -> None:
    assert text_of("html", "page", page.encode()) == text


def test_a_page_nested_without_end_is_read() -> None:
    assert text_of("html", "page", b"<html>" + b"<div>" * 20_000 + b"deep") == "deep\n"


@pytest.mark.parametrize("charset", ["windows-1251", "shift_jis", "gb18030"])
def test_a_page_is_in_the_encoding_that_it_names(charset: str) -> None:
    page = f'<html><head><meta charset="{charset}"></head><body>{{}}</body></html>'
    words = {"windows-1251": "фонарь", "shift_jis": "駅の前", "gb18030": "巷口的灯"}[charset]
    assert text_of("html", "page", page.format(words).encode(charset)) == f"{words}\n"


def zip_with(members: dict[str, bytes]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)  # of 1980: names of tests must not change with the time
    return data.getvalue()


def refusal(kind: str, data: bytes) -> str:
    with pytest.raises(CorpusError) as error:
        text_of(kind, "a.file", data)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_is_damaged_or_hostile_is_refused_by_name() -> None:
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><x>&b;</x>'
    assert "has a document type" in refusal(
        "docx", zip_with({"[Content_Types].xml": b"<x/>", "word/document.xml": bomb})
    )
    assert "is not a readable Word file" in refusal("docx", b"PK\x03\x04 and no more")
    assert "is not a readable Word file" in refusal("docx", zip_with({"word/document.xml": b"<x/>"}))
    assert "is not a readable EPUB" in refusal("epub", zip_with({"mimetype": b"application/epub+zip"}))
    assert "has no full-path" in refusal("epub", zip_with({"META-INF/container.xml": b"<container/>"}))
    assert refusal("html", b"<html></html>") == "a.file: holds no text"


def test_what_unpacks_to_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "MAX_UNPACKED_BYTES", 2**20)
    large = zip_with({f"OEBPS/{n}.xhtml": bytes(2**18) for n in range(5)})
    assert "unpacks to more than 1 MB" in refusal("epub", large)


@pytest.mark.parametrize(
    ("name", "head", "kind"),
    [
        ("a.txt", b"plain", "text"),
        ("a.html", b"\xef\xbb\xbf<!doctype HTML><p>", "html"),
        ("standard input", "\ufeff<html>".encode("utf-16"), "html"),
        ("a.xhtml", b"<?xml version='1.0'?>\n<!-- x -->\n<html>", "html"),
        ("a.txt", b"<!DOCTYPE html>", "text"),
        ("a.md", b"<htmlish> is no page", "text"),
        ("a.md", b"BZh is how Bertha begins", "text"),
        ("a.md", b"MZ\x90 is none", "text"),
        ("a.md", b"ID3 and RIFFs", "text"),
        ("a.xml", b"<?xml version='1.0'?><tei>", "text"),
        ("a.gz", b"\x1f\x8b\x08", "gzip"),
        ("a.zip", zip_with({"one.txt": b"1", "word/two.txt": b"2"}), "zip"),
        ("a.docx", zip_with({"[Content_Types].xml": b"1", "word/document.xml": b"2"}), "docx"),
        ("a", zip_with({"word/document.xml": b"1", "[Content_Types].xml": b"2"}), "docx"),
        ("a", zip_with({"_rels/.rels": b"1", "docProps/app.xml": b"2", "word/document.xml": b"3"}), "docx"),
        ("a.zip", b"PK\x05\x06" + bytes(18), "zip"),
    ],
)
def test_a_kind_is_told_by_the_first_bytes(name: str, head: bytes, kind: str) -> None:
    assert kind_of(name, head) == kind
