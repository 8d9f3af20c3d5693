"""What `bpe report` measures is what the ids say, and any tokenizer can stand against another."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from bpe_reference import SPECIALS

from bpe.any_tokenizer import load_any_tokenizer
from bpe.cli import main
from bpe.report import measure, share_of_tenths
from bpe.tokenizer import Tokenizer

# What tiktoken finds by itself where this lies on the path: an encoding that needs no network.
_PLUGIN = """
def little():
    ranks = {bytes([byte]): byte for byte in range(256)} | {b"th": 256, b"the": 257}
    return {
        "name": "little_base",
        "pat_str": r"\\w+|\\W",
        "mergeable_ranks": ranks,
        "special_tokens": {"<|pad|>": 258},
    }

ENCODING_CONSTRUCTORS = {"little_base": little}
"""


@pytest.fixture
def source(tmp_path: Path, corpus: str) -> Path:
    path = tmp_path / "text.txt"
    path.write_bytes(corpus[:5003].encode())
    return path


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["bpe", *map(str, arguments)])
    return main()


def test_shares_of_tenths_are_those_of_a_count_by_hand() -> None:
    # 23 ids: tenths of two or three.
    shares = share_of_tenths({0: 5, 1: 2, 2: 1, 22: 3, 11: 9}, 23)
    assert [(ids.start, ids.stop) for ids, _ in shares] == [
        *[(0, 2), (2, 4), (4, 6), (6, 9), (9, 11)],
        *[(11, 13), (13, 16), (16, 18), (18, 20), (20, 23)],
    ]
    assert [round(share * 20) for _, share in shares] == [7, 1, 0, 0, 0, 9, 0, 0, 0, 3]


@pytest.mark.parametrize("name", ["text.txt", "text.jsonl"])
def test_counts_are_those_of_the_ids(
    tokenizer: Tokenizer, source: Path, corpus: str, name: str
) -> None:
    texts = [corpus[:5003]] if name == "text.txt" else ["one", "", "two<|pad|>"]
    if name == "text.jsonl":
        lines = ['{"text": "one"}', '{"text": ""}', '{"text": "two<|pad|>"}']
        source.with_name(name).write_text("\n".join(lines))
    found = measure(tokenizer, source.with_name(name))
    ids = [token_id for text in texts for token_id in tokenizer.encode(text)]
    assert found.num_tokens == len(ids)
    assert found.counts == {token_id: ids.count(token_id) for token_id in set(ids)}
    assert found.num_bytes == len("".join(texts).encode())


def test_report_shows_the_share_of_each_tenth(
    saved: Path, source: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "report", saved, source) == 0
    lines = capsys.readouterr().out.splitlines()
    bars = [line.split() for line in lines if " to " in line and "%" in line]
    assert [[int(bar[0]), int(bar[2])] for bar in bars[::9]] == [[0, 75], [692, 768]]
    assert sum(float(bar[3].rstrip("%")) for bar in bars) == pytest.approx(100, abs=0.5)
    assert max(len(bar[4]) for bar in bars if bar[4:]) == 40


def test_report_puts_two_tokenizers_side_by_side(
    saved: Path,
    source: Path,
    tokenizer: Tokenizer,
    corpus: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    vocab = {token_id: token for token_id, token in tokenizer.vocab.items() if token_id < 509}
    smaller = Tokenizer(vocab, tokenizer.merges[: 509 - 259], SPECIALS)
    smaller.to_huggingface(tmp_path / "tokenizer.json")
    assert run(monkeypatch, "report", saved, source, "--against", tmp_path / "tokenizer.json") == 0
    told = capsys.readouterr().out
    own, other = (len(one.encode(corpus[:5003])) for one in (tokenizer, smaller))
    num_bytes = len(corpus[:5003].encode())
    assert f"tokens {own:,} {other:,}" in " ".join(told.split())
    expected = f"bytes per token {num_bytes / own:.3f} {num_bytes / other:.3f}"
    assert expected in " ".join(told.split())
    assert f"takes {own / other:.3f} times the tokens of tokenizer.json" in told


@pytest.mark.parametrize("kind", ["directory", "tokenizer.json", "gpt2", "ranks", "cl100k.ranks"])
def test_any_tokenizer_is_read(
    kind: str, trained: tuple[dict[int, bytes], list[tuple[bytes, bytes]]], tmp_path: Path
) -> None:
    tokenizer = Tokenizer(*trained, SPECIALS, pattern="cl100k")
    path = tmp_path / kind
    if kind.endswith("ranks"):
        tokenizer.to_tiktoken(path)
    elif kind == "tokenizer.json":
        tokenizer.to_huggingface(path)
    else:
        tokenizer.save(path)
    like = tokenizer
    if kind == "gpt2":
        (path / "special_tokens.json").unlink()
        tokenizer = Tokenizer(*trained)
    if kind == "cl100k.ranks":
        like = Tokenizer(*trained, SPECIALS, pattern="gpt2")
    assert load_any_tokenizer(str(path), like=like).sha256 == tokenizer.sha256


def test_special_tokens_of_a_rank_file_get_free_ids(tmp_path: Path, tokenizer: Tokenizer) -> None:
    Tokenizer({byte: bytes([byte]) for byte in range(256)}, []).to_tiktoken(tmp_path / "ranks")
    read = load_any_tokenizer(str(tmp_path / "ranks"), like=tokenizer)
    assert [*read.special_tokens] == SPECIALS
    assert min(read.special_tokens.values()) == 256


def test_a_name_that_tiktoken_knows_is_its_encoding(tmp_path: Path) -> None:
    (tmp_path / "tiktoken_ext").mkdir()
    (tmp_path / "tiktoken_ext" / "little.py").write_text(_PLUGIN)
    # A process of its own: tiktoken remembers what it has found.
    code = (
        "import tiktoken\n"
        "from bpe.any_tokenizer import load_any_tokenizer\n"
        "text = 'the math of <|pad|> then'\n"
        "print(load_any_tokenizer('little_base').encode(text))\n"
        "print(tiktoken.get_encoding('little_base').encode(text, allowed_special='all'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    ours, theirs = done.stdout.splitlines()
    assert ours == theirs
    assert "258" in ours


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ("none.json", "none.json: neither a file nor a name that tiktoken knows, such as gpt2"),
        ("empty", "empty: holds no tokenizer that can be read"),
        ("text.txt", "text.txt, line 1: "),
    ],
)
def test_what_is_no_tokenizer_is_one_line(
    other: str,
    message: str,
    saved: Path,
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    assert run(monkeypatch, "report", saved, source, "--against", other) in (2, 3)
    told = capsys.readouterr().err
    assert f"bpe: {message}" in told
    assert told.count("\n") == 1


def test_standard_input_cannot_be_read_twice(
    saved: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "report", saved, "-", "--against", saved) == 2
    assert "--against reads the text twice; give a file instead of -" in capsys.readouterr().err
