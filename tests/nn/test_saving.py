"""Model directories: round trips, damage that is found, and saves that fail or are killed."""

import errno
import json
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from nn import ModelConfig, ModelFileError, TransformerLM


def build(seed: int = 0, **choices: Any) -> TransformerLM:
    config = ModelConfig(
        **(
            {"vocab_size": 53, "context_length": 11, "d_model": 24, "num_layers": 2, "num_heads": 6}
            | choices
        )
    )
    return TransformerLM(config, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    build().save(tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize(
    "choices",
    [
        {},
        {"tied_embeddings": True},
        {"qk_norm": True, "num_kv_heads": 2},
        {"norm": "none"},
        {"ffn": "relu2", "logit_soft_cap": 3.0, "value_embeddings": (0, 1), "norm_eps": 0.1},
    ],
)
def test_loaded_model_gives_the_same_logits(tmp_path: Path, choices: dict[str, Any]) -> None:
    model, token_ids = build(**choices), torch.randint(0, 53, (3, 11))
    model.save(tmp_path / "model")
    loaded = TransformerLM.load(tmp_path / "model")
    assert loaded.config == model.config
    assert torch.equal(loaded(token_ids), model(token_ids))


def test_loaded_model_can_be_trained_on(saved: Path) -> None:
    model = TransformerLM.load(saved)
    assert all(p.requires_grad and p.is_leaf for p in model.parameters())


def test_loaded_weights_are_no_windows_on_the_file(saved: Path) -> None:
    for parameter in TransformerLM.load(saved).parameters():
        assert parameter.untyped_storage().nbytes() == parameter.nbytes


def test_model_can_be_saved_in_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    build().save(".")
    TransformerLM.load(".")


def test_tied_weights_are_stored_once_and_tied_again(tmp_path: Path) -> None:
    build(tied_embeddings=True).save(tmp_path / "model")
    stored = safetensors.torch.load_file(tmp_path / "model" / "model.safetensors")
    assert "lm_head.weight" not in stored
    loaded = TransformerLM.load(tmp_path / "model")
    assert loaded.lm_head.weight is loaded.token_embeddings.weight


def test_dtype_is_kept(tmp_path: Path) -> None:
    build().to(torch.bfloat16).save(tmp_path / "model")
    assert TransformerLM.load(tmp_path / "model").lm_head.weight.dtype == torch.bfloat16


def test_saving_again_replaces_the_model(saved: Path) -> None:
    other, token_ids = build(seed=1, num_layers=1), torch.randint(0, 53, (3, 11))
    other.save(saved)
    assert torch.equal(TransformerLM.load(saved)(token_ids), other(token_ids))


def test_saving_leaves_only_the_two_files(saved: Path) -> None:
    build(seed=1).save(saved)
    assert sorted(path.name for path in saved.iterdir()) == ["config.json", "model.safetensors"]
    assert [path.name for path in saved.parent.iterdir()] == ["model"]


def test_weights_may_be_read_by_whoever_may_read_the_config(saved: Path) -> None:
    modes = {path.stat().st_mode for path in saved.iterdir()}
    assert len(modes) == 1


def test_remains_of_a_killed_save_are_removed(saved: Path) -> None:
    remains = saved.with_name(".model.unfinished")
    remains.mkdir()
    (remains / "model.safetensors").write_bytes(b"half")
    build(seed=1).save(saved)
    assert not remains.exists()
    TransformerLM.load(saved)


SAVE_FOREVER = """
import sys
from nn import ModelConfig, TransformerLM
config = ModelConfig(vocab_size=53, context_length=11, d_model=24, num_layers=2, num_heads=6)
models = [TransformerLM(config) for _ in range(2)]
while True:
    for model in models:
        model.save(sys.argv[1])
        print("saved", flush=True)
"""


@pytest.mark.long
@pytest.mark.skipif(os.name != "posix", reason="kills by signal")
def test_killed_save_leaves_a_whole_model(tmp_path: Path) -> None:
    for attempt in range(40):
        process = subprocess.Popen(
            [sys.executable, "-c", SAVE_FOREVER, tmp_path / "model"], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        for _ in range(1 + attempt % 5):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        TransformerLM.load(tmp_path / "model")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_missing_file_is_named(saved: Path, name: str) -> None:
    (saved / name).unlink()
    with pytest.raises(ModelFileError, match=rf"^\S+/{name} does not exist"):
        TransformerLM.load(saved)


@pytest.mark.parametrize("place", range(0, 1000, 83))
def test_flipped_bit_in_the_weights_is_found(saved: Path, place: int) -> None:
    path = saved / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1 - place * (len(content) // 1000)] ^= 0x10
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=r"model\.safetensors"):
        TransformerLM.load(saved)


@pytest.mark.parametrize("length", [0, 3, 8, 100, -1])
def test_truncated_weights_are_found(saved: Path, length: int) -> None:
    path = saved / "model.safetensors"
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ModelFileError, match="is not a whole safetensors file"):
        TransformerLM.load(saved)


class Bomb:
    """Unpickled, it would end this process."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (41,)


def test_pickle_is_refused_unexecuted(saved: Path) -> None:
    (saved / "model.safetensors").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ModelFileError):
        TransformerLM.load(saved)
    torch.save(Bomb(), saved / "model.safetensors")
    with pytest.raises(ModelFileError):
        TransformerLM.load(saved)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not valid JSON"),
        ("hello", "is not valid JSON"),
        ("[" * 100_000, "is not valid JSON"),
        ("[1, 2]", "has no field 'format'"),
        ('{"d_model": 24}', "has no field 'format'"),
        ('{"format": 2}', "is not of format 1"),
        ('{"format": 1, "width": 3}', "has the unknown field 'width'"),
        ('{"format": 1, "d_model": "24"}', "model.d_model='24' is not a positive integer"),
        ('{"format": 1, "d_model": 25}', "model.d_model=25 is not divisible by model.num_heads=16"),
    ],
)
def test_damaged_config_is_one_line(saved: Path, text: str, message: str) -> None:
    (saved / "config.json").write_text(text)
    with pytest.raises(ModelFileError, match=message) as caught:
        TransformerLM.load(saved)
    assert str(saved / "config.json") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_config_that_is_not_text_is_named(saved: Path) -> None:
    (saved / "config.json").write_bytes(b'{"format\xff": 1}')
    with pytest.raises(ModelFileError, match="is not UTF-8 text"):
        TransformerLM.load(saved)


def test_config_of_another_model_is_found(saved: Path) -> None:
    values = json.loads((saved / "config.json").read_text())
    values["rope_theta"] = 500.0
    (saved / "config.json").write_text(json.dumps(values))
    with pytest.raises(ModelFileError, match="was written with another config"):
        TransformerLM.load(saved)


def rewrite(saved: Path, **changes: torch.Tensor | None) -> None:
    """Write the weights anew without metadata, some of them changed or (None) left out."""
    path = saved / "model.safetensors"
    tensors = safetensors.torch.load_file(path) | changes
    kept = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    safetensors.torch.save_file(kept, path)


@pytest.mark.long
def test_equal_models_are_equal_files_in_any_process(saved: Path, tmp_path: Path) -> None:
    # The library shuffles its keys anew in every process, so that two alone may agree by chance.
    program = (
        "import sys, torch; from nn import TransformerLM; "
        "TransformerLM.load(sys.argv[1]).save(sys.argv[2])"
    )
    again = tmp_path / "again"
    subprocess.run([sys.executable, "-c", program, str(saved), str(again)], check=True)
    expected = (saved / "model.safetensors").read_bytes()
    assert (again / "model.safetensors").read_bytes() == expected
    with safetensors.safe_open(saved / "model.safetensors", framework="pt") as file:
        assert len(file.metadata()) == 1


@pytest.mark.parametrize("changed", ["config", "sha256"])
def test_metadata_of_the_first_versions_is_still_read(saved: Path, changed: str) -> None:
    path = saved / "model.safetensors"
    tensors = safetensors.torch.load_file(path)
    with safetensors.safe_open(path, framework="pt") as file:
        written = json.loads(file.metadata()["written"])
    safetensors.torch.save_file(tensors, path, written)
    TransformerLM.load(saved)
    other = {"config": written["config"].replace("24", "48"), "sha256": "0" * 64}
    safetensors.torch.save_file(tensors, path, written | {changed: other[changed]})
    with pytest.raises(ModelFileError, match=r"written with another config|is damaged"):
        TransformerLM.load(saved)


@pytest.mark.parametrize("text", ["{", "[]", "3", '{"config": "x"}', "[" * 100_000])
def test_damaged_metadata_is_one_line(saved: Path, text: str) -> None:
    path = saved / "model.safetensors"
    safetensors.torch.save_file(safetensors.torch.load_file(path), path, {"written": text})
    with pytest.raises(ModelFileError, match=r"model\.safetensors is damaged: written") as caught:
        TransformerLM.load(saved)
    assert "\n" not in str(caught.value)


def test_weights_without_metadata_are_accepted(saved: Path) -> None:
    rewrite(saved)
    TransformerLM.load(saved)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ln_final.weight": None}, "lacks ln_final.weight"),
        ({"bias": torch.zeros(3)}, "holds bias, which config.json has no place for"),
        (
            {"ln_final.weight": torch.ones(23)},
            r"ln_final.weight has shape \(23,\), config.json says \(24,\)",
        ),
        ({"ln_final.weight": torch.ones(24, dtype=torch.int32)}, "torch.int32, not a floating-po"),
    ],
)
def test_weights_that_do_not_fit_are_named(
    saved: Path, changes: dict[str, torch.Tensor | None], message: str
) -> None:
    rewrite(saved, **changes)
    with pytest.raises(ModelFileError, match=message):
        TransformerLM.load(saved)


def test_saving_over_a_file_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "model"
    target.write_text("mine")
    with pytest.raises(NotADirectoryError, match="model is not a directory"):
        build().save(target)
    assert target.read_text() == "mine"


def test_failed_save_leaves_the_earlier_model(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path.name: path.read_bytes() for path in saved.iterdir()}

    def full_disk(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        build(seed=1).save(saved)
    assert {path.name: path.read_bytes() for path in saved.iterdir()} == before
    assert [path.name for path in saved.parent.iterdir()] == ["model"]


def test_full_disk_is_an_error_of_the_system(tmp_path: Path) -> None:
    program = """
import resource, signal, sys
from nn import ModelConfig, TransformerLM
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
model = TransformerLM(ModelConfig(vocab_size=53, d_model=24, num_layers=2, num_heads=6))
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    model.save(sys.argv[1])
except OSError as error:
    sys.exit(error.errno)
"""
    ended = subprocess.run([sys.executable, "-c", program, str(tmp_path / "model")], timeout=120)
    assert ended.returncode == errno.EFBIG
    assert list(tmp_path.iterdir()) == []
