"""Shape and dtype contracts for tensor functions, transparent under `torch.compile`."""

from contracts.contract import contract as contract
