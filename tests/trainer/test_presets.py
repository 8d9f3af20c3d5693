import pytest

from nn.accounting import count_parameters
from trainer.presets import DEFAULT_PRESET, PRESETS, SOURCES


@pytest.mark.parametrize(
    ("preset", "tokens"), [("tinystories", 327_680_000), ("tinystories-cpu", 40_960_000)]
)
def test_preset_sees_as_many_tokens_as_it_promises(preset: str, tokens: int) -> None:
    config = PRESETS[preset]
    assert config.max_steps * config.tokens_per_step == tokens


@pytest.mark.parametrize("preset", ["tinystories", "tinystories-cpu"])
def test_stories_model_has_the_agreed_shape(preset: str) -> None:
    model = PRESETS[preset].model
    shape = (model.vocab_size, model.context_length, model.d_model, model.resolved_d_ff)
    assert shape == (10_000, 256, 512, 1344)
    assert (model.num_layers, model.num_heads, model.rope_theta) == (4, 16, 10_000.0)


def test_default_needs_no_text_from_outside() -> None:
    assert PRESETS[DEFAULT_PRESET].data.stories_bytes > 0


@pytest.mark.parametrize("preset", [name for name in PRESETS if name != DEFAULT_PRESET])
def test_other_presets_say_where_their_text_is(preset: str) -> None:
    assert PRESETS[preset].data.stories_bytes == 0
    assert SOURCES[preset].startswith("https://")


@pytest.mark.parametrize("preset", PRESETS)
def test_model_and_data_agree_on_the_vocabulary(preset: str) -> None:
    config = PRESETS[preset]
    assert config.model.vocab_size == config.data.vocab_size


def test_default_model_is_small() -> None:
    assert sum(count_parameters(PRESETS[DEFAULT_PRESET].model).values()) < 4e6
