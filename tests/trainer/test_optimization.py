import pytest

from nn import ModelConfig, TransformerLM
from optim import AdamW, Muon, cosine_lr
from trainer.config import OptimizerConfig, ScheduleConfig
from trainer.optimization import build_optimizers, learning_rate_factor, set_learning_rates


def model(*, tied: bool = False) -> TransformerLM:
    return TransformerLM(
        ModelConfig(
            vocab_size=11,
            context_length=7,
            d_model=6,
            num_layers=2,
            num_heads=3,
            d_ff=5,
            tied_embeddings=tied,
        )
    )


@pytest.mark.parametrize("name", ["adamw", "muon"])
@pytest.mark.parametrize("tied", [False, True])
def test_every_weight_is_in_exactly_one_group(name: str, tied: bool) -> None:
    lm = model(tied=tied)
    optimizers = build_optimizers(lm, OptimizerConfig(name=name))  # type: ignore[arg-type]
    taken = [id(p) for o in optimizers for group in o.param_groups for p in group["params"]]
    assert sorted(taken) == sorted(id(p) for p in lm.parameters())


def test_muon_takes_the_layers_matrices_and_adamw_the_rest() -> None:
    lm = model()
    muon, adamw = build_optimizers(lm, OptimizerConfig(name="muon"))
    assert isinstance(muon, Muon)
    assert isinstance(adamw, AdamW)
    names = {id(p): name for name, p in lm.named_parameters()}
    by_muon = {names[id(p)] for group in muon.param_groups for p in group["params"]}
    assert by_muon == {n for n in names.values() if "_proj." in n or ".ffn." in n}


def test_gains_and_embeddings_are_not_decayed() -> None:
    lm = model()
    (adamw,) = build_optimizers(lm, OptimizerConfig(weight_decay=0.3))
    names = {id(p): name for name, p in lm.named_parameters()}
    free = {
        names[id(p)]
        for group in adamw.param_groups
        if group["weight_decay"] == 0
        for p in group["params"]
    }
    assert free == {n for n in names.values() if ".ln" in n or "ln_" in n or "embed" in n}


def test_each_optimizer_has_its_own_rates() -> None:
    muon, adamw = build_optimizers(model(), OptimizerConfig(name="muon", lr=0.3, muon_lr=0.7))
    set_learning_rates([muon, adamw], 0.5)
    assert {group["lr"] for group in muon.param_groups} == {0.35}
    assert {group["lr"] for group in adamw.param_groups} == {0.15}


def test_cosine_is_that_of_optim() -> None:
    schedule = ScheduleConfig(warmup_steps=7, min_lr_ratio=0.1)
    for step in (1, 7, 8, 50, 101):
        expected = cosine_lr(step, 1.0, 0.1, 7, 101)
        assert learning_rate_factor(step, schedule, 101) == expected


def test_stable_part_of_wsd_keeps_the_peak() -> None:
    schedule = ScheduleConfig(name="wsd", warmup_steps=5, decay_ratio=0.2, min_lr_ratio=0.0)
    factors = [learning_rate_factor(step, schedule, 100) for step in (5, 40, 80, 90, 100)]
    assert factors == pytest.approx([1, 1, 1, 0.5, 0])


def test_constant_stays_at_the_peak_after_warming_up() -> None:
    schedule = ScheduleConfig(name="constant", warmup_steps=4)
    assert [learning_rate_factor(step, schedule, 9) for step in (1, 4, 9)] == [0.25, 1, 1]


def test_linear_falls_along_a_line_to_the_last_step() -> None:
    schedule = ScheduleConfig(name="linear", warmup_steps=3, min_lr_ratio=0.2)
    factors = [learning_rate_factor(step, schedule, 13) for step in (3, 8, 13)]
    assert factors == pytest.approx([1.0, 0.6, 0.2])


@pytest.mark.parametrize("name", ["cosine", "wsd", "linear", "constant"])
def test_warm_up_longer_than_the_run_is_cut(name: str) -> None:
    schedule = ScheduleConfig(name=name, warmup_steps=1000)  # type: ignore[arg-type]
    factors = [learning_rate_factor(step, schedule, 5) for step in range(1, 6)]
    assert factors == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
