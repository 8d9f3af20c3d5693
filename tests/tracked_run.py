"""Train with all trackers, go on, break the trackers, go on again; print what each has as JSON.

A process of its own: trackers start threads and processes, and warn of what we do not control.
"""

import json
import os
import shutil
import sqlite3
import sys
from pathlib import Path
from typing import Any

from trainer_jobs import SMALL_JOB

from trainer.cli import train_command

RUN = Path("runs/tracked")
FLAGS = [*SMALL_JOB, f"--run-dir={RUN}", "--objective=to be seen"]


def main() -> None:
    os.environ |= {"WANDB_MODE": "offline", "TRACKIO_DIR": str(Path("trackio").absolute())}
    all_three = ["--track", "wandb", "tensorboard", "trackio"]
    assert train_command([*FLAGS, *all_three]) == 0
    assert train_command([f"--run-dir={RUN}", "--max-steps=8"]) == 0
    found = {"wandb": wandb(), "tensorboard": tensorboard(), "trackio": trackio()}
    shutil.rmtree(RUN / "tensorboard")
    (RUN / "tensorboard").write_text("in the way")
    (RUN / "tracking.json").write_text("{")
    sys.stdout.flush()
    print("BROKEN", flush=True)
    assert train_command([f"--run-dir={RUN}", "--max-steps=11"]) == 0
    print(f"\n{json.dumps(found)}")


def tensorboard() -> dict[str, Any]:
    from tensorboard.backend.event_processing.event_accumulator import (  # type: ignore[import-untyped]
        EventAccumulator,
    )

    events = EventAccumulator(str(RUN / "tensorboard"))
    events.Reload()
    return {
        key: [(event.step, event.value) for event in events.Scalars(key)]
        for key in events.Tags()["scalars"]
    }


def trackio() -> dict[str, Any]:
    with sqlite3.connect("trackio/trainer.db") as database:
        rows = database.execute("SELECT run_name, step, metrics FROM metrics ORDER BY id")
        return {"rows": [(name, step, json.loads(metrics)) for name, step, metrics in rows]}


def wandb() -> dict[str, Any]:
    """Read the files that `wandb sync` would send: blocks of 32 KiB, heads of 7 bytes."""
    from wandb.proto.wandb_internal_pb2 import Record  # type: ignore[attr-defined]

    rows: list[dict[str, Any]] = []
    runs, objectives = [], []
    for file in sorted((RUN / "wandb").glob("offline-run-*/*.wandb")):
        data, place, whole = file.read_bytes(), 7, b""
        while place + 7 <= len(data):
            if (left := 32768 - place % 32768) < 7:
                place += left
                continue
            length, kind = int.from_bytes(data[place + 4 : place + 6], "little"), data[place + 6]
            whole += data[place + 7 : place + 7 + length]
            place += 7 + length
            # 1 is a whole record; 2, 3 and 4 are the first, a middle and the last piece of one.
            if kind not in (1, 4):
                continue
            record = Record.FromString(whole)
            whole = b""
            if record.HasField("run"):
                runs.append(record.run.run_id)
                objectives.append(record.run.notes)
            if record.HasField("history"):
                items = record.history.item
                rows.append({i.key or i.nested_key[0]: json.loads(i.value_json) for i in items})
    return {"rows": rows, "runs": runs, "objectives": objectives}


if __name__ == "__main__":
    main()
