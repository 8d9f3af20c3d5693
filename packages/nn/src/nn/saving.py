"""A model in a directory: config.json says its shape, model.safetensors holds its weights.

Nothing is unpickled. The weights' file carries a digest of its tensors and the config that it was
written with, so a flipped bit or a foreign file is found before a model is built. Files are staged
in a sibling directory, synced, and then renamed: a reader never sees half a file.
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Shaped
from torch import Tensor

from contracts import contract
from nn.config import ModelConfig
from nn.staging import staging_directory, sync

FORMAT = 1
CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
# The one key of the metadata: the library writes several in an order that changes from process to
# process, and equal models are to be equal files.
WRITTEN = "written"


class ModelFileError(ValueError):
    """A model directory is missing, damaged or not what it says; the message is one line."""


@contract
def write_model_directory(
    directory: str | Path, config: ModelConfig, tensors: Mapping[str, Shaped[Tensor, "..."]]
) -> None:
    """Write both files to `directory`, which is made, or whose files are replaced, weights first.

    A tied output projection is stored once, as the embeddings. An OSError leaves what was there.
    """
    target = Path(directory).resolve()
    if target.exists() and not target.is_dir():
        raise NotADirectoryError(f"{target} is not a directory, so no model can be saved there")
    stored = {
        name: tensor.detach().to("cpu").contiguous()
        for name, tensor in tensors.items()
        if not (config.tied_embeddings and name == "lm_head.weight")
    }
    text = json.dumps({"format": FORMAT, **asdict(config)}, indent=2) + "\n"
    with staging_directory(target) as staging:
        written = {"config": text, "sha256": _digest(stored)}
        write_tensors(staging / WEIGHTS_FILE, stored, {WRITTEN: json.dumps(written)})
        (staging / CONFIG_FILE).write_text(text, encoding="utf-8")
        for path in (staging / WEIGHTS_FILE, staging / CONFIG_FILE, staging):
            sync(path)
        if target.is_dir():
            for name in (WEIGHTS_FILE, CONFIG_FILE):
                (staging / name).replace(target / name)
            sync(target)
        else:
            staging.rename(target)
        sync(target.parent)


@contract
def read_model_directory(
    directory: str | Path, *, device: torch.device | str | None = None
) -> tuple[ModelConfig, dict[str, Shaped[Tensor, "..."]]]:
    """Return the config and every tensor of the state dict, a tied projection included.

    Raise `ModelFileError` for a file that is missing, damaged, or does not fit the other.
    """
    source = Path(directory)
    text = _read_text(source / CONFIG_FILE)
    config = _parse_config(source / CONFIG_FILE, text)
    path = source / WEIGHTS_FILE
    metadata, tensors = read_tensors(path)
    written = _parse_written(path, metadata)
    if "config" in written and _parse_config(path, written["config"]) != config:
        raise ModelFileError(
            f"{path} was written with another config than {CONFIG_FILE}: save the model again"
        )
    if "sha256" in written and written["sha256"] != _digest(tensors):
        raise ModelFileError(
            f"{path} is damaged: its tensors have SHA-256 {_digest(tensors)[:12]}.., "
            f"its header says {written['sha256'][:12]}.."
        )
    if config.tied_embeddings and "token_embeddings.weight" in tensors:
        tensors["lm_head.weight"] = tensors["token_embeddings.weight"]
    if device is not None:
        tensors = {name: tensor.to(device) for name, tensor in tensors.items()}
    return config, tensors


@contract
def check_fit(
    place: str | Path,
    expected: Mapping[str, Shaped[Tensor, "..."]],
    found: Mapping[str, Shaped[Tensor, "..."]],
) -> None:
    """Raise `ModelFileError` unless `found` has the names and shapes of `expected`, in floats.

    `place` is the file or directory that they were found in.
    """
    for name in expected:
        if name not in found:
            raise ModelFileError(f"{place} lacks {name}, which {CONFIG_FILE} asks for")
    for name, tensor in found.items():
        if name not in expected:
            raise ModelFileError(f"{place} holds {name}, which {CONFIG_FILE} has no place for")
        if tensor.shape != expected[name].shape:
            raise ModelFileError(
                f"{place}: {name} has shape {tuple(tensor.shape)}, "
                f"{CONFIG_FILE} says {tuple(expected[name].shape)}"
            )
        if not tensor.is_floating_point():
            raise ModelFileError(f"{place}: {name} is {tensor.dtype}, not a floating-point type")


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        raise ModelFileError(f"{path} does not exist: this is no model directory") from None
    except UnicodeDecodeError as error:
        raise ModelFileError(f"{path} is not UTF-8 text: {error.reason} at {error.start}") from None


def _parse_written(path: Path, metadata: Mapping[str, str]) -> Mapping[str, str]:
    """Return the config and the digest that the weights were written with, or what there is."""
    # Files of the first versions have both as keys of their own.
    if WRITTEN not in metadata:
        return metadata
    try:
        written: Any = json.loads(metadata[WRITTEN])
        return {name: str(written[name]) for name in ("config", "sha256")}
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise ModelFileError(f"{path} is damaged: {WRITTEN} in its header: {error!r}") from None


def _parse_config(path: Path, text: str) -> ModelConfig:
    try:
        values: Any = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ModelFileError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(values, dict) or "format" not in values:
        raise ModelFileError(f"{path} is not a model config: it has no field 'format'")
    if values.pop("format") != FORMAT:
        raise ModelFileError(f"{path} is not of format {FORMAT}: it needs another version of nn")
    unknown = sorted(set(values) - {field.name for field in fields(ModelConfig)})
    if unknown:
        raise ModelFileError(f"{path} has the unknown field {unknown[0]!r}")
    try:
        return ModelConfig(**values)
    except ValueError as error:
        raise ModelFileError(f"{path}: {error}") from None


@contract
def write_tensors(
    path: Path,
    tensors: Mapping[str, Shaped[Tensor, "..."]],
    metadata: dict[str, str] | None = None,
) -> None:
    """Write a safetensors file that whoever may read a new file here may read.

    An OSError says that there was no room or no right to.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    path.touch()
    mode = path.stat().st_mode
    try:
        save_file(dict(tensors), path, metadata=metadata)
    except SafetensorError as error:
        # A full disk, say, which the library tells in words only.
        number = re.search(r"\(os error (\d+)\)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from None
    # The library leaves a file that only its owner may read.
    path.chmod(mode)


@contract
def read_tensors(path: Path) -> tuple[dict[str, str], dict[str, Shaped[Tensor, "..."]]]:
    """Return the metadata and tensors of a safetensors file; raise `ModelFileError` for none."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            names = file.keys()
            # Copied, because the library's tensors are windows on the mapped file.
            return file.metadata() or {}, {name: file.get_tensor(name).clone() for name in names}
    except FileNotFoundError:
        raise ModelFileError(f"{path} does not exist") from None
    except SafetensorError as error:
        raise ModelFileError(f"{path} is not a whole safetensors file: {error}") from None


def _digest(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        # As bytes, because numpy has no bfloat16.
        digest.update(tensor.contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
