"""Write golden_losses.json: the losses of twenty seeded steps, for each optimizer.

Run it after a change that is meant to change them: python tests/trainer/make_golden_losses.py
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

TEST = "test_losses_of_twenty_steps_are_the_golden_ones"
HERE = Path(__file__).parent


def losses(optimizer: str) -> list[float]:
    """Run the test that uses the file, whatever its result, and take what it computed."""
    test = f"{HERE / 'test_loop.py'}::{TEST}[{optimizer}]"
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, "-m", "pytest", test, "-q", "--basetemp", f"{directory}/runs"]
        subprocess.run(command, check=False, stdout=subprocess.DEVNULL)
        (metrics,) = Path(directory).rglob("metrics.jsonl")
        return [json.loads(line)["train_loss"] for line in metrics.read_text().splitlines()]


if __name__ == "__main__":
    golden = {optimizer: losses(optimizer) for optimizer in ("adamw", "muon")}
    (HERE / "golden_losses.json").write_text(json.dumps(golden, indent=1) + "\n")
