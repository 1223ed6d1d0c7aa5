#!/usr/bin/env python3
"""Writes a trained model in the layout of the published checkpoints.

    export.py --work FOLDER --out checkpoints/demo [--results results.json]

Takes weights.pt and log.json of train.py, and the table evaluate.py made, if there is one.
Before: train.py.   After: qwenvl, transformers, evaluate.py.
"""

import argparse
import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file

from metrics import results_table
from published import DATA, GENERATION, PREPROCESSOR, TOKENIZER_FILES, configuration

MOST_BYTES = 24_000_000
CARD = """# The demo checkpoint

A small vision-language model of the Qwen2.5-VL architecture ({parameters:,} parameters,
bfloat16), trained from scratch on generated pictures. It loads unchanged in `qwenvl` and in
`transformers` (`Qwen2_5_VLForConditionalGeneration`).

## What it can do

In the generated world of `tools/demo/`, and with prompts as written there: read a few lines of
print, turn a small table into Markdown, answer keys of a receipt, invoice or form as JSON, spot
lines of text with boxes, locate, count and describe coloured shapes and simple objects in English
and Chinese, give the `mobile_use` call for a task on a simple screen, and say when something
happens in a short clip.

## What it cannot do

Everything else. It knows no photograph, no handwriting, no long page, hardly any word outside its
list and no question outside its patterns; it will answer all the same, and wrongly. It exists to
try and test the program, not to be relied on.

## Data

Drawn by `tools/demo/generator.py` from seeds, with the typefaces DejaVu, Liberation, Noto Sans
CJK and WenQuanYi Micro Hei. No photograph, no scraped text. The held-out items come from a random
stream that training never draws from.

## Training cost

{steps:,} steps over {items:,} items in {minutes:.0f} minutes on: {device}. The curves are in
`curves.png`; `tools/demo/train.py` can go on from the last state.

## Scores

{scores}

## Licence

Weights: Apache-2.0, as the project. The tokenizer's entries are the first of the vocabulary that
Qwen2.5 publishes under Apache-2.0.
"""


def published_name(name):
    """The name a tensor has in the published files; None for the tied head."""
    if name.startswith("model.visual."):
        return name.removeprefix("model.")
    if name.startswith("model.language_model."):
        return "model." + name.removeprefix("model.language_model.")
    if name == "lm_head.weight":
        return None
    raise SystemExit(f"export: unexpected tensor '{name}'")


def training_scores(log):
    """The last held-out scores of the training run."""
    if not log["scores"]:
        return "Not scored yet."
    lines = ["Held-out items during training, after the true beginning of each answer:", ""]
    lines += ["| skill | whole answer right | tokens right |", "|---|---|---|"]
    for skill, (exact, tokens) in log["scores"][-1][2].items():
        lines.append(f"| {skill} | {exact:.1%} | {tokens:.1%} |")
    return "\n".join(lines)


def write_json(path, content):
    path.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


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
    for name in TOKENIZER_FILES:
        shutil.copyfile(DATA / name, out / name)
    if (work / "curves.png").exists():
        shutil.copyfile(work / "curves.png", out / "curves.png")
    scores = training_scores(log)
    if results:
        scores = results_table(results) + "\n\n" + scores
    facts = {name: log[name] for name in ("parameters", "steps", "items", "device")}
    card = CARD.format(minutes=log["seconds"] / 60, scores=scores, **facts)
    (out / "README.md").write_text(card, encoding="utf-8")
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
