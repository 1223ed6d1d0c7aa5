"""The samples that ship with the project, and how qwenvl is asked about them.

Standard library only, for run_demo.py. Before: make_samples.py.   After: run_demo.py.
"""

import json
import shlex
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
SAMPLES = REPOSITORY / "samples"


def read_samples(folder=SAMPLES):
    """The records of truths.json by name."""
    records = json.loads((folder / "truths.json").read_text(encoding="utf-8"))
    return {record["id"]: record for record in records}


def arguments(record, folder=SAMPLES):
    """What follows `qwenvl ask` for the sample."""
    media = folder / record["frames"][0]
    parts = [str(media.parent if record["fps"] else media), record["prompt"]]
    if not record["picture_first"]:
        parts.reverse()
    if record["fps"]:
        parts += ["--fps", f"{record['fps']:g}"]
    if record["tool"]:
        parts += ["--tools", str(folder / f"{record['id']}.tools.json")]
    return parts


def shell_line(command):
    """The command as it could be typed; line ends inside an argument are kept."""
    return " ".join(shlex.quote(part) for part in command)
