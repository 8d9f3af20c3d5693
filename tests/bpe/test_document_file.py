"""Documents come out of JSON lines and Parquet as they are, and what is wrong is named by row."""

import gzip
import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import fsspec
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from bpe_reference import SPECIALS, texts
from hypothesis import given
from hypothesis import strategies as st

from bpe import Tokenizer, count_pretokens, train_bpe
from bpe.byte_stream import DamagedFileError
from bpe.chunking import ChunkCutter, pack_documents
from bpe.engines import Engine
from bpe.open_text import open_text
from bpe.patterns import PATTERNS, compile_pattern
from bpe.pretokenize import split_pretokens

TmpPaths = pytest.TempPathFactory

# Were they one text, pretokens would span them.
DOCUMENTS = [
    "one wo",
    "rd",
    "",
    " two",
    "  ",
    "\n",
    "three<|endoftext|>",
    "<|endof",
    "text|>",
    "鍵",
]


def write_lines(path: Path, documents: Sequence[str]) -> None:
    lines = [json.dumps({"id": 7, "text": text}) + "\n" for text in documents]
    path.write_text("\n".join(lines))


def write_parquet(path: Path, documents: Sequence[str]) -> None:
    texts = pyarrow.array(documents, pyarrow.string())
    table = pyarrow.table({"id": [7] * len(documents), "text": texts})
    pyarrow.parquet.write_table(table, path, row_group_size=3)


WRITERS: dict[str, Callable[[Path, Sequence[str]], None]] = {
    "a.jsonl": write_lines,
    "a.ndjson": write_lines,
    "a.parquet": write_parquet,
}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: TmpPaths) -> Path:
    return tmp_path_factory.mktemp("documents")


@pytest.mark.parametrize("name", WRITERS)
@given(documents=st.lists(texts(SPECIALS, max_fragments=5)))
def test_documents_are_read_as_they_were_written(
    directory: Path, name: str, documents: list[str]
) -> None:
    WRITERS[name](directory / name, documents)
    found = open_text(directory / name)
    assert list(map("".join, found.documents())) == documents
    assert found.num_bytes == sum(len(text.encode()) for text in documents)
    assert found.num_read == (directory / name).stat().st_size


@pytest.mark.parametrize("engine", ["reference", "kernels"])
@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("chunk_bytes", [2, 1009])
def test_no_pretoken_spans_two_documents(
    directory: Path, name: str, engine: Engine, chunk_bytes: int
) -> None:
    WRITERS[name](directory / name, DOCUMENTS)
    found = count_pretokens(
        directory / name, ["<|endoftext|>"], engine=engine, workers=1, chunk_bytes=chunk_bytes
    )
    pattern = compile_pattern("gpt2")
    expected: Counter[str] = Counter()
    for document in DOCUMENTS:
        for piece in document.split("<|endoftext|>"):
            expected.update(split_pretokens(pattern, piece))
    assert found.counts == expected


@pytest.mark.parametrize("engine", ["reference", "kernels"])
def test_documents_train_the_same_in_any_form(directory: Path, corpus: str, engine: Engine) -> None:
    documents = corpus.split("\n")
    for name, write in WRITERS.items():
        write(directory / name, documents)
    packed = directory / "a.jsonl.gz"
    packed.write_bytes(gzip.compress((directory / "a.jsonl").read_bytes()))
    with fsspec.open("memory://documents/a.parquet", "wb") as file:
        file.write((directory / "a.parquet").read_bytes())
    paths: list[str | Path] = [*map(directory.joinpath, WRITERS), packed]
    paths.append("memory://documents/a.parquet")
    trained = [train_bpe(path, 307, [], engine=engine) for path in paths]
    assert all(result == trained[0] for result in trained)


def test_files_of_all_kinds_train_together(directory: Path, corpus: str) -> None:
    half = len(corpus) // 2
    (directory / "b.txt").write_bytes(corpus[:half].encode())
    (directory / "c.txt").write_bytes(corpus[half:].encode())
    write_lines(directory / "c.jsonl", [corpus[half:]])
    expected = train_bpe([directory / "b.txt", directory / "c.txt"], 307, [])
    engines: list[Engine] = ["reference", "kernels"]
    for engine in engines:
        paths = [directory / "c.jsonl", directory / "b.txt"]
        assert train_bpe(paths, 307, [], engine=engine, workers=2) == expected


@given(documents=st.lists(texts(SPECIALS, max_fragments=11)), size=st.integers(1, 23))
@pytest.mark.parametrize("pattern", PATTERNS)
def test_packed_documents_have_the_same_pretokens(
    documents: list[str], size: int, pattern: str
) -> None:
    compiled = compile_pattern(pattern)
    whole: list[str] = [""]
    parts: list[list[str]] = [[]]
    for chunk in pack_documents(documents, ChunkCutter(compiled, ()), size):
        for number, text in enumerate(chunk.texts, start=1):
            whole[-1] += text
            parts[-1] += split_pretokens(compiled, text)
            if not (chunk.goes_on and number == len(chunk.texts)):
                whole.append("")
                parts.append([])
    assert whole == [*documents, ""]
    assert parts == [split_pretokens(compiled, document) for document in whole]


def test_packed_documents_are_about_as_long_as_asked_for() -> None:
    cutter = ChunkCutter(compile_pattern("gpt2"), ())
    documents = ["short "] * 503 + ["a long one " * 101] + [""] * 499
    lengths = [
        sum(map(len, chunk.texts)) + len(chunk.texts)
        for chunk in pack_documents(documents, cutter, 211)
    ]
    assert max(lengths) < 211 * 2
    assert len(lengths) < 2 * sum(lengths) // 211


BAD_LINES: dict[str, tuple[bytes, str]] = {
    "no JSON": (b'{"text": nope}', "line 3: not JSON: Expecting value at character 10"),
    "cut short": (b'{"text": "a', "line 3: not JSON: Unterminated string starting at"),
    "a number": (b'{"text": 7}', "line 3: 'text' is int, not a string"),
    "null": (b'{"text": null}', "line 3: 'text' is NoneType, not a string"),
    "no column": (b'{"id": 7, "body": ""}', "line 3: no column 'text'; there are 'id', 'body'"),
    "no object": (b"[7]", "line 3: [7] is not an object with fields"),
    "no text": (b'{"text": "\xff"}', "line 3: invalid byte 0xff at offset 10"),
    "half a character": (b'{"text": "a\\ud800"}', "lone surrogate U+D800 at index 1"),
    "a nest": (b"[" * 100_003, "line 3: not JSON"),
}


@pytest.mark.parametrize("engine", ["reference", "kernels"])
@pytest.mark.parametrize("kind", BAD_LINES)
def test_a_bad_line_is_named(directory: Path, kind: str, engine: Engine) -> None:
    line, message = BAD_LINES[kind]
    path = directory / "bad.jsonl"
    path.write_bytes(b'{"text": "good"}\n\n' + line + b"\n")
    with pytest.raises(ValueError, match=r"bad\.jsonl, line 3") as error:
        count_pretokens(path, engine=engine)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def parquet_of(path: Path, values: Sequence[object], column: str = "text") -> Path:
    pyarrow.parquet.write_table(pyarrow.table({"id": [7] * len(values), column: values}), path)
    return path


@pytest.mark.parametrize(
    ("values", "column", "message"),
    [
        (["a"], "body", "bad.parquet: no column 'text'; there are 'id', 'body'"),
        ([3, 5], "text", "bad.parquet, row 1: 'text' is int64, not a string"),
        ([b"a"], "text", "bad.parquet, row 1: 'text' is binary, not a string"),
        (["a"] * 1024 + [None], "text", "bad.parquet, row 1,025: 'text' is null, not a string"),
    ],
)
def test_a_bad_column_is_named(
    directory: Path, values: list[object], column: str, message: str
) -> None:
    with pytest.raises(ValueError, match="bad") as error:
        list(open_text(parquet_of(directory / "bad.parquet", values, column)).documents())
    assert message in str(error.value)


@pytest.mark.parametrize(
    "kind", [pyarrow.large_string(), pyarrow.dictionary(pyarrow.int32(), pyarrow.string())]
)
def test_strings_of_every_kind_are_read(directory: Path, kind: pyarrow.DataType) -> None:
    path = parquet_of(directory / "kind.parquet", pyarrow.array(["a", "鍵", "a"], kind))
    assert list(open_text(path).documents()) == [("a",), ("鍵",), ("a",)]


def test_a_torn_parquet_file_is_refused(directory: Path) -> None:
    path = directory / "torn.parquet"
    write_parquet(path, DOCUMENTS * 101)
    whole = path.read_bytes()
    for length in [0, 5, 100, len(whole) // 2, len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(DamagedFileError, match=r"torn\.parquet: damaged, or not Parquet"):
            list(open_text(path).documents())


def test_a_packed_parquet_file_is_refused(directory: Path) -> None:
    with pytest.raises(ValueError, match="Parquet is packed inside"):
        open_text(directory / "a.parquet.gz")


def test_replacements_are_counted(directory: Path) -> None:
    path = directory / "replaced.jsonl"
    path.write_bytes(
        b'{"text": "a\xff \xef\xbf\xbd"}\n{"text": "\\ud800 \\ufffd \\ud83d\\ude00"}\n'
    )
    found = open_text(path, errors="replace")
    assert list(found.documents()) == [("a\ufffd \ufffd",), ("\ufffd \ufffd 😀",)]
    assert found.num_replacements == 2


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("engine", ["reference", "kernels"])
def test_end_of_text_follows_each_document(
    tmp_path: Path, tokenizer: Tokenizer, name: str, engine: Engine
) -> None:
    loaded = Tokenizer(tokenizer.vocab, tokenizer.merges, SPECIALS, engine=engine)
    documents = [*DOCUMENTS, "long " * 300_007, "last"]
    WRITERS[name](tmp_path / name, documents)
    end = tokenizer.special_tokens["<|endoftext|>"]
    parts = [tokenizer.encode(document, allowed_special="none") for document in documents]
    for end_of_text, behind in [(True, [end]), (False, [])]:
        written = loaded.encode_file(
            *(tmp_path / name, tmp_path / "a.npy"), allowed_special="none", end_of_text=end_of_text
        )
        ids = np.load(written.path).tolist()
        assert ids == [token for part in parts for token in [*part, *behind]]


def test_a_tokenizer_without_end_of_text_puts_nothing_between_documents(tmp_path: Path) -> None:
    write_lines(tmp_path / "a.jsonl", ["ab", "c"])
    tokenizer = Tokenizer({byte: bytes([byte]) for byte in range(256)}, [])
    assert tokenizer.encode_file(tmp_path / "a.jsonl", tmp_path / "a.npy").num_tokens == 3
