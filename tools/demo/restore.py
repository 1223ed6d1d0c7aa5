#!/usr/bin/env python3
"""Makes a training folder out of an exported checkpoint, so that training can go on from it.

    restore.py checkpoints/demo --work FOLDER

The weights have been rounded to bfloat16, the optimiser is gone and the heads that only help in
training are fresh; step, place in the stream and curves are those of training.json.
Before: export.py.   After: train.py.
"""

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import load_file

import network
from export import published_name


def restore(checkpoint, work):
    state = json.loads((checkpoint / "training.json").read_text(encoding="utf-8"))
    stored = load_file(checkpoint / "model.safetensors")
    model = network.build(state["size"])
    tensors = model.state_dict()
    for name in tensors:
        if (published := published_name(name)) is not None:
            tensors[name] = stored.pop(published).float()
    if stored:
        raise SystemExit(f"restore: {checkpoint} has tensors of no use: {', '.join(stored)}")
    model.load_state_dict(tensors)  # the tied head follows the embeddings
    model.tie_weights()
    work.mkdir(parents=True, exist_ok=True)
    for name in ("state.pt", "weights.pt"):
        if (work / name).exists():
            raise SystemExit(f"restore: {work} already has a {name}; give a fresh folder")
    weights = {"model": model.state_dict(), "helpers": network.Helpers(model).state_dict()}
    torch.save({**state, **weights}, work / "weights.pt")
    print(f"{work}: step {state['step']} restored from {checkpoint}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path, help="folder that export.py wrote")
    parser.add_argument("--work", type=Path, required=True, help="folder for train.py, fresh")
    arguments = parser.parse_args()
    restore(arguments.checkpoint, arguments.work)


if __name__ == "__main__":
    main()
