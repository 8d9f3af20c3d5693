"""Draw the next tokens of several texts of different lengths at once, with a key-value cache.

Texts are padded on the left, so that all end in the same column; padding is masked out and each
text keeps its own positions. A text that has grown past the model's context goes on from its newest
half, computed anew: its window slides by half a context at a time. When a window slides depends on
its own text alone, so a text does not depend on the others of its batch.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from nn import KVCache, TransformerLM
from sampling.config import SamplingConfig
from sampling.drawing import draw
from sampling.filters import apply_filters


class LogitsError(ValueError):
    """The model gave logits that are no distribution; the message says for which text and token."""


class Decoder:
    """Several texts in progress; `step` adds a token to each that has not been finished.

    Each text draws from its own generator. Tokens in `never` are not drawn.
    """

    def __init__(
        self,
        model: TransformerLM,
        prompts: Sequence[Sequence[int]],
        config: SamplingConfig,
        generators: Sequence[torch.Generator],
        *,
        never: Sequence[int] = (),
    ) -> None:
        self._model = model
        self._device = next(model.parameters()).device
        self._context = model.config.context_length
        self._config = config
        self._generators = generators
        # What each text is conditioned on: at most the context, and the token that follows it.
        self._windows = [list(prompt) for prompt in prompts]
        self._drawn = [0] * len(prompts)
        self._active = list(range(len(prompts)))
        self._never: Tensor | None = None
        if never:
            self._never = torch.zeros(
                model.config.vocab_size, dtype=torch.bool, device=self._device
            )
            self._never[list(never)] = True
        self._seen: Tensor | None = None
        if config.repetition_penalty != 1:
            self._seen = torch.zeros(
                len(prompts), model.config.vocab_size, dtype=torch.bool, device=self._device
            )
            for row, prompt in enumerate(prompts):
                self._seen[row, list(prompt)] = True
        # The texts in the cache, in its order, and how much padding precedes each.
        self._cached: list[int] = []
        self._padding: Tensor | None = None
        self._cache: KVCache | None = None

    @property
    def active(self) -> bool:
        """Whether any text goes on."""
        return bool(self._active)

    def finish(self, text: int) -> None:
        """Draw no more tokens for `text`."""
        self._active.remove(text)

    # Not on a generator function: between two yields it would hold in the caller's code too.
    @torch.inference_mode()
    def step(self) -> list[tuple[int, int]]:
        """Draw one token for every active text; return pairs of text and token.

        Raises LogitsError if logits are NaN, infinite, or all -inf.
        """
        wasteful = 2 * len(self._active) <= len(self._cached)
        if self._cache is None or self._cache.length == self._cache.max_length or wasteful:
            logits = self._start_over()
        else:
            logits = self._go_on()
        if self._cached != self._active:
            logits = logits[[self._cached.index(text) for text in self._active]]
        tokens = self._choose(logits)
        for text, token in zip(self._active, tokens, strict=True):
            self._windows[text].append(token)
            self._drawn[text] += 1
            if self._seen is not None:
                self._seen[text, token] = True
        return list(zip(self._active, tokens, strict=True))

    def _start_over(self) -> Float[Tensor, "texts vocab"]:
        """Compute all windows into a new cache, after sliding those that are too long."""
        self._cached = list(self._active)
        for text in self._cached:
            if len(self._windows[text]) > self._context:
                del self._windows[text][: -max(1, self._context // 2)]
        windows = [self._windows[text] for text in self._cached]
        width = max(map(len, windows))
        left = max(self._config.max_tokens - self._drawn[text] for text in self._cached)
        self._cache = KVCache(
            self._model.config,
            len(windows),
            max_length=min(self._context, width + left - 1),
            device=self._device,
            dtype=next(self._model.parameters()).dtype,
        )
        ids = torch.tensor(
            [[0] * (width - len(window)) + window for window in windows], device=self._device
        )
        if all(len(window) == width for window in windows):
            self._padding = None
            return self._next_logits(ids)
        self._padding = torch.tensor(
            [[width - len(window)] for window in windows], device=self._device
        )
        columns = torch.arange(width, device=self._device)
        return self._next_logits(
            ids,
            positions=(columns - self._padding).clamp(min=0),
            mask=(columns >= self._padding).unsqueeze(-2),
        )

    def _go_on(self) -> Float[Tensor, "texts vocab"]:
        """Feed each cached text its last token; finished ones too, as the cache has their rows."""
        assert self._cache is not None
        ids = torch.tensor(
            [[self._windows[text][-1]] for text in self._cached], device=self._device
        )
        if self._padding is None:
            return self._next_logits(ids)
        column = self._cache.length
        columns = torch.arange(column + 1, device=self._device)
        return self._next_logits(
            ids,
            positions=column - self._padding,
            mask=(columns >= self._padding).unsqueeze(-2),
        )

    def _next_logits(
        self,
        ids: Int[Tensor, "texts seq"],
        *,
        positions: Int[Tensor, "texts seq"] | None = None,
        mask: Bool[Tensor, "texts 1 keys"] | None = None,
    ) -> Float[Tensor, "texts vocab"]:
        """Append `ids` to the cache; return the logits of what follows the last of each row."""
        hidden = self._model.hidden_states(ids, self._cache, positions=positions, mask=mask)
        # All positions of a long prompt would take most of the time, and gigabytes.
        logits = self._model.logits(hidden[:, -1])
        return logits.to(torch.promote_types(logits.dtype, torch.float32))

    def _choose(self, logits: Float[Tensor, "texts vocab"]) -> list[int]:
        self._check(logits)
        if self._never is not None:
            logits = logits.masked_fill(self._never, float("-inf"))
        seen = None if self._seen is None else self._seen[self._active]
        logits = apply_filters(logits, self._config, seen)
        if self._config.temperature == 0:
            greedy: list[int] = logits.argmax(-1).tolist()
            return greedy
        # Drawn on the CPU: a seed then means the same numbers for every device.
        uniforms = torch.cat(
            [
                torch.rand(1, dtype=torch.float64, generator=self._generators[text])
                for text in self._active
            ]
        )
        drawn: list[int] = draw(logits, uniforms.to(logits.device)).tolist()
        return drawn

    def _check(self, logits: Float[Tensor, "texts vocab"]) -> None:
        for text, largest in zip(self._active, logits.amax(-1).tolist(), strict=True):
            if not math.isfinite(largest):
                raise LogitsError(
                    f"the largest logit of text {text} is {largest} after "
                    f"{len(self._windows[text])} tokens: no token can be drawn from that; "
                    f"the model's weights are damaged, or its training diverged"
                )
