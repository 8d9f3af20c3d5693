"""tokenizer.json: read and written, compared with the tokenizers library on the same file."""

import json
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from bpe_reference import SPECIALS, texts, tokenizers_of
from hypothesis import given
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, trainers

from bpe.patterns import PATTERNS
from bpe.tokenizer import Tokenizer

Trained = tuple[dict[int, bytes], list[tuple[bytes, bytes]]]

LLAMA = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


BYTE_LEVEL = {
    "type": "ByteLevel",
    "add_prefix_space": False,
    "trim_offsets": True,
    "use_regex": True,
}


@pytest.fixture(scope="module")
def theirs(corpus: str) -> tokenizers.Tokenizer:
    """Train with the library itself, as its users do."""
    made = tokenizers.Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=601,
        special_tokens=SPECIALS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator([corpus], trainer)
    return made


def write(path: Path, theirs: tokenizers.Tokenizer, **changes: Any) -> Path:
    """Write their file with some of its fields changed; a dotted name is a field of the model."""
    file = json.loads(theirs.to_str())
    for name, value in changes.items():
        owner, _, field = name.rpartition("__")
        (file[owner] if owner else file)[field] = value
    path.write_text(json.dumps(file))
    return path


@pytest.fixture(scope="module")
def read(theirs: tokenizers.Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return Tokenizer.from_huggingface(
        write(tmp_path_factory.mktemp("theirs") / "tokenizer.json", theirs)
    )


@given(text=texts(SPECIALS))
def test_a_file_of_the_library_gives_its_ids(
    read: Tokenizer, theirs: tokenizers.Tokenizer, text: str
) -> None:
    ids = read.encode(text)
    assert ids == theirs.encode(text).ids
    assert read.decode(ids) == theirs.decode(ids, skip_special_tokens=False)


@pytest.mark.parametrize("pattern", [*PATTERNS, r"[a-z]+|[\s\S]"])
def test_a_written_file_reads_back_the_same(tmp_path: Path, trained: Trained, pattern: str) -> None:
    tokenizer = Tokenizer(*trained, [*SPECIALS, "< \u00df >"], pattern=pattern)
    tokenizer.to_huggingface(tmp_path / "tokenizer.json")
    assert Tokenizer.from_huggingface(tmp_path).sha256 == tokenizer.sha256


def test_the_library_reads_the_ids_of_special_tokens_as_they_are(
    tmp_path: Path, trained: Trained
) -> None:
    tokenizer = Tokenizer(*trained, {**{s: i for i, s in enumerate(SPECIALS)}, "< \u00df >": 1009})
    theirs = tokenizers_of(tokenizer, tmp_path)
    assert theirs.encode("a< \u00df ><|pad|>").ids == tokenizer.encode("a< \u00df ><|pad|>")
    assert theirs.token_to_id("< \u00df >") == 1009


def test_merges_may_be_pairs_or_strings(tmp_path: Path, theirs: tokenizers.Tokenizer) -> None:
    merges = json.loads(theirs.to_str())["model"]["merges"]
    pairs = [merge.split(" ") if isinstance(merge, str) else merge for merge in merges]
    strings = [" ".join(pair) for pair in pairs]
    first = write(tmp_path / "a.json", theirs, model__merges=pairs)
    second = write(tmp_path / "b.json", theirs, model__merges=strings)
    assert Tokenizer.from_huggingface(first).merges == Tokenizer.from_huggingface(second).merges


def split_by(expression: str, behavior: str = "Isolated", invert: bool = False) -> dict[str, Any]:
    return {
        "type": "Sequence",
        "pretokenizers": [
            {
                "type": "Split",
                "pattern": {"Regex": expression},
                "behavior": behavior,
                "invert": invert,
            },
            {
                "type": "ByteLevel",
                "add_prefix_space": False,
                "trim_offsets": True,
                "use_regex": False,
            },
        ],
    }


@pytest.mark.parametrize(
    ("step", "pattern"),
    [
        (split_by(LLAMA), "llama3"),
        (split_by(PATTERNS["o200k"]), "o200k"),
        (split_by(PATTERNS["cl100k"], "Removed", True), "cl100k"),
        (split_by(r"[a-z]+"), r"[a-z]+"),
    ],
)
@given(text=texts(SPECIALS))
def test_split_patterns_give_the_ids_of_the_library(
    tmp_path_factory: pytest.TempPathFactory,
    theirs: tokenizers.Tokenizer,
    step: dict[str, Any],
    pattern: str,
    text: str,
) -> None:
    path = write(tmp_path_factory.getbasetemp() / "split.json", theirs, pre_tokenizer=step)
    tokenizer = Tokenizer.from_huggingface(path)
    assert tokenizer.pattern == pattern
    assert tokenizer.encode(text) == tokenizers.Tokenizer.from_file(str(path)).encode(text).ids


@given(text=texts())
def test_ignored_merges_give_the_ids_of_the_library(
    tmp_path_factory: pytest.TempPathFactory, theirs: tokenizers.Tokenizer, text: str
) -> None:
    # Tokens that no merge makes are found as whole pretokens only: as in files made from ranks.
    vocab = json.loads(theirs.to_str())["model"]["vocab"]
    vocab |= {"don": 601, "Ġ67": 602, "THE": 603, "\u0120THE": 604, "ĠÃ©": 605}
    path = write(
        tmp_path_factory.getbasetemp() / "ignore.json",
        theirs,
        model__vocab=vocab,
        model__ignore_merges=True,
    )
    tokenizer = Tokenizer.from_huggingface(path)
    library = tokenizers.Tokenizer.from_file(str(path))
    for words in (text, "don't THE 67 é", "THE THEN"):
        assert tokenizer.encode(words) == library.encode(words).ids
    assert 603 in tokenizer.encode("THE")


def test_added_tokens_outside_the_vocabulary_are_special_tokens(
    tmp_path: Path, theirs: tokenizers.Tokenizer
) -> None:
    library = tokenizers.Tokenizer.from_str(theirs.to_str())
    library.add_special_tokens(["<|ß x|>"])
    library.add_tokens([AddedToken("   ", normalized=False)])
    library.save(str(tmp_path / "tokenizer.json"))
    tokenizer = Tokenizer.from_huggingface(tmp_path)
    text = "the   man<|ß x|><|pad|>"
    assert tokenizer.encode(text) == library.encode(text).ids


@pytest.mark.parametrize(
    "changes",
    [
        {"normalizer": {"type": "Sequence", "normalizers": []}},
        {"post_processor": None},
        {"post_processor": {"type": "Sequence", "processors": []}},
        {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [BYTE_LEVEL]}},
    ],
)
def test_what_changes_no_ids_is_read(
    tmp_path: Path, theirs: tokenizers.Tokenizer, read: Tokenizer, changes: dict[str, Any]
) -> None:
    path = write(tmp_path / "tokenizer.json", theirs, **changes)
    text = "the e\u0301 man<|pad|>"
    assert tokenizers.Tokenizer.from_file(str(path)).encode(text).ids == read.encode(text)
    assert Tokenizer.from_huggingface(path).sha256 == read.sha256


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "another model": ({"model__type": "WordPiece"}, "model.type is 'WordPiece'"),
    "normalizer": (
        {"normalizer": json.loads(normalizers.NFC().__getstate__())},
        "normalizer is .*NFC",
    ),
    "dropout": ({"model__dropout": 0.1}, r"model\.dropout is 0\.1"),
    "unknown token": ({"model__unk_token": "<unk>"}, 'model.unk_token is "<unk>"'),
    "byte fallback": ({"model__byte_fallback": True}, "model.byte_fallback is true"),
    "subword prefix": ({"model__continuing_subword_prefix": "##"}, "continuing_subword_prefix"),
    "word suffix": ({"model__end_of_word_suffix": "</w>"}, "end_of_word_suffix"),
    "truncation": ({"truncation": {"max_length": 5}}, "truncation is"),
    "padding": ({"padding": {"pad_id": 0}}, "padding is"),
    "prefix space": (
        {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True, "use_regex": True}},
        "add_prefix_space",
    ),
    "no pre-tokenizer": ({"pre_tokenizer": None}, "pre_tokenizer is null"),
    "another pre-tokenizer": ({"pre_tokenizer": {"type": "Whitespace"}}, "Whitespace cannot be"),
    "a normalizer in a row": (
        {"normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}]}},
        "normalizer is .*NFC",
    ),
    "several splits": (
        {
            "pre_tokenizer": {
                "type": "Sequence",
                "pretokenizers": [
                    split_by(r"\p{N}{1,3}")["pretokenizers"][0],
                    *split_by(LLAMA)["pretokenizers"],
                ],
            }
        },
        r"Split \+ Split \+ ByteLevel cannot be expressed",
    ),
    "two patterns": (
        {
            "pre_tokenizer": {
                "type": "Sequence",
                "pretokenizers": [
                    {"type": "Digits", "individual_digits": True},
                    {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True},
                ],
            }
        },
        r"Digits \+ ByteLevel cannot be expressed",
    ),
    "merged with the next": (
        {"pre_tokenizer": split_by("a", "MergedWithNext")},
        "MergedWithNext",
    ),
    "gaps removed": ({"pre_tokenizer": split_by("[a-z]+", "Removed", True)}, "'Removed'"),
    "another decoder": ({"decoder": {"type": "Metaspace"}}, "decoder 'Metaspace'"),
    "stripping added token": (
        {"added_tokens": [{"id": 0, "content": "<|endoftext|>", "lstrip": True}]},
        "'<|endoftext|>' has lstrip",
    ),
    "added token with two ids": (
        {"added_tokens": [{"id": 5, "content": "<|endoftext|>"}]},
        "has id 5, but id 0 in model.vocab",
    ),
    "added tokens of two passes that overlap": (
        {
            "added_tokens": [
                {"id": 0, "content": "<|endoftext|>", "normalized": False},
                {"id": 700, "content": "x<|end", "normalized": True},
            ]
        },
        "overlap",
    ),
    "a merge of three": ({"model__merges": ["a b c"]}, "'a b c' is not two tokens"),
    "a merge out of vocabulary": ({"model__merges": ["q x"]}, "needs the token b'qx'"),
    "a token that is not spelled in bytes": (
        {"model__vocab": {"▁the": 0}},
        "'▁the' has '▁', which spells no byte",
    ),
    "no merges": ({"model__merges": None}, "model.merges not a list"),
    "a list as model": ({"model": []}, "not a whole tokenizer.json"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_expressed_is_refused_by_name(
    tmp_path: Path, theirs: tokenizers.Tokenizer, kind: str
) -> None:
    changes, message = REFUSED[kind]
    path = write(tmp_path / "tokenizer.json", theirs, **changes)
    with pytest.raises(ValueError, match=message.replace("|", r"\|")) as error:
        Tokenizer.from_huggingface(path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


def test_a_token_that_stands_there_twice_is_refused(tmp_path: Path, tokenizer: Tokenizer) -> None:
    tokenizer.to_huggingface(tmp_path / "tokenizer.json")
    text = (tmp_path / "tokenizer.json").read_text().replace('"vocab": {', '"vocab": {"a": 5,', 1)
    (tmp_path / "tokenizer.json").write_text(text)
    with pytest.raises(ValueError, match="'a' stands there twice"):
        Tokenizer.from_huggingface(tmp_path)


@pytest.mark.parametrize("special", ["Ġ", " the", "é"])
def test_a_special_token_spelled_like_an_ordinary_one_is_not_written(
    tmp_path: Path, trained: Trained, special: str
) -> None:
    tokenizer = Tokenizer(*trained, [special])
    with pytest.raises(ValueError, match=f"special token '{special}' cannot be written"):
        tokenizer.to_huggingface(tmp_path / "tokenizer.json")
    assert not list(tmp_path.iterdir())
