"""A run is read whole or refused in one line."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bpe import Tokenizer
from nn import TransformerLM
from sampling import RunDamagedError, RunError, load_run

Build = Callable[..., TransformerLM]


def test_run_is_read(run_directory: Path, tokenizer: Tokenizer) -> None:
    model, read = load_run(run_directory)
    assert (model.config.d_model, read.sha256) == (28, tokenizer.sha256)


def test_missing_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"nowhere does not exist: give the directory of a run"):
        load_run(tmp_path / "nowhere")


def test_file_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("hello")
    with pytest.raises(RunError, match="file is a file: give the directory"):
        load_run(tmp_path / "file")


@pytest.mark.parametrize("part", ["model", "tokenizer"])
def test_run_without_a_part_is_refused(run_directory: Path, part: str) -> None:
    shutil.rmtree(run_directory / part)
    with pytest.raises(RunError, match=f"it holds no {part}/"):
        load_run(run_directory)


# An empty merges.txt is whole: a tokenizer of single bytes has no merges.
@pytest.mark.parametrize(
    ("name", "content"),
    [("tokenizer/merges.txt", content) for content in (None, b"hello", b"\xff\xfe\x00")]
    + [
        (name, content)
        for name in (
            "model/config.json",
            "model/model.safetensors",
            "tokenizer/vocab.json",
            "tokenizer/special_tokens.json",
        )
        for content in (None, b"", b"hello", b"\xff\xfe\x00")
    ],
)
def test_damaged_file_is_a_damaged_run(
    run_directory: Path, name: str, content: bytes | None
) -> None:
    path = run_directory / name
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RunDamagedError) as raised:
        load_run(run_directory)
    assert "\n" not in str(raised.value)


def test_tokenizer_of_another_run_is_refused(run_directory: Path, build: Build) -> None:
    build(vocab_size=101).float().save(run_directory / "model")
    with pytest.raises(
        RunDamagedError, match="257 ids, model/ vocab_size=101: they are not of one"
    ):
        load_run(run_directory)
