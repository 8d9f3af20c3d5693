"""Generation with a cache against recomputing everything for every token."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bpe import Tokenizer
from nn import ModelConfig, TransformerLM
from sampling import LogitsError, SamplingConfig, apply_filters, draw, generate, stream

Build = Callable[..., TransformerLM]

PROMPTS = [[3, 5], [7, 11, 13, 17, 19, 23, 29], [31], [37, 41, 43]]


def by_hand(
    model: TransformerLM, prompt: list[int], config: SamplingConfig, *, seed: int = 0
) -> list[int]:
    """Draw each token from a forward pass over the whole window, without a cache."""
    generator = torch.Generator().manual_seed(seed)
    context = model.config.context_length
    window = list(prompt)
    new: list[int] = []
    while len(new) < config.max_tokens:
        if len(window) > context:
            window = window[-max(1, context // 2) :]
        with torch.no_grad():
            logits = model(torch.tensor(window))[-1]
        seen = torch.zeros(model.config.vocab_size, dtype=torch.bool)
        seen[[*prompt, *new]] = True
        logits = apply_filters(logits, config, seen)
        number = torch.rand(1, dtype=torch.float64, generator=generator)
        token = int(logits.argmax() if config.temperature == 0 else draw(logits, number[0]))
        window.append(token)
        new.append(token)
    return new


GREEDY = SamplingConfig(temperature=0, max_tokens=13)
SETTINGS = [
    GREEDY,
    SamplingConfig(max_tokens=13, seed=0),
    SamplingConfig(
        temperature=0.7,
        top_k=29,
        top_p=0.9,
        min_p=0.01,
        repetition_penalty=1.4,
        max_tokens=13,
        seed=0,
    ),
]


@pytest.mark.parametrize("config", SETTINGS)
def test_cached_generation_equals_recomputation(build: Build, config: SamplingConfig) -> None:
    model = build()
    assert generate(model, PROMPTS[1], config) == by_hand(model, PROMPTS[1], config)


@pytest.mark.parametrize("config", SETTINGS)
def test_batch_of_different_lengths_equals_single_prompts(
    build: Build, config: SamplingConfig
) -> None:
    model = build()
    expected = [by_hand(model, prompt, config, seed=row) for row, prompt in enumerate(PROMPTS)]
    assert generate(model, PROMPTS, config) == expected


def test_batch_of_a_model_with_every_choice_equals_single_prompts(build: Build) -> None:
    model = build(
        num_kv_heads=1,
        qk_norm=True,
        ffn="relu2",
        logit_soft_cap=15.0,
        value_embeddings=(0, 1),
        context_length=11,
    )
    config = SamplingConfig(max_tokens=13, seed=0)
    expected = [by_hand(model, prompt, config, seed=row) for row, prompt in enumerate(PROMPTS)]
    assert generate(model, PROMPTS, config) == expected


def test_batch_slides_each_window_at_its_own_time(build: Build) -> None:
    model = build(context_length=11)
    config = SamplingConfig(max_tokens=37, seed=0)
    expected = [by_hand(model, prompt, config, seed=row) for row, prompt in enumerate(PROMPTS)]
    assert generate(model, PROMPTS, config) == expected


@pytest.mark.parametrize("context_length", [1, 2, 3])
def test_tiny_context_slides_without_a_crash(build: Build, context_length: int) -> None:
    model = build(context_length=context_length)
    assert generate(model, [5], GREEDY) == by_hand(model, [5], GREEDY)


def test_prompt_that_fills_the_context_goes_on(build: Build) -> None:
    model = build(context_length=7)
    assert generate(model, PROMPTS[1], GREEDY) == by_hand(model, PROMPTS[1], GREEDY)


@settings(max_examples=10)
@given(st.lists(st.lists(st.integers(0, 256), min_size=1, max_size=9), min_size=1, max_size=5))
def test_any_batch_equals_single_prompts(prompts: list[list[int]]) -> None:
    model = TransformerLM(
        ModelConfig(vocab_size=257, context_length=11, d_model=8, num_layers=1, num_heads=2),
        dtype=torch.float64,
        generator=torch.Generator().manual_seed(5),
    )
    config = SamplingConfig(temperature=0, max_tokens=5)
    assert generate(model, prompts, config) == [generate(model, p, config) for p in prompts]


def test_rows_that_stop_early_leave_the_others_alone(build: Build) -> None:
    """Each row is given a stop token that it alone draws, or none."""
    model = build()
    whole = [by_hand(model, prompt, GREEDY) for prompt in PROMPTS]
    stop = whole[0][2]
    config = SamplingConfig(temperature=0, max_tokens=13, stop_tokens=[stop])
    expected = [row[: row.index(stop)] if stop in row else row for row in whole]
    assert expected != whole
    assert generate(model, PROMPTS, config) == expected


def test_model_without_positions_generates(build: Build) -> None:
    model = TransformerLM(
        ModelConfig(
            vocab_size=257,
            context_length=11,
            d_model=12,
            num_layers=1,
            num_heads=3,
            num_kv_heads=1,
            position="none",
            qk_norm=True,
        ),
        dtype=torch.float64,
        generator=torch.Generator().manual_seed(5),
    )
    assert generate(model, PROMPTS, GREEDY) == [by_hand(model, p, GREEDY) for p in PROMPTS]


def test_stream_yields_what_generate_returns(build: Build) -> None:
    model = build()
    config = SamplingConfig(max_tokens=29, seed=3)
    assert list(stream(model, PROMPTS[0], config)) == generate(model, PROMPTS[0], config)


def test_same_seed_gives_the_same_text_and_another_seed_another(build: Build) -> None:
    model = build()
    texts = [generate(model, [5], SamplingConfig(max_tokens=17, seed=seed)) for seed in (2, 2, 3)]
    assert texts[0] == texts[1] != texts[2]


def test_without_a_seed_texts_differ(build: Build) -> None:
    model = build()
    config = SamplingConfig(max_tokens=17)
    assert generate(model, [5], config) != generate(model, [5], config)


def test_global_random_state_is_neither_used_nor_changed(build: Build) -> None:
    model = build()
    config = SamplingConfig(max_tokens=5, seed=1)
    before = torch.random.get_rng_state()
    first = generate(model, [5], config)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(99)
    assert generate(model, [5], config) == first


def test_generator_decides_the_text(build: Build) -> None:
    model = build()
    config = SamplingConfig(max_tokens=17)
    texts = [
        generate(model, [5], config, generator=torch.Generator().manual_seed(seed))
        for seed in (2, 2, 3)
    ]
    assert texts[0] == texts[1] != texts[2]


def test_first_tokens_follow_the_distribution_of_the_model(build: Build) -> None:
    model = build(vocab_size=7)
    count = 2000
    config = SamplingConfig(max_tokens=1, seed=0, temperature=1.5)
    drawn = [row[0] for row in generate(model, [[3, 5]] * count, config)]
    with torch.no_grad():
        expected = torch.softmax(model(torch.tensor([3, 5]))[-1] / 1.5, -1) * count
    observed = torch.bincount(torch.tensor(drawn), minlength=7)
    # Chi-square with 6 degrees of freedom is below 22.46 in 999 cases of 1000.
    assert ((observed - expected) ** 2 / expected).sum() < 22.46


def test_stop_strings_are_found_across_tokens(build: Build, tokenizer: Tokenizer) -> None:
    model = build()
    whole = generate(model, [5], SamplingConfig(max_tokens=29, seed=4), tokenizer=tokenizer)
    # Three tokens from the middle, of one byte each, that make a string.
    start = next(
        at for at in range(5, 26) if all(32 <= token < 127 for token in whole[at : at + 2])
    )
    stop = bytes(whole[start : start + 2]).decode()
    first = bytes(t if t < 256 else 0 for t in whole).find(stop.encode())
    config = SamplingConfig(max_tokens=29, seed=4, stop_strings=[stop])
    assert generate(model, [5], config, tokenizer=tokenizer) == whole[:first]


def test_ids_that_the_tokenizer_lacks_are_never_drawn(build: Build) -> None:
    """The model has 389 ids, the tokenizer 256: a third of an even distribution."""
    model = build(vocab_size=389)
    with torch.no_grad():
        model.lm_head.weight.zero_()
    config = SamplingConfig(max_tokens=97, seed=0)
    assert max(generate(model, [5], config)) > 255
    tokenizer = Tokenizer({byte: bytes([byte]) for byte in range(256)}, [])
    assert max(generate(model, [5], config, tokenizer=tokenizer)) < 256


def test_prompts_may_be_arrays_and_tensors(build: Build) -> None:
    model = build()
    expected = generate(model, [3, 5], GREEDY)
    array: Any = np.array([3, 5], dtype=np.uint16)
    tensor: Any = torch.tensor([[3, 5], [7, 11]])
    assert generate(model, array, GREEDY) == expected
    assert generate(model, tensor, GREEDY)[0] == expected


def test_prompt_longer_than_the_context_is_refused_with_both_numbers(build: Build) -> None:
    with pytest.raises(ValueError, match=r"prompt 1 has 29 tokens, more than context_length=23"):
        generate(build(), [[1], [2] * 29], GREEDY)


def test_truncate_left_keeps_the_end_of_a_long_prompt(build: Build) -> None:
    model = build()
    prompt = list(range(50, 79))
    config = SamplingConfig(temperature=0, max_tokens=1)
    expected = by_hand(model, prompt[-23:], config)
    assert generate(model, prompt, config, truncate="left") == expected


def test_model_in_bfloat16_generates(build: Build) -> None:
    assert len(generate(build().to(torch.bfloat16), PROMPTS, GREEDY)[3]) == 13


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"prompt_ids": []}, "^prompt 0 is empty: it needs at least 1 token$"),
        ({"prompt_ids": [[1], []]}, "^prompt 1 is empty"),
        ({"prompt_ids": [1, 257]}, r"^prompt 0 has id 257 at position 1, .* outside 0\.\.256$"),
        ({"prompt_ids": [-1]}, r"^prompt 0 has id -1 at position 0"),
        ({"truncate": "right"}, "^truncate='right' must be 'never' or 'left'$"),
        ({"config": SamplingConfig(stop_strings=["x"])}, r"^stop_strings=\('x',\) need the token"),
        ({"config": SamplingConfig(stop_tokens=[300])}, r"^stop_tokens holds 300, .* 0\.\.256$"),
        (
            {"config": SamplingConfig(seed=1), "generator": torch.Generator()},
            "^seed=1 has no effect beside generator",
        ),
    ],
)
def test_bad_argument_is_refused_before_any_work(
    build: Build, arguments: dict[str, Any], message: str
) -> None:
    given = {"prompt_ids": [1], **arguments}
    with pytest.raises(ValueError, match=message):
        generate(build(), **given)
    if not isinstance(given["prompt_ids"][0] if given["prompt_ids"] else 0, list):
        # At the call, not at the first token.
        with pytest.raises(ValueError, match=message):
            stream(build(), **given)


def test_tokenizer_larger_than_the_model_is_refused(build: Build, tokenizer: Tokenizer) -> None:
    with pytest.raises(ValueError, match="tokenizer has 257 ids, the model vocab_size=101"):
        generate(build(vocab_size=101), [1], GREEDY, tokenizer=tokenizer)


@pytest.mark.parametrize("temperature", [0, 1.0])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_logits_that_are_no_distribution_are_named(
    build: Build, temperature: float, value: float
) -> None:
    model = build()
    with torch.no_grad():
        model.lm_head.weight.zero_()
        model.get_parameter("ln_final.weight").fill_(1.0)
        model.lm_head.weight[3].fill_(value)
    config = SamplingConfig(temperature=temperature, max_tokens=2)
    with pytest.raises(LogitsError, match=r"largest logit of text 0 is (nan|inf) after 2 tokens"):
        generate(model, [1, 2], config)


def test_nan_names_the_text_of_a_batch(build: Build) -> None:
    """Only the second prompt holds the token whose embedding is damaged."""
    model = build()
    with torch.no_grad():
        model.token_embeddings.weight[77] = float("nan")
    with pytest.raises(LogitsError, match="largest logit of text 1 is nan after 3 tokens"):
        generate(model, [[1, 2], [1, 77, 2]], GREEDY)


def test_caller_is_not_left_in_inference_mode(build: Build) -> None:
    tokens = stream(build(), [5], GREEDY)
    next(tokens)
    assert not torch.is_inference_mode_enabled()
    assert torch.is_grad_enabled()


def test_a_prompt_costs_the_logits_of_its_last_token_alone(build: Build) -> None:
    model = build()
    rows: list[int] = []
    model.lm_head.register_forward_pre_hook(
        lambda _, inputs: rows.append(inputs[0].shape[:-1].numel())
    )
    generate(model, PROMPTS, SamplingConfig(temperature=0, max_tokens=2))
    assert rows == [len(PROMPTS), len(PROMPTS)]


@pytest.mark.parametrize("cap", [None, 15.0])
def test_logits_of_the_last_position_are_those_of_the_whole_forward(
    build: Build, cap: float | None
) -> None:
    model = build(logit_soft_cap=cap)
    ids = torch.tensor([PROMPTS[0], PROMPTS[0][::-1]])
    last = model.logits(model.hidden_states(ids)[:, -1])
    torch.testing.assert_close(last, model(ids)[:, -1], rtol=1e-12, atol=0)
