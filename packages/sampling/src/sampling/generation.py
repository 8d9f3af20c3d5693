"""Generate texts from a model: token ids in, token ids out.

`generate` returns whole texts, `stream` yields the tokens of one text as they are certain. Both
condition on at most the model's context: a longer text goes on from its newest half.
"""

import operator
import secrets
from collections.abc import Iterator, Sequence
from typing import Literal, cast, overload

import torch

from bpe import Tokenizer
from nn import TransformerLM
from sampling.config import SamplingConfig
from sampling.decoder import Decoder
from sampling.stopping import Gate, Piece

Truncate = Literal["never", "left"]


@overload
def generate(
    model: TransformerLM,
    prompt_ids: Sequence[int],
    config: SamplingConfig | None = None,
    *,
    tokenizer: Tokenizer | None = None,
    truncate: Truncate = "never",
    generator: torch.Generator | None = None,
) -> list[int]: ...
@overload
def generate(
    model: TransformerLM,
    prompt_ids: Sequence[Sequence[int]],
    config: SamplingConfig | None = None,
    *,
    tokenizer: Tokenizer | None = None,
    truncate: Truncate = "never",
    generator: torch.Generator | None = None,
) -> list[list[int]]: ...
def generate(
    model: TransformerLM,
    prompt_ids: Sequence[int] | Sequence[Sequence[int]],
    config: SamplingConfig | None = None,
    *,
    tokenizer: Tokenizer | None = None,
    truncate: Truncate = "never",
    generator: torch.Generator | None = None,
) -> list[int] | list[list[int]]:
    """Return the new tokens of one prompt, or a list of them for a list of prompts.

    Prompts of a batch may have different lengths. Each text draws from its own generator, seeded
    with `config.seed` plus its place, or from `generator`: it does not depend on the others.
    Neither a stop token, nor a token that a stop string begins in, nor what follows is returned.
    `tokenizer` is needed for stop strings; with it, ids that it lacks are never drawn.

    Raises ValueError for an empty prompt, an id that the model lacks, and a prompt longer than the
    context unless `truncate="left"`, which keeps its end; LogitsError for logits that are NaN.
    """
    prompts, is_batch = _as_batch(prompt_ids)
    texts: list[list[int]] = [[] for _ in prompts]
    for text, piece in stream_batch(
        model, prompts, config, tokenizer=tokenizer, truncate=truncate, generator=generator
    ):
        texts[text] += piece.tokens
    return texts if is_batch else texts[0]


def stream(
    model: TransformerLM,
    prompt_ids: Sequence[int],
    config: SamplingConfig | None = None,
    *,
    tokenizer: Tokenizer | None = None,
    truncate: Truncate = "never",
    generator: torch.Generator | None = None,
) -> Iterator[int]:
    """Yield the tokens that `generate` returns, each as soon as no stop string can begin in it."""
    pieces = stream_batch(
        model, [prompt_ids], config, tokenizer=tokenizer, truncate=truncate, generator=generator
    )
    return (token for _, piece in pieces for token in piece.tokens)


def stream_batch(
    model: TransformerLM,
    prompts: Sequence[Sequence[int]],
    config: SamplingConfig | None = None,
    *,
    tokenizer: Tokenizer | None = None,
    truncate: Truncate = "never",
    generator: torch.Generator | None = None,
) -> Iterator[tuple[int, Piece]]:
    """Yield for each drawn token the place of its prompt, and what it lets out.

    That is tokens, their bytes if there is a tokenizer, and at last why the text ended.
    """
    config = SamplingConfig() if config is None else config
    decoder, gates = _start(model, prompts, config, tokenizer, truncate, generator)
    return _run(decoder, gates)


def _start(
    model: TransformerLM,
    prompts: Sequence[Sequence[int]],
    config: SamplingConfig,
    tokenizer: Tokenizer | None,
    truncate: Truncate,
    generator: torch.Generator | None,
) -> tuple[Decoder, list[Gate]]:
    """Check everything before any work, and set up one gate per prompt."""
    vocab_size = model.config.vocab_size
    if truncate not in ("never", "left"):
        raise ValueError(f"truncate={truncate!r} must be 'never' or 'left'")
    if config.stop_strings and tokenizer is None:
        raise ValueError(
            f"stop_strings={config.stop_strings!r} need the tokenizer: pass tokenizer="
        )
    for token in config.stop_tokens:
        if token >= vocab_size:
            raise ValueError(f"stop_tokens holds {token}, which is outside 0..{vocab_size - 1}")
    if tokenizer is not None and tokenizer.vocab_size > vocab_size:
        raise ValueError(
            f"the tokenizer has {tokenizer.vocab_size} ids, the model vocab_size={vocab_size}: "
            f"they do not belong together"
        )
    checked = [
        _check_prompt(prompt, place, model.config.context_length, vocab_size, truncate)
        for place, prompt in enumerate(prompts)
    ]
    never: list[int] = []
    if tokenizer is not None:
        never = [token for token in range(vocab_size) if token not in tokenizer.vocab]
    decoder = Decoder(
        model, checked, config, _generators(len(checked), config, generator), never=never
    )
    to_bytes = None if tokenizer is None else lambda token: tokenizer.decode_bytes([token])
    return decoder, [Gate(config, to_bytes) for _ in checked]


def _run(decoder: Decoder, gates: Sequence[Gate]) -> Iterator[tuple[int, Piece]]:
    while decoder.active:
        for text, token in decoder.step():
            piece = gates[text].push(token)
            if piece.finish_reason is not None:
                decoder.finish(text)
            yield text, piece


def _as_batch(
    prompt_ids: Sequence[int] | Sequence[Sequence[int]],
) -> tuple[Sequence[Sequence[int]], bool]:
    """Return the prompts, and whether a list of them was given; an empty list is one prompt."""
    first = prompt_ids[0] if len(prompt_ids) > 0 else 0
    if isinstance(first, Sequence) or getattr(first, "ndim", 0) > 0:
        return cast(Sequence[Sequence[int]], prompt_ids), True
    return [cast(Sequence[int], prompt_ids)], False


def _check_prompt(
    prompt: Sequence[int], place: int, context_length: int, vocab_size: int, truncate: Truncate
) -> list[int]:
    ids = [operator.index(token) for token in prompt]
    if not ids:
        raise ValueError(f"prompt {place} is empty: it needs at least 1 token")
    for position, token in enumerate(ids):
        if not 0 <= token < vocab_size:
            raise ValueError(
                f"prompt {place} has id {token} at position {position}, "
                f"which is outside 0..{vocab_size - 1}"
            )
    if len(ids) > context_length and truncate == "never":
        raise ValueError(
            f"prompt {place} has {len(ids)} tokens, more than context_length={context_length}: "
            f"shorten it, or keep its end with truncate='left'"
        )
    return ids[-context_length:]


def _generators(
    count: int, config: SamplingConfig, generator: torch.Generator | None
) -> list[torch.Generator]:
    if generator is not None and config.seed is not None:
        raise ValueError(f"seed={config.seed} has no effect beside generator: give one of them")
    if generator is not None:
        seeds = torch.randint(
            2**62, (count,), generator=generator, device=generator.device
        ).tolist()
    else:
        first = secrets.randbits(62) if config.seed is None else config.seed
        seeds = [(first + place) % 2**63 for place in range(count)]
    return [torch.Generator().manual_seed(seed) for seed in seeds]
