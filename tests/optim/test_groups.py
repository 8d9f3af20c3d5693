"""Parameter groups: every parameter once, each where it belongs."""

from typing import Any

import torch
from torch.nn import Conv2d, Embedding, LayerNorm, Linear, Module, Parameter

from nn import ModelConfig, TransformerLM
from optim import AdamW, Muon, parameter_groups


class Model(Module):
    def __init__(self, *, tied: bool = False) -> None:
        super().__init__()
        self.token_embeddings = Embedding(11, 3)
        self.proj = Linear(3, 5)
        self.ln = LayerNorm(5)
        self.kernel = Conv2d(2, 3, 5, bias=False)
        self.frozen = Linear(7, 7, bias=False).requires_grad_(False)
        self.lm_head = Linear(3, 11, bias=False)
        if tied:
            self.lm_head.weight = self.token_embeddings.weight


def names(group: dict[str, list[tuple[str, Parameter]]]) -> list[str]:
    return [name for name, _ in group["params"]]


def test_only_hidden_matrices_are_for_muon() -> None:
    assert names(parameter_groups(Model()).matrices) == ["proj.weight"]


def test_head_and_kernels_are_decayed_by_adamw() -> None:
    assert names(parameter_groups(Model()).other) == ["kernel.weight", "lm_head.weight"]


def test_embeddings_gains_and_biases_are_not_decayed() -> None:
    group = parameter_groups(Model(), weight_decay=0.3).undecayed
    assert names(group) == ["token_embeddings.weight", "proj.bias", "ln.weight", "ln.bias"]
    assert group["weight_decay"] == 0.0


def test_tied_head_is_an_embedding() -> None:
    groups = parameter_groups(Model(tied=True))
    assert names(groups.other) == ["kernel.weight"]
    assert "token_embeddings.weight" in names(groups.undecayed)


def test_weights_of_a_derived_embedding_are_embeddings() -> None:
    class ScaledEmbedding(Embedding):
        def __init__(self) -> None:
            super().__init__(5, 3)
            self.scale = Parameter(torch.tensor(0.5))

    groups = parameter_groups(ScaledEmbedding())
    assert names(groups.undecayed) == ["weight", "scale"]
    assert not names(groups.matrices)


def test_groups_of_a_language_model_are_what_they_should_be() -> None:
    choices: dict[str, Any] = {"value_embeddings": (1,), "qk_norm": True, "num_layers": 2}
    model = TransformerLM(ModelConfig(vocab_size=53, d_model=12, num_heads=3, **choices))
    groups = parameter_groups(model)
    layers = [name for name, _ in model.named_parameters() if name.startswith("layers.")]
    assert names(groups.matrices) == [
        name for name in layers if "norm" not in name and "ln" not in name
    ]
    assert names(groups.other) == ["lm_head.weight"]
    assert set(names(groups.undecayed)) == {
        "token_embeddings.weight",
        "ln_final.weight",
        "value_embeddings.1.weight",
        "value_embeddings.1.scale",
    } | {name for name in layers if "norm" in name or "ln" in name}


def test_groups_make_one_adamw() -> None:
    model = Model()
    optimizer = AdamW(parameter_groups(model, weight_decay=0.3))
    wanted = {id(p) for p in model.parameters() if p.requires_grad}
    given = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert len(given) == len(wanted)
    assert set(given) == wanted
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.3, 0.3, 0.0]


def test_groups_make_muon_and_adamw() -> None:
    model = Model()
    groups = parameter_groups(model, weight_decay=0.0)
    muon = Muon([groups.matrices], lr=0.1)
    adamw = AdamW([groups.other, groups.undecayed], lr=0.1)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    muon.step()
    adamw.step()
    moved = [name for name, p in model.named_parameters() if not torch.equal(p, before[name])]
    assert moved == [name for name, p in model.named_parameters() if p.requires_grad]
