#!/usr/bin/env python3
"""Measures a demo checkpoint on held-out items, through qwenvl itself and through transformers.

    evaluate.py --checkpoint FOLDER --items FOLDER --out results.json
                [--program build/release/qwenvl] [--transformers] [--count 200] [--skills A,B]

The items folder (pictures as PNG, items.jsonl) is written when it does not exist yet, and is good
for any other program. Answers are greedy, in float32.
Before: export.py.   After: the table goes into the card (export.py --results).
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from features import SYSTEM, loaded, prompt_text
from generator import SKILLS, make_item
from items import SPLITS, Item
from metrics import results_table, share

os.environ.setdefault("HF_HUB_OFFLINE", "1")
LONGEST = 512  # new tokens


def write_items(folder, split, skills, count, level):
    """Draws the items and writes pictures and truths."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "part.tmp", "w", encoding="utf-8") as file:
        for skill in skills:
            for index in range(count):
                item = make_item(skill, split, index, level)
                record = {"id": f"{skill}-{index:04d}", **vars(item), "frames": []}
                for number, frame in enumerate(item.frames):
                    name = (
                        f"{record['id']}-{number:02d}.png"
                        if item.is_clip
                        else f"{record['id']}.png"
                    )
                    frame.save(folder / name)
                    record["frames"].append(name)
                file.write(json.dumps(record, ensure_ascii=False) + "\n")
    os.replace(folder / "part.tmp", folder / "items.jsonl")


def read_items(folder, skills, count):
    """The records of the asked skills, at most `count` of each."""
    records, seen = [], dict.fromkeys(skills, 0)
    for line in (folder / "items.jsonl").read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        if record["skill"] in seen and seen[record["skill"]] < count:
            seen[record["skill"]] += 1
            records.append(record)
    return records


def ask_qwenvl(options, record):
    """(answer, token ids) of one item."""
    command = [str(options.program), "ask", "--model", str(options.checkpoint), "--json"]
    command += ["--greedy", "--compute", "float32", "--max-new-tokens", str(LONGEST)]
    command += ["--system", SYSTEM]
    frames = [(options.items / name).resolve() for name in record["frames"]]
    with tempfile.TemporaryDirectory() as folder:
        media = str(frames[0])
        if record["fps"]:  # a folder of frames is a clip
            media = f"{folder}/clip"
            os.mkdir(media)
            for number, frame in enumerate(frames):
                os.symlink(frame, f"{media}/{number}{frame.suffix}")
            # Frames are sized like pictures, as in features.py.
            command += ["--fps", str(record["fps"]), "--resize-rule", "qwen_vl_utils11"]
        if record["tool"]:
            tools = Path(folder) / "tools.json"
            tools.write_text(json.dumps([record["tool"]], ensure_ascii=False), encoding="utf-8")
            command += ["--tools", str(tools)]
        parts = [media, record["prompt"]] if record["picture_first"] else [record["prompt"], media]
        done = subprocess.run(command + parts, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"evaluate: {record['id']}: exit {done.returncode}\n{done.stderr}")
    choice = json.loads(done.stdout)["choices"][0]
    return choice["text"], [token["id"] for token in choice["tokens"]]


class Reference:
    """The checkpoint in transformers."""

    def __init__(self, options):
        import torch
        from transformers import (
            AutoTokenizer,
            Qwen2_5_VLForConditionalGeneration,
            Qwen2_5_VLProcessor,
            Qwen2VLImageProcessor,
            Qwen2VLVideoProcessor,
        )

        self.torch = torch
        self.items = options.items
        # The picture processor that resizes with Pillow, as qwenvl does unless told otherwise.
        self.processor = Qwen2_5_VLProcessor(
            image_processor=Qwen2VLImageProcessor.from_pretrained(options.checkpoint),
            tokenizer=AutoTokenizer.from_pretrained(options.checkpoint),
            video_processor=Qwen2VLVideoProcessor.from_pretrained(options.checkpoint),
        )
        self.model = Qwen2_5_VLForConditionalGeneration.from_pretrained(
            options.checkpoint, dtype=torch.float32
        ).eval()

    def ask(self, record):
        frames = [loaded(Image.open(self.items / n).convert("RGB")) for n in record["frames"]]
        fields = {name: record[name] for name in vars(Item("", "", "", []))}
        text = prompt_text(Item(**{**fields, "frames": frames}))
        if record["fps"]:
            media = {"videos": [frames], "fps": record["fps"]}
        else:
            media = {"images": frames}
        inputs = self.processor(text=[text], return_tensors="pt", **media)
        with self.torch.no_grad():
            out = self.model.generate(**inputs, max_new_tokens=LONGEST)
        ids = out[0, inputs["input_ids"].shape[1] :].tolist()
        return self.processor.decode(ids, skip_special_tokens=True), ids


def collect(records, ask, name):
    """Answers by id, with progress on standard error."""
    answers = {}
    for number, record in enumerate(records, start=1):
        answers[record["id"]] = ask(record)
        print(f"\r{name}: {number} of {len(records)} ", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return answers


def without_end(ids, ends):
    return ids[:-1] if ids and ids[-1] in ends else ids


def summary(records, answers, ends):
    """Shares per skill and engine, and how often two engines gave the same tokens."""
    results = {"engines": list(answers), "skills": {}}
    for skill in dict.fromkeys(record["skill"] for record in records):
        group = [record for record in records if record["skill"] == skill]
        row = {"items": len(group)}
        for engine, by_id in answers.items():
            pairs = [(by_id[r["id"]][0], r["truth"]) for r in group if by_id[r["id"]]]
            row[engine] = share(skill, pairs) if pairs else None
        if len(answers) == 2:
            both = [[by_id[r["id"]] for by_id in answers.values()] for r in group]
            both = [(a[1], b[1]) for a, b in both if a and b]
            same = [without_end(a, ends) == without_end(b, ends) for a, b in both]
            row["same_tokens"] = sum(same) / len(same) if same else None
        results["skills"][skill] = row
    return results


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--checkpoint", type=Path, required=True)
    add("--items", type=Path, required=True, help="folder of the items; written when missing")
    add("--out", type=Path, required=True, help="results.json; the answers are written beside it")
    add("--program", type=Path, help="the qwenvl program")
    add("--transformers", action="store_true", help="measure with transformers too")
    add("--count", type=int, default=200, help="items of each skill")
    add("--skills", default=",".join(SKILLS))
    add("--split", choices=SPLITS, default="held_out")
    add("--level", type=float, default=1.0, help="difficulty of newly written items")
    options = parser.parse_args()
    options.skills = options.skills.split(",")
    if unknown := [skill for skill in options.skills if skill not in SKILLS]:
        parser.error(f"no skill {', '.join(unknown)}; there are {', '.join(SKILLS)}")
    if not options.program and not options.transformers:
        parser.error("nothing to measure: give --program, --transformers or both")
    return options


def main():
    options = parse()
    if not (options.items / "items.jsonl").exists():
        write_items(options.items, options.split, options.skills, options.count, options.level)
    records = read_items(options.items, options.skills, options.count)
    if not records:
        raise SystemExit(f"evaluate: {options.items} has no items of {', '.join(options.skills)}")
    answers = {}
    if options.program:
        answers["qwenvl"] = collect(records, lambda r: ask_qwenvl(options, r), "qwenvl")
    if options.transformers:
        answers["transformers"] = collect(records, Reference(options).ask, "transformers")
    generation = json.loads((options.checkpoint / "generation_config.json").read_text())
    results = summary(records, answers, generation["eos_token_id"])
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(results, indent=1) + "\n")
    with open(options.out.with_suffix(".answers.jsonl"), "w", encoding="utf-8") as file:
        for r in records:
            line = {"id": r["id"], "truth": r["answer"]}
            line.update(
                (engine, by_id[r["id"]] and by_id[r["id"]][0]) for engine, by_id in answers.items()
            )
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
    print(results_table(results))


if __name__ == "__main__":
    main()
