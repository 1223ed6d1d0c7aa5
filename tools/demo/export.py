#!/usr/bin/env python3
"""Writes a trained model in the layout of the published checkpoints.

    export.py --work FOLDER --out checkpoints/demo [--results results.json]

Takes weights.pt and log.json of train.py, and what evaluate.py found, if it ran. training.json
keeps how far the training went, so that restore.py can go on from the exported folder.
Before: train.py.   After: qwenvl, transformers, evaluate.py; restore.py.
"""

import argparse
import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file

import card
from published import (
    DATA,
    GENERATION,
    PREPROCESSOR,
    TOKENIZER_FILES,
    VIDEO_PREPROCESSOR,
    configuration,
)

MOST_BYTES = 24_000_000


def published_name(name):
    """The name a tensor has in the published files; None for the tied head."""
    if name.startswith("model.visual."):
        return name.removeprefix("model.")
    if name.startswith("model.language_model."):
        return "model." + name.removeprefix("model.language_model.")
    if name == "lm_head.weight":
        return None
    raise SystemExit(f"export: unexpected tensor '{name}'")


def write_json(path, content):
    path.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def progress(state):
    """What a state holds beside tensors: step, place in the stream, curves."""

    def is_plain(value):
        if isinstance(value, dict):
            return all(isinstance(name, str) and is_plain(v) for name, v in value.items())
        if isinstance(value, (list, tuple)):
            return all(map(is_plain, value))
        return value is None or isinstance(value, (bool, int, float, str))

    return {name: value for name, value in state.items() if is_plain(value)}


def export(work, out, results):
    state = torch.load(work / "weights.pt", map_location="cpu", weights_only=True)
    log = json.loads((work / "log.json").read_text())
    out.mkdir(parents=True, exist_ok=True)
    tensors = {
        published_name(name): value.to(torch.bfloat16).contiguous()
        for name, value in state["model"].items()
        if published_name(name)
    }
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    (out / "model.safetensors").chmod(0o644)
    write_json(out / "config.json", configuration(state["size"]))
    write_json(out / "generation_config.json", GENERATION)
    write_json(out / "preprocessor_config.json", PREPROCESSOR)
    write_json(out / "video_preprocessor_config.json", VIDEO_PREPROCESSOR)
    for name in TOKENIZER_FILES:
        shutil.copyfile(DATA / name, out / name)
    if (work / "curves.png").exists():
        shutil.copyfile(work / "curves.png", out / "curves.png")
    training = json.dumps(progress(state), separators=(",", ":")) + "\n"
    (out / "training.json").write_text(training, encoding="utf-8")
    (out / "README.md").write_text(card.text(log, results), encoding="utf-8")
    total = sum(path.stat().st_size for path in out.iterdir())
    if total > MOST_BYTES:
        raise SystemExit(f"export: {out} has {total} bytes, at most {MOST_BYTES} may be committed")
    print(f"{out}: {len(tensors)} tensors, {total} bytes in all")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder of train.py")
    parser.add_argument("--out", type=Path, required=True, help="folder of the checkpoint")
    parser.add_argument("--results", type=Path, help="what evaluate.py wrote")
    arguments = parser.parse_args()
    results = json.loads(arguments.results.read_text()) if arguments.results else None
    export(arguments.work, arguments.out, results)


if __name__ == "__main__":
    main()
