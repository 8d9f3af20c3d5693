"""A `TransformerLM` as a directory that transformers, and all that reads its Llamas, opens."""

import json
from pathlib import Path

from nn.llama_format import check_expressible, llama_names, split_pairs, to_llama_config
from nn.llama_tokenizer import TokenizerFiles, read_tokenizer
from nn.saving import CONFIG_FILE, WEIGHTS_FILE, write_tensors
from nn.staging import staging_directory, sync
from nn.transformer import TransformerLM


def export_llama(model: TransformerLM, tokenizer_dir: str | Path | None, out: str | Path) -> None:
    """Write `out`, for `AutoModelForCausalLM` and `AutoTokenizer`: equal logits and equal ids.

    The tokenizer's directory holds vocab.json, merges.txt and special_tokens.json as `bpe` saves
    them, or a tokenizer.json; None exports the weights alone. `out` appears whole or not at all.
    Raises ValueError that names each choice of the model which a Llama has no place for, or what is
    wrong with the tokenizer, and FileExistsError if `out` is there and not empty.
    """
    config = model.config
    check_expressible(config)
    target = Path(out).resolve()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise FileExistsError(f"{target} exists already: export to a new directory")
    tokenizer = TokenizerFiles({}, None)
    if tokenizer_dir is not None:
        tokenizer = read_tokenizer(
            Path(tokenizer_dir),
            vocab_size=config.vocab_size,
            context_length=config.context_length,
        )
    state = model.state_dict()
    tensors = {
        theirs: split_pairs(ours, state[ours].detach().cpu(), config).contiguous()
        for ours, theirs in llama_names(config).items()
    }
    dtype = str(model.token_embeddings.weight.dtype).removeprefix("torch.")
    # Written even where there is none: transformers would suppose tokens 1 and 2.
    roles = {"bos_token_id": tokenizer.end_id, "eos_token_id": tokenizer.end_id}
    settings = to_llama_config(config) | {"torch_dtype": dtype} | roles
    texts = {
        CONFIG_FILE: json.dumps(settings, indent=2) + "\n",
        "generation_config.json": json.dumps(roles, indent=2) + "\n",
        **tokenizer.texts,
    }
    with staging_directory(target) as staging:
        write_tensors(staging / WEIGHTS_FILE, tensors, {"format": "pt"})
        for name, text in texts.items():
            (staging / name).write_text(text, encoding="utf-8")
        for path in (*staging.iterdir(), staging):
            sync(path)
        if target.exists():
            target.rmdir()
        staging.rename(target)
        sync(target.parent)
