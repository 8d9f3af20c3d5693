"""A directory of a Llama, as transformers writes it, as a `TransformerLM`."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nn.config import ModelConfig
from nn.llama_format import from_llama_config, join_pairs, llama_names
from nn.saving import CONFIG_FILE, WEIGHTS_FILE, ModelFileError, check_fit, read_tensors
from nn.transformer import TransformerLM

INDEX_FILE = "model.safetensors.index.json"


def load_llama(
    directory: str | Path,
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> TransformerLM:
    """Read config.json and the safetensors files of a Llama; its logits are the same.

    Grouped-query heads, tied embeddings and weights in several files are read; the dtype is that of
    the files unless given. Raises `ModelFileError` with one line for a file that is missing or
    damaged, for a tensor too many, too few or of another shape, and for what cannot be expressed:
    another model than a Llama, scaled angles, biases, heads of another size than their share of
    `d_model`, an activation other than SiLU, quantized weights.
    """
    source = Path(directory)
    config = _read_config(source / CONFIG_FILE)
    tensors = _read_weights(source)
    # Tables of angles, which old releases stored.
    tensors = {name: t for name, t in tensors.items() if not name.endswith("rotary_emb.inv_freq")}
    if config.tied_embeddings and "lm_head.weight" in tensors:
        head = tensors.pop("lm_head.weight")
        if not torch.equal(head, tensors.get("model.embed_tokens.weight", head)):
            raise ModelFileError(
                f"{source}: lm_head.weight is not model.embed_tokens.weight, but {CONFIG_FILE} "
                "says tie_word_embeddings=true"
            )
    names = llama_names(config)
    model = TransformerLM(config, device="meta")
    shapes = model.state_dict()
    check_fit(source, {theirs: shapes[ours] for ours, theirs in names.items()}, tensors)
    state = {
        ours: join_pairs(ours, tensors.pop(theirs), config).to(device=device, dtype=dtype)
        for ours, theirs in names.items()
    }
    if config.tied_embeddings:
        state["lm_head.weight"] = state["token_embeddings.weight"]
    model.adopt_weights(state, device=device)
    return model


def _read_config(path: Path) -> ModelConfig:
    values = _read_json(path)
    try:
        return from_llama_config(values)
    except ValueError as error:
        raise ModelFileError(f"{path}: {error}") from None


def _read_weights(directory: Path) -> dict[str, Tensor]:
    if (directory / WEIGHTS_FILE).exists() or not (directory / INDEX_FILE).exists():
        return read_tensors(directory / WEIGHTS_FILE)[1]
    index = directory / INDEX_FILE
    places = _read_json(index).get("weight_map")
    if not isinstance(places, dict):
        raise ModelFileError(f"{index} has no weight_map")
    tensors: dict[str, Tensor] = {}
    for file in sorted({str(file) for file in places.values()}):
        # A name with a folder in it would lead out of the directory.
        if Path(file).name != file:
            raise ModelFileError(f"{index}: {file!r:.80} is not the name of a file beside it")
        part = read_tensors(directory / file)[1]
        for name in part:
            if places.get(name) != file:
                raise ModelFileError(f"{directory / file} holds {name}, unlike {index.name}")
        tensors |= part
    for name, file in places.items():
        if name not in tensors:
            raise ModelFileError(f"{directory / file} lacks {name}, which {index.name} has there")
    return tensors


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values: Any = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise ModelFileError(f"{path} does not exist") from None
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(values, dict):
        raise ModelFileError(f"{path} is not a JSON object")
    return values
