"""Models that leave the house and come back: against transformers' own Llamas, both ways."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from bpe import Tokenizer
from nn import ModelConfig, ModelFileError, TransformerLM, export_llama, load_llama

# Heads of one pair, of several; shared keys of every kind; tied and not; long and short angles.
SHAPES: list[dict[str, Any]] = [
    {},
    {"num_kv_heads": 2},
    {"num_kv_heads": 1, "tied_embeddings": True},
    {"num_heads": 12, "d_ff": 29, "rope_theta": 500_000.0},
    {"num_layers": 3, "num_heads": 2, "norm_eps": 1e-2},
]
TEXTS = ["the cat sat on the mat", "Die Katze  saß\n\n auf 1234 Matten's!", " \t\n ", ""]


def build(**choices: Any) -> TransformerLM:
    sizes = {"vocab_size": 293, "context_length": 31, "d_model": 24, "num_layers": 2}
    return TransformerLM(ModelConfig(**({"num_heads": 6} | sizes | choices)))


def build_llama(*, dtype: torch.dtype = torch.float32, **choices: Any) -> Any:
    sizes = {"vocab_size": 53, "hidden_size": 24, "intermediate_size": 29, "num_hidden_layers": 2}
    rest = {"num_attention_heads": 6, "max_position_embeddings": 31}
    llama: Any = LlamaForCausalLM(LlamaConfig(**(sizes | rest | choices)))
    return llama.to(dtype)


def open_llama(directory: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(directory)


def logits_of(llama: Any, token_ids: Tensor) -> Tensor:
    with torch.no_grad():
        logits: Tensor = llama(token_ids).logits
    return logits


@pytest.fixture
def tokenizer() -> Tokenizer:
    """A tokenizer with 3 merges and a special token at each end of the ids."""
    vocab = {0: b"<|endoftext|>", **{1 + byte: bytes([byte]) for byte in range(256)}}
    merges = [(b"t", b"h"), (b"th", b"e"), (b" ", b"c")]
    vocab |= {257 + rank: left + right for rank, (left, right) in enumerate(merges)}
    vocab[260] = b"<|the end|>"
    return Tokenizer(vocab, merges, ["<|endoftext|>", "<|the end|>"])


@pytest.mark.parametrize("choices", SHAPES)
def test_exported_model_has_equal_logits_in_transformers(
    tmp_path: Path, choices: dict[str, Any]
) -> None:
    model, token_ids = build(**choices), torch.randint(0, 293, (3, 31))
    export_llama(model, None, tmp_path / "llama")
    llama = open_llama(tmp_path / "llama")
    assert llama.dtype == torch.float32
    theirs = logits_of(llama, token_ids)
    torch.testing.assert_close(theirs, model(token_ids).detach(), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "choices",
    [
        {},
        {"num_key_value_heads": 2},
        {"num_key_value_heads": 1, "tie_word_embeddings": True},
        {"rms_norm_eps": 1e-2, "rope_parameters": {"rope_type": "default", "rope_theta": 77.0}},
        {"num_attention_heads": 2, "num_hidden_layers": 3},
    ],
)
def test_loaded_llama_has_equal_logits_here(tmp_path: Path, choices: dict[str, Any]) -> None:
    llama, token_ids = build_llama(**choices), torch.randint(0, 53, (3, 31))
    llama.save_pretrained(tmp_path)
    model = load_llama(tmp_path)
    torch.testing.assert_close(
        model(token_ids).detach(), logits_of(llama, token_ids), rtol=0, atol=1e-5
    )
    assert all(p.requires_grad and p.is_leaf for p in model.parameters())


def test_bfloat16_model_is_exported_as_such(tmp_path: Path) -> None:
    model, token_ids = build(num_kv_heads=2).to(torch.bfloat16), torch.randint(0, 293, (3, 31))
    export_llama(model, None, tmp_path / "llama")
    llama = open_llama(tmp_path / "llama")
    assert llama.dtype == torch.bfloat16
    # The two round at different places.
    theirs = logits_of(llama, token_ids)
    torch.testing.assert_close(theirs, model(token_ids).detach(), rtol=0, atol=5e-2)
    theirs = logits_of(llama.float(), token_ids)
    torch.testing.assert_close(theirs, model.float()(token_ids).detach(), rtol=0, atol=1e-5)


def test_bfloat16_llama_is_loaded_as_such(tmp_path: Path) -> None:
    llama, token_ids = build_llama(dtype=torch.bfloat16), torch.randint(0, 53, (3, 31))
    llama.save_pretrained(tmp_path)
    assert {p.dtype for p in load_llama(tmp_path).parameters()} == {torch.bfloat16}
    model = load_llama(tmp_path, dtype=torch.float32)
    theirs = logits_of(llama.float(), token_ids)
    torch.testing.assert_close(model(token_ids).detach(), theirs, rtol=0, atol=1e-5)


def test_weights_in_several_files_are_read(tmp_path: Path) -> None:
    llama, token_ids = build_llama(), torch.randint(0, 53, (3, 31))
    llama.save_pretrained(tmp_path, max_shard_size="10KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    model = load_llama(tmp_path)
    torch.testing.assert_close(
        model(token_ids).detach(), logits_of(llama, token_ids), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("choices", SHAPES)
def test_export_and_load_give_the_same_weights_back(
    tmp_path: Path, choices: dict[str, Any]
) -> None:
    model = build(**choices)
    export_llama(model, None, tmp_path / "llama")
    back = load_llama(tmp_path / "llama")
    config = model.config
    assert back.config == replace(
        config, num_kv_heads=config.resolved_num_kv_heads, d_ff=config.resolved_d_ff
    )
    expected = model.state_dict()
    assert back.state_dict().keys() == expected.keys()
    assert all(torch.equal(w, expected[name]) for name, w in back.state_dict().items())
    tied = back.lm_head.weight is back.token_embeddings.weight
    assert tied == config.tied_embeddings


def test_transformers_generates_what_the_model_would(tmp_path: Path) -> None:
    model, token_ids = build(num_kv_heads=2), torch.randint(0, 293, (1, 5))
    export_llama(model, None, tmp_path / "llama")
    llama = open_llama(tmp_path / "llama")
    theirs = llama.generate(token_ids, max_new_tokens=11, do_sample=False)
    ours = token_ids
    for _ in range(11):
        ours = torch.cat((ours, model(ours)[:, -1:].argmax(-1)), dim=1)
    assert theirs.tolist() == ours.tolist()


@pytest.mark.parametrize("written", ["three files", "tokenizer.json"])
def test_exported_tokenizer_gives_equal_ids(
    tmp_path: Path, tokenizer: Tokenizer, written: str
) -> None:
    place = tmp_path / "tokenizer"
    if written == "three files":
        tokenizer.save(place)
    else:
        place.mkdir()
        tokenizer.to_huggingface(place / "tokenizer.json")
    export_llama(build(), place, tmp_path / "llama")
    theirs = AutoTokenizer.from_pretrained(tmp_path / "llama")
    for text in [*TEXTS, "<|endoftext|>".join(TEXTS), "the<|the end|>the"]:
        assert theirs.encode(text) == tokenizer.encode(text)
        assert theirs.decode(theirs.encode(text)) == text


def test_translated_tokenizer_is_the_file_that_the_tokenizer_writes(
    tmp_path: Path, tokenizer: Tokenizer
) -> None:
    tokenizer.save(tmp_path / "tokenizer")
    export_llama(build(), tmp_path / "tokenizer", tmp_path / "llama")
    tokenizer.to_huggingface(tmp_path / "tokenizer.json")
    expected = (tmp_path / "tokenizer.json").read_text()
    assert (tmp_path / "llama" / "tokenizer.json").read_text() == expected


def test_model_and_tokenizer_agree_on_the_token_that_ends_a_text(
    tmp_path: Path, tokenizer: Tokenizer
) -> None:
    tokenizer.save(tmp_path / "tokenizer")
    export_llama(build(), tmp_path / "tokenizer", tmp_path / "llama")
    theirs = AutoTokenizer.from_pretrained(tmp_path / "llama")
    llama = open_llama(tmp_path / "llama")
    assert theirs.eos_token == "<|endoftext|>"
    assert theirs.eos_token_id == llama.generation_config.eos_token_id == 0
    assert llama.config.eos_token_id == 0


def test_copied_tokenizer_keeps_its_end_of_text(tmp_path: Path, tokenizer: Tokenizer) -> None:
    tokenizer.to_huggingface(tmp_path / "tokenizer.json")
    (tmp_path / "tokenizer_config.json").write_text('{"eos_token": {"content": "<|the end|>"}}')
    export_llama(build(), tmp_path, tmp_path / "llama")
    llama = open_llama(tmp_path / "llama")
    assert llama.generation_config.eos_token_id == 260


def test_weights_alone_name_no_special_tokens(tmp_path: Path) -> None:
    export_llama(build(), None, tmp_path / "llama")
    config = open_llama(tmp_path / "llama").config
    assert (config.bos_token_id, config.eos_token_id) == (None, None)
    names = {path.name for path in (tmp_path / "llama").iterdir()}
    assert names == {"config.json", "generation_config.json", "model.safetensors"}


@pytest.mark.parametrize(
    ("choices", "named"),
    [
        ({"norm": "none"}, "model.norm='none'"),
        ({"norm_placement": "post"}, "model.norm_placement='post'"),
        ({"position": "none"}, "model.position='none'"),
        ({"ffn": "silu"}, "model.ffn='silu'"),
        ({"ffn": "relu2"}, "model.ffn='relu2'"),
        ({"logit_soft_cap": 30.0}, "model.logit_soft_cap=30.0"),
        (
            {"qk_norm": True, "value_embeddings": (1,)},
            "model.qk_norm=True, model.value_embeddings=(1,)",
        ),
    ],
)
def test_choice_that_a_llama_does_not_have_is_named(
    tmp_path: Path, choices: dict[str, Any], named: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(f"Llama has no place for {named}") + "$"):
        export_llama(build(**choices), None, tmp_path / "llama")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["full", "file"])
def test_nothing_is_exported_over_what_is_there(tmp_path: Path, name: str) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError, match=f"{name} exists already: export to a new directory"):
        export_llama(build(), None, tmp_path / name)
    assert (tmp_path / "full" / "mine").exists()


def test_empty_directory_is_filled(tmp_path: Path) -> None:
    (tmp_path / "llama").mkdir()
    export_llama(build(), None, tmp_path / "llama")
    load_llama(tmp_path / "llama")


def test_failed_export_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        export_llama(build(), None, tmp_path / "llama")
    assert not list(tmp_path.iterdir())


def test_tokenizer_of_a_larger_vocabulary_is_refused(tmp_path: Path, tokenizer: Tokenizer) -> None:
    tokenizer.save(tmp_path / "tokenizer")
    message = "has the token id 260, which model.vocab_size=260 has no place for"
    with pytest.raises(ValueError, match=message):
        export_llama(build(vocab_size=260), tmp_path / "tokenizer", tmp_path / "llama")


def test_unknown_pattern_says_what_to_do(tmp_path: Path, tokenizer: Tokenizer) -> None:
    tokenizer.save(tmp_path)
    rest = json.loads((tmp_path / "special_tokens.json").read_text()) | {"pattern": "cl100k"}
    (tmp_path / "special_tokens.json").write_text(json.dumps(rest))
    with pytest.raises(ValueError, match=r"not 'cl100k': put a tokenizer\.json there"):
        export_llama(build(), tmp_path, tmp_path / "llama")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "holds no tokenizer: neither tokenizer.json nor vocab.json"),
        ({"tokenizer.json": "{"}, "tokenizer.json is not valid JSON"),
        ({"tokenizer.json": "[]"}, "tokenizer.json is not a JSON object"),
        ({"tokenizer.json": "{}"}, "holds no whole tokenizer: KeyError('model')"),
        (
            {"vocab.json": "{}", "merges.txt": "", "special_tokens.json": "{}"},
            "holds no whole tokenizer: KeyError('special_tokens')",
        ),
        (
            {
                "vocab.json": '{"a": 0, "b": 1, "ab": 2}',
                "merges.txt": "a b",
                "special_tokens.json": '{"special_tokens": {"ab": 3}}',
            },
            "special token 'ab' cannot be written to tokenizer.json",
        ),
    ],
)
def test_broken_tokenizer_is_one_line(tmp_path: Path, files: dict[str, str], message: str) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        export_llama(build(), tmp_path, tmp_path / "llama")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "llama").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "mistral"}, "model_type is 'mistral', not 'llama'"),
        ({"hidden_act": "gelu"}, "hidden_act='gelu' cannot be expressed, only 'silu'"),
        ({"attention_bias": True}, "attention_bias=True cannot be expressed"),
        ({"mlp_bias": True}, "mlp_bias=True cannot be expressed"),
        ({"head_dim": 8}, "head_dim=8 is not hidden_size / num_attention_heads = 4"),
        (
            {"rope_parameters": None, "rope_scaling": {"type": "linear", "factor": 2.0}},
            "rope_scaling={'type': 'linear', 'factor': 2.0} cannot be expressed",
        ),
        ({"rope_parameters": {"rope_type": "llama3"}}, "rope_parameters={'rope_type': 'llama3'}"),
        ({"quantization_config": {"bits": 4}}, "quantized weights cannot be expressed"),
        ({"hidden_size": 25}, "model.d_model=25 is not divisible by model.num_heads=6"),
        ({"intermediate_size": 31}, "has shape (24, 29), config.json says (24, 31)"),
        ({"num_hidden_layers": 3}, "lacks model.layers.2.self_attn.q_proj.weight"),
        ({"num_hidden_layers": 1}, "holds model.layers.1."),
        ({"tie_word_embeddings": True}, "lm_head.weight is not model.embed_tokens.weight"),
    ],
)
def test_llama_that_cannot_be_read_is_named(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    build_llama().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text()) | changes
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelFileError, match=re.escape(message)):
        load_llama(tmp_path)


def test_config_of_an_older_release_is_read(tmp_path: Path) -> None:
    llama, token_ids = build_llama(), torch.randint(0, 53, (3, 31))
    llama.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    for name in ("rope_parameters", "head_dim", "rms_norm_eps", "tie_word_embeddings"):
        del config[name]
    (tmp_path / "config.json").write_text(json.dumps(config | {"rope_theta": 10_000.0}))
    tensors = safetensors.torch.load_file(tmp_path / "model.safetensors")
    tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(2)
    safetensors.torch.save_file(tensors, tmp_path / "model.safetensors")
    model = load_llama(tmp_path)
    torch.testing.assert_close(
        model(token_ids).detach(), logits_of(llama, token_ids), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ({}, "has no weight_map"),
        ({"weight_map": {"a": "../x.safetensors"}}, "'../x.safetensors' is not the name of a file"),
        ({"weight_map": {"a": "x.safetensors"}}, "x.safetensors does not exist"),
        ({"weight_map": {"a": "part.safetensors"}}, "part.safetensors holds b, unlike"),
        (
            {"weight_map": {"a": "part.safetensors", "b": "part.safetensors"}},
            "part.safetensors lacks a, which model.safetensors.index.json has there",
        ),
    ],
)
def test_wrong_index_is_named(tmp_path: Path, index: dict[str, Any], message: str) -> None:
    build_llama().save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    safetensors.torch.save_file({"b": torch.ones(2)}, tmp_path / "part.safetensors")
    with pytest.raises(ModelFileError, match=re.escape(message)):
        load_llama(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [(None, "config.json does not exist"), ("{", "is not valid JSON"), ("3", "not a JSON object")],
)
def test_broken_config_is_one_line(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    with pytest.raises(ModelFileError, match=message):
        load_llama(tmp_path)


@pytest.mark.parametrize("load", [load_llama, TransformerLM.load])
def test_a_file_in_place_of_the_directory_is_named(
    tmp_path: Path, load: Callable[[Path], Any]
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ModelFileError, match=r"file/config\.json does not exist"):
        load(tmp_path / "file")
