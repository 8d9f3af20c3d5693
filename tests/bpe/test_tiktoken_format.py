"""Rank files: merges recovered from ranks, and ranks written, compared with tiktoken."""

import base64
from pathlib import Path

import pytest
import tiktoken
from bpe_reference import SPECIALS, texts
from hypothesis import given
from hypothesis import strategies as st
from tiktoken.load import load_tiktoken_bpe

from bpe.patterns import PATTERNS
from bpe.tiktoken_format import recover_merges
from bpe.tokenizer import Tokenizer

Trained = tuple[dict[int, bytes], list[tuple[bytes, bytes]]]


def load_ranks(path: Path) -> dict[bytes, int]:
    """Read a rank file with tiktoken, which otherwise remembers files by their paths."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIKTOKEN_CACHE_DIR", "")
        return load_tiktoken_bpe(str(path))


def test_merges_are_recovered_from_ranks(trained: Trained) -> None:
    vocab, merges = trained
    ranks = {token: rank for rank, token in vocab.items() if rank >= len(SPECIALS)}
    assert recover_merges(ranks) == (merges, [])


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_written_rank_file_reads_back_the_same(
    tmp_path: Path, trained: Trained, pattern: str
) -> None:
    tokenizer = Tokenizer(*trained, SPECIALS, pattern=pattern)
    tokenizer.to_tiktoken(tmp_path / "ours.tiktoken")
    read = Tokenizer.from_tiktoken(
        tmp_path / "ours.tiktoken", tokenizer.special_tokens, pattern=pattern
    )
    assert read.sha256 == tokenizer.sha256


@given(text=texts(SPECIALS))
def test_tiktoken_reads_the_written_file_alike(
    tmp_path_factory: pytest.TempPathFactory, tokenizer: Tokenizer, text: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "ours.tiktoken"
    tokenizer.to_tiktoken(path)
    theirs = tiktoken.Encoding(
        "ours",
        pat_str=PATTERNS["gpt2"],
        mergeable_ranks=load_ranks(path),
        special_tokens=tokenizer.special_tokens,
    )
    assert theirs.encode(text, allowed_special="all") == tokenizer.encode(text)


def write_ranks(path: Path, ranks: dict[bytes, int]) -> Path:
    lines = [f"{base64.b64encode(token).decode()} {rank}" for token, rank in ranks.items()]
    path.write_text("\n".join(lines))
    return path


@st.composite
def any_ranks(draw: st.DrawFn) -> dict[bytes, int]:
    """Draw ranks that no training made: tokens out of nowhere, in any order."""
    tokens = draw(st.lists(st.text("abc", min_size=2, max_size=5), unique=True, max_size=17))
    order = [bytes([byte]) for byte in range(256)] + [token.encode() for token in tokens]
    return {token: rank for rank, token in enumerate(draw(st.permutations(order)))}


@given(ranks=any_ranks(), text=st.text("abc ", max_size=67))
def test_any_ranks_give_tiktokens_ids(
    tmp_path_factory: pytest.TempPathFactory, ranks: dict[bytes, int], text: str
) -> None:
    path = write_ranks(tmp_path_factory.getbasetemp() / "any.tiktoken", ranks)
    ours = Tokenizer.from_tiktoken(path, pattern="gpt2")
    theirs = tiktoken.Encoding(
        "any", pat_str=PATTERNS["gpt2"], mergeable_ranks=ranks, special_tokens={}
    )
    assert ours.encode(text) == theirs.encode(text)


@given(ranks=any_ranks())
def test_any_ranks_are_written_as_they_were_read(
    tmp_path_factory: pytest.TempPathFactory, ranks: dict[bytes, int]
) -> None:
    path = write_ranks(tmp_path_factory.getbasetemp() / "any.tiktoken", ranks)
    Tokenizer.from_tiktoken(path, pattern="gpt2").to_tiktoken(path.with_name("again.tiktoken"))
    assert load_ranks(path.with_name("again.tiktoken")) == ranks


def all_ways(merges: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """List every pair of tokens that makes a token, as converters from ranks do."""
    tokens = {bytes([byte]) for byte in range(256)} | {left + right for left, right in merges}
    ways = []
    for left, right in merges:
        token = left + right
        cuts = [(token[:at], token[at:]) for at in range(1, len(token))]
        ways += [cut for cut in cuts if cut[0] in tokens and cut[1] in tokens]
    return ways


@given(text=texts())
def test_a_vocabulary_with_every_way_to_each_token_is_written(
    tmp_path_factory: pytest.TempPathFactory, trained: Trained, text: str
) -> None:
    vocab, merges = trained
    assert len(all_ways(merges)) > len(merges)
    tokenizer = Tokenizer(vocab, all_ways(merges), SPECIALS, ignore_merges=True)
    path = tmp_path_factory.getbasetemp() / "ways.tiktoken"
    tokenizer.to_tiktoken(path)
    read = Tokenizer.from_tiktoken(path, tokenizer.special_tokens, pattern="gpt2")
    assert read.merges == merges
    assert read.encode(text) == tokenizer.encode(text)


def test_special_tokens_take_the_given_or_the_next_ids(
    tmp_path: Path, tokenizer: Tokenizer
) -> None:
    ranks = {bytes([byte]): byte for byte in range(256)}
    path = write_ranks(tmp_path / "bytes.tiktoken", ranks)
    given_ids = Tokenizer.from_tiktoken(path, {"<|a|>": 300, "<|b|>": 270}, pattern="gpt2")
    assert given_ids.encode("<|a|><|b|>") == [300, 270]
    next_ids = Tokenizer.from_tiktoken(path, ["<|a|>", "<|b|>"], pattern="gpt2")
    assert next_ids.encode("<|a|><|b|>") == [256, 257]


def test_ids_that_are_not_in_the_order_of_merges_cannot_be_ranks(
    tmp_path: Path, trained: Trained
) -> None:
    vocab, merges = trained
    swapped = Tokenizer(vocab | {700: vocab[701], 701: vocab[700]}, merges, SPECIALS)
    with pytest.raises(ValueError, match="would be merged out of their turn"):
        swapped.to_tiktoken(tmp_path / "swapped.tiktoken")
    assert not list(tmp_path.iterdir())


def test_a_token_that_nothing_makes_cannot_be_a_rank(tmp_path: Path, trained: Trained) -> None:
    with pytest.raises(ValueError, match=r"b'<\|endoftext\|>'.*name it in special_tokens"):
        Tokenizer(*trained).to_tiktoken(tmp_path / "ranks.tiktoken")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("YQ==", "line 258: 'YQ==' is not a base64 token and its rank"),
        ("?? 300", "line 258: '\\?\\? 300' is not a base64"),
        ("YWI= x", "line 258: rank x is not a number"),
        ("YWI= -3", "line 258: rank -3 is not a number"),
        ("YWI= 97", "line 258: rank 97 .* stands there twice"),
        ("YQ== 300", "line 258: token b'a' .* stands there twice"),
        ("YWI= 300", "vocab has no id 256, .* 300; `bpe convert --special-token TEXT=256` gives"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = write_ranks(tmp_path / "bad.tiktoken", {bytes([byte]): byte for byte in range(256)})
    path.write_text(path.read_text() + "\n\n" + line)
    with pytest.raises(ValueError, match=message) as error:
        Tokenizer.from_tiktoken(path, pattern="gpt2")
    assert str(error.value).startswith(str(path))


def test_help_says_what_a_rank_file_needs() -> None:
    told = str(Tokenizer.from_tiktoken.__doc__)
    assert all(f'"{name}"' in told for name in PATTERNS)
    assert "a mapping of text to id" in told
