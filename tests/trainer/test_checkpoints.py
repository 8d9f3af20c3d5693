import json
import os
import re
from pathlib import Path

import pytest
import torch

from nn import ModelConfig, TransformerLM
from optim import AdamW
from trainer import checkpoints, retention
from trainer.checkpoints import CorruptCheckpointError, Counters


def model(*, tied: bool = False, seed: int = 0, layers: int = 2) -> TransformerLM:
    config = ModelConfig(
        vocab_size=11,
        context_length=7,
        d_model=6,
        num_layers=layers,
        num_heads=3,
        d_ff=5,
        tied_embeddings=tied,
    )
    return TransformerLM(config, generator=torch.Generator().manual_seed(seed))


def stepped(lm: TransformerLM) -> AdamW:
    """Take one step, so that the optimizer has a state."""
    optimizer = AdamW(lm.parameters(), lr=0.1)
    lm(torch.arange(7)).square().mean().backward()
    optimizer.step()
    return optimizer


def saved(root: Path, step: int, *, tied: bool = False) -> Path:
    lm = model(tied=tied)
    optimizer = stepped(lm)
    return checkpoints.save(
        root, lm, [optimizer], counters=Counters(step, 7 * step, 0.5), identity={"config": "c"}
    )


@pytest.mark.parametrize("tied", [False, True])
def test_weights_come_back_bit_by_bit(tmp_path: Path, tied: bool) -> None:
    lm = model(tied=tied)
    optimizer = stepped(lm)
    path = checkpoints.save(tmp_path, lm, [optimizer], counters=Counters(3, 5, 7.0), identity={})
    other = model(tied=tied, seed=1)
    checkpoints.restore(checkpoints.verify(path), other, [AdamW(other.parameters(), lr=0.3)])
    for name, tensor in lm.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name
    assert (other.lm_head.weight is other.token_embeddings.weight) == tied


def test_state_that_was_restored_is_saved_in_the_same_bytes(tmp_path: Path) -> None:
    for root in ("a", "b"):
        (tmp_path / root).mkdir()
    first = saved(tmp_path / "a", 3)
    lm = model(seed=1)
    optimizer = AdamW(lm.parameters(), lr=0.1)
    counters = checkpoints.restore(checkpoints.verify(first), lm, [optimizer])
    again = checkpoints.save(tmp_path / "b", lm, [optimizer], counters=counters, identity={})
    for name in ("model.safetensors", "optimizer.pt"):
        assert (first / name).read_bytes() == (again / name).read_bytes(), name


def test_all_files_may_be_read_by_the_same_people(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        directory = saved(tmp_path, 3)
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o640}


def test_moments_and_rates_come_back(tmp_path: Path) -> None:
    lm = model()
    optimizer = stepped(lm)
    path = checkpoints.save(tmp_path, lm, [optimizer], counters=Counters(3, 5, 7.0), identity={})
    other = model(seed=1)
    fresh = AdamW(other.parameters(), lr=0.3)
    checkpoints.restore(checkpoints.verify(path), other, [fresh])
    before, after = optimizer.state_dict(), fresh.state_dict()
    for saved_group, group in zip(before["param_groups"], after["param_groups"], strict=True):
        assert saved_group.items() <= group.items()
    for index, state in before["state"].items():
        for key, value in state.items():
            assert torch.equal(torch.as_tensor(after["state"][index][key]), torch.as_tensor(value))


def test_counters_and_identity_come_back(tmp_path: Path) -> None:
    found = checkpoints.verify(saved(tmp_path, 13))
    lm = model()
    assert (found.step, found.identity) == (13, {"config": "c"})
    counters = checkpoints.restore(found, lm, [AdamW(lm.parameters())])
    assert counters == Counters(step=13, tokens=91, seconds=0.5)


def test_name_sorts_by_step(tmp_path: Path) -> None:
    for step in (1000, 7, 130):
        saved(tmp_path, step)
    names = [path.name for path in checkpoints.steps(tmp_path)]
    assert names == ["step-000000007", "step-000000130", "step-000001000"]


def test_nothing_else_is_left_beside_a_checkpoint(tmp_path: Path) -> None:
    path = saved(tmp_path, 3)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    names = {p.name for p in path.iterdir()}
    assert names == {"model.safetensors", "optimizer.pt", "MANIFEST.json"}


def test_manifest_names_size_and_hash_of_every_file(tmp_path: Path) -> None:
    path = saved(tmp_path, 3)
    files = json.loads((path / "MANIFEST.json").read_text())["files"]
    for name in ("model.safetensors", "optimizer.pt"):
        assert files[name]["size"] == (path / name).stat().st_size
        assert len(files[name]["sha256"]) == 64


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.pt"])
def test_flipped_bit_is_found(tmp_path: Path, name: str) -> None:
    path = saved(tmp_path, 3)
    content = bytearray((path / name).read_bytes())
    content[len(content) // 2] ^= 1
    (path / name).write_bytes(content)
    with pytest.raises(CorruptCheckpointError, match=rf"{name} SHA-256 is \w+\.\., manifest says"):
        checkpoints.verify(path)


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.pt"])
def test_truncated_or_missing_file_is_found(tmp_path: Path, name: str) -> None:
    path = saved(tmp_path, 3)
    content = (path / name).read_bytes()
    (path / name).write_bytes(content[:-1])
    with pytest.raises(CorruptCheckpointError, match=f"{name} has .* bytes"):
        checkpoints.verify(path)
    (path / name).unlink()
    with pytest.raises(CorruptCheckpointError, match=f"{name} has 0 bytes"):
        checkpoints.verify(path)


@pytest.mark.parametrize("manifest", ["", "hello", "[]", "{}", '{"files": 3}', None])
def test_manifest_that_is_none_is_one_kind_of_error(tmp_path: Path, manifest: str | None) -> None:
    path = saved(tmp_path, 3)
    (path / "MANIFEST.json").unlink()
    if manifest is not None:
        (path / "MANIFEST.json").write_text(manifest)
    with pytest.raises(CorruptCheckpointError, match=r"its MANIFEST\.json cannot be read"):
        checkpoints.verify(path)


def test_size_without_end_in_a_manifest_is_the_same_error(tmp_path: Path) -> None:
    path = saved(tmp_path, 3) / "MANIFEST.json"
    path.write_text(re.sub(r'"size": \d+', '"size": 1e999', path.read_text(), count=1))
    with pytest.raises(CorruptCheckpointError, match=r"cannot be read \(OverflowError"):
        checkpoints.verify(path.parent)


def test_weights_of_another_model_are_refused_before_any_is_touched(tmp_path: Path) -> None:
    found = checkpoints.verify(saved(tmp_path, 3))
    other = model(seed=1, layers=3)
    before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
    with pytest.raises(CorruptCheckpointError, match="holds other weights than the model"):
        checkpoints.restore(found, other, [AdamW(other.parameters())])
    assert all(torch.equal(before[n], t) for n, t in other.state_dict().items())


def test_unfinished_checkpoint_is_no_checkpoint_and_is_removed(tmp_path: Path) -> None:
    saved(tmp_path, 3)
    left = tmp_path / ".unfinished-step-000000005"
    left.mkdir()
    (left / "model.safetensors").write_bytes(b"half")
    assert [p.name for p in checkpoints.steps(tmp_path)] == ["step-000000003"]
    assert retention.tidy(tmp_path) == 1
    assert not left.exists()


def test_last_checkpoints_are_kept(tmp_path: Path) -> None:
    for step in (2, 3, 5, 7):
        saved(tmp_path, step)
    assert retention.keep(tmp_path, 2) == []
    assert [p.name[-1] for p in checkpoints.steps(tmp_path)] == ["5", "7"]


def test_same_step_can_be_saved_again(tmp_path: Path) -> None:
    saved(tmp_path, 3)
    assert checkpoints.verify(saved(tmp_path, 3)).step == 3
