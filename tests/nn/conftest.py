"""Every test of `nn` starts from one seed, so that a red run can be repeated."""

import pytest
import torch


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(7)
