"""`trainer export`: from a run to what transformers opens."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from bpe import Tokenizer
from nn import ModelConfig, TransformerLM
from trainer.cli import main


def save_run(directory: Path, tokenizer: Tokenizer, **choices: Any) -> TransformerLM:
    config = ModelConfig(
        vocab_size=257, context_length=17, d_model=12, num_layers=2, num_heads=3, **choices
    )
    model = TransformerLM(config, generator=torch.Generator().manual_seed(0))
    model.save(directory / "model")
    tokenizer.save(directory / "tokenizer")
    return model


@pytest.mark.parametrize("pattern", ["gpt2", "cl100k"])
def test_exported_run_opens_in_transformers(tmp_path: Path, pattern: str) -> None:
    vocab = {0: b"<|endoftext|>"} | {byte + 1: bytes([byte]) for byte in range(256)}
    tokenizer = Tokenizer(vocab, [], ["<|endoftext|>"], pattern=pattern)
    model = save_run(tmp_path / "run", tokenizer)
    assert main(["export", str(tmp_path / "run"), "--out", str(tmp_path / "out")]) == 0
    theirs = AutoTokenizer.from_pretrained(tmp_path / "out")
    ids = theirs.encode("Once, 12345!")
    assert ids == tokenizer.encode("Once, 12345!")
    llama = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    with torch.no_grad():
        logits = llama(torch.tensor([ids])).logits
        torch.testing.assert_close(logits, model(torch.tensor([ids])), rtol=0, atol=1e-5)


def test_run_is_exported_into_itself_unless_told_where(
    tmp_path: Path, byte_tokenizer: Tokenizer, capsys: pytest.CaptureFixture[str]
) -> None:
    save_run(tmp_path / "run", byte_tokenizer)
    assert main(["export", str(tmp_path / "run")]) == 0
    assert (tmp_path / "run" / "llama" / "tokenizer.json").exists()
    assert "AutoModelForCausalLM.from_pretrained" in capsys.readouterr().out


def test_export_over_what_is_there_is_one_line(
    tmp_path: Path, byte_tokenizer: Tokenizer, capsys: pytest.CaptureFixture[str]
) -> None:
    save_run(tmp_path / "run", byte_tokenizer)
    assert main(["export", str(tmp_path / "run"), "--out", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("exists already: export to a new directory")


def test_export_of_what_a_llama_is_not_names_it(
    tmp_path: Path, byte_tokenizer: Tokenizer, capsys: pytest.CaptureFixture[str]
) -> None:
    save_run(tmp_path / "run", byte_tokenizer, ffn="relu2")
    assert main(["export", str(tmp_path / "run")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "trainer: transformers' Llama has no place for model.ffn='relu2'"
    assert not (tmp_path / "run" / "llama").exists()
