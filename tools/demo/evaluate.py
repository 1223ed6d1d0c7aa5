#!/usr/bin/env python3
"""Measures a demo checkpoint on held-out items, through qwenvl itself and through transformers.

    evaluate.py --checkpoint FOLDER --items FOLDER --out results.json
                [--program build/release/qwenvl] [--transformers] [--count 200] [--skills A,B]
                [--bfloat16] [--quantised NAME=FOLDER]… [--jobs N]

The items folder (pictures as PNG, items.jsonl) is written when it does not exist yet, and is good
for any other program. Answers are greedy, in float32; --bfloat16 asks qwenvl a second time in the
arithmetic it takes by itself. --quantised asks it for a folder that `qwenvl quantize` wrote from the
checkpoint, in that arithmetic, too, and says how many points are lost. Every answer is noted at once in results.answers.jsonl; a later run
asks only what is not there for this checkpoint and these items.
Both engines are asked one item at a time, several items side by side: batches would be no faster on
a processor, and padding might cost a token.
Before: export.py.   After: the table goes into the card (export.py --results).
"""

import argparse
import hashlib
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from PIL import Image

from features import SYSTEM, loaded, prompt_text
from generator import SKILLS, make_item
from items import SPLITS, Item
from metrics import NUMBERS, results_table, row_of, share

os.environ.setdefault("HF_HUB_OFFLINE", "1")
LONGEST = 512  # new tokens
FLOAT32, BFLOAT16, REFERENCE = "qwenvl", "qwenvl bf16", "transformers"  # engines


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
    command = [str(options.program), "ask", "--model", str(options.model), "--json"]
    command += ["--greedy", "--compute", options.compute, "--max-new-tokens", str(LONGEST)]
    command += ["--system", SYSTEM]
    frames = [(options.items / name).resolve() for name in record["frames"]]
    with tempfile.TemporaryDirectory() as folder:
        media = str(frames[0])
        if record["fps"]:  # a folder of frames is a clip
            media = f"{folder}/clip"
            os.mkdir(media)
            for number, frame in enumerate(frames):
                os.symlink(frame, f"{media}/{number}{frame.suffix}")
            command += ["--fps", str(record["fps"])]
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
        from qwen_vl_utils.vision_process import fetch_video
        from transformers import (
            AutoTokenizer,
            Qwen2_5_VLForConditionalGeneration,
            Qwen2_5_VLProcessor,
            Qwen2VLImageProcessor,
            Qwen2VLVideoProcessor,
        )

        self.torch, self.fetch_video = torch, fetch_video
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
        frames = [Image.open(self.items / n).convert("RGB") for n in record["frames"]]
        fields = {name: record[name] for name in vars(Item("", "", "", []))}
        text = prompt_text(Item(**{**fields, "frames": frames}))
        if record["fps"]:
            media = {"videos": [self.fetch_video({"video": frames})], "fps": record["fps"]}
        else:
            media = {"images": [loaded(frame) for frame in frames]}
        inputs = self.processor(text=[text], return_tensors="pt", **media)
        with self.torch.no_grad():
            out = self.model.generate(**inputs, max_new_tokens=LONGEST)
        ids = out[0, inputs["input_ids"].shape[1] :].tolist()
        return self.processor.decode(ids, skip_special_tokens=True), ids


class AnswerFile:
    """What was answered so far, one line an answer, written as they come."""

    def __init__(self, path, checkpoint):
        self.path = path
        self.model = hashlib.sha256((checkpoint / "model.safetensors").read_bytes()).hexdigest()
        self.known = {}
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
            try:
                entry = json.loads(line)
            except ValueError:
                continue  # a run was stopped while it wrote this line
            self.known[entry["engine"], entry["key"]] = entry["text"], entry["ids"]
        if path.exists() and not path.read_bytes().endswith(b"\n"):
            self.append("")

    def key(self, record):
        """Names the item as it is drawn and the weights that are asked."""
        text = json.dumps(record, sort_keys=True) + self.model
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def missing(self, engine, records):
        return [r for r in records if (engine, self.key(r)) not in self.known]

    def add(self, engine, record, answer):
        text, ids = self.known[engine, self.key(record)] = answer
        entry = {"engine": engine, "id": record["id"], "key": self.key(record), "text": text}
        entry.update(truth=record["answer"], ids=ids)
        self.append(json.dumps(entry, ensure_ascii=False))

    def append(self, line):
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(line + "\n")

    def of(self, engine, records):
        """Answers by id; None where the engine gave none."""
        return {r["id"]: self.known.get((engine, self.key(r))) for r in records}


def collect(answers, engine, records, stream):
    """Takes (record, answer) pairs as they come; progress goes to standard error."""
    done = len(records) - len(answers.missing(engine, records))
    for record, answer in stream(answers.missing(engine, records)):
        if answer is not None:
            answers.add(engine, record, answer)
        done += 1
        print(f"\r{engine}: {done} of {len(records)} ", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return answers.of(engine, records)


def threads_each(jobs):
    return max(1, len(os.sched_getaffinity(0)) // jobs)


def qwenvl_answers(options, records):
    """Several programs side by side."""
    os.environ["QWENVL_THREADS"] = str(threads_each(options.jobs))
    with ThreadPoolExecutor(options.jobs) as pool:
        asked = {pool.submit(ask_qwenvl, options, record): record for record in records}
        try:
            for future in as_completed(asked):
                yield asked[future], future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def open_reference(options):
    """In each worker process: the model of its own."""
    global reference
    reference = Reference(options)
    reference.torch.set_num_threads(threads_each(options.jobs))


def ask_reference(record):
    return record, reference.ask(record)


def reference_answers(options, records):
    if not records:
        return
    fresh = multiprocessing.get_context("spawn")  # a forked child must not inherit torch's threads
    with fresh.Pool(options.jobs, open_reference, (options,)) as pool:
        yield from pool.imap_unordered(ask_reference, records)


def without_end(ids, ends):
    return ids[:-1] if ids and ids[-1] in ends else ids


def same_tokens(names, one, other, ends):
    """Whether both engines gave the same tokens, for the items that both answered."""
    both = [(one[name], other[name]) for name in names if one[name] and other[name]]
    return [without_end(a[1], ends) == without_end(b[1], ends) for a, b in both]


def agreement(names, answers, pair, ends):
    """[items with the same tokens, items compared] of two engines; None when one was not asked."""
    if not set(pair) <= set(answers):
        return None
    same = same_tokens(names, *(answers[engine] for engine in pair), ends)
    return [sum(same), len(same)]


def summary(records, answers, ends):
    """Shares per skill and engine, and on how many items two engines gave the same tokens."""
    results = {"engines": list(answers), "items": len(records), "skills": {}}
    rows = {row_of(record) for record in records}
    for skill in (name for name in NUMBERS if name in rows):
        group = [record for record in records if row_of(record) == skill]
        row = {"items": len(group)}
        for engine, by_id in answers.items():
            pairs = [(by_id[r["id"]][0], r["truth"]) for r in group if by_id[r["id"]]]
            row[engine] = share(skill, pairs) if pairs else None
        names = [r["id"] for r in group]
        row["same_tokens"] = agreement(names, answers, (FLOAT32, REFERENCE), ends)
        row["same_in_bfloat16"] = agreement(names, answers, (FLOAT32, BFLOAT16), ends)
        results["skills"][skill] = row
    return results


def points_lost(results, engine, against):
    """Hundredths lost in the mean over the skills that both were asked for."""
    lost = [
        row[against] - row[engine]
        for row in results["skills"].values()
        if row[engine] is not None and row[against] is not None
    ]
    return 100 * sum(lost) / len(lost) if lost else None


def named_folder(text):
    name, _, folder = text.partition("=")
    if not name or not (Path(folder) / "model.safetensors").exists():
        raise argparse.ArgumentTypeError(
            f"found '{text}', expected NAME=FOLDER of a folder that qwenvl quantize wrote"
        )
    return name, Path(folder)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--checkpoint", type=Path, required=True)
    add("--items", type=Path, required=True, help="folder of the items; written when missing")
    add("--out", type=Path, required=True, help="results.json; the answers are kept beside it")
    add("--program", type=Path, help="the qwenvl program")
    add("--transformers", action="store_true", help="measure with transformers too")
    add("--bfloat16", action="store_true", help="ask qwenvl in bfloat16, too, for information")
    add(
        "--quantised",
        action="append",
        type=named_folder,
        default=[],
        metavar="NAME=FOLDER",
        help="ask qwenvl for this folder in bfloat16, too; may be given several times",
    )
    add("--count", type=int, default=200, help="items of each skill")
    add("--skills", default=",".join(SKILLS))
    add("--split", choices=SPLITS, default="held_out")
    add("--level", type=float, default=1.0, help="difficulty of newly written items")
    add("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="items asked side by side")
    options = parser.parse_args()
    options.skills = options.skills.split(",")
    if unknown := [skill for skill in options.skills if skill not in SKILLS]:
        parser.error(f"no skill {', '.join(unknown)}; there are {', '.join(SKILLS)}")
    if not options.program and not options.transformers:
        parser.error("nothing to measure: give --program, --transformers or both")
    if (options.bfloat16 or options.quantised) and not options.program:
        parser.error("--bfloat16 and --quantised: ask qwenvl, so give --program")
    if len(dict(options.quantised)) < len(options.quantised):
        parser.error("--quantised: found a name twice")
    if options.jobs < 1:
        parser.error("--jobs: expected 1 or more")
    return options


def engines(options):
    """Name: the folder, and how to ask for it; qwenvl in float32 first, because targets are judged
    by the first."""

    def qwenvl(compute, model=options.checkpoint):
        asking = argparse.Namespace(**vars(options), compute=compute, model=model)
        return model, lambda records: qwenvl_answers(asking, records)

    asked = {}
    if options.program:
        asked[FLOAT32] = qwenvl("float32")
    if options.transformers:
        stream = lambda records: reference_answers(options, records)  # noqa: E731
        asked[REFERENCE] = options.checkpoint, stream
    if options.bfloat16:
        asked[BFLOAT16] = qwenvl("bfloat16")
    for name, folder in options.quantised:
        asked[f"qwenvl {name}"] = qwenvl("bfloat16", folder)
    return asked


def main():
    options = parse()
    if not (options.items / "items.jsonl").exists():
        write_items(options.items, options.split, options.skills, options.count, options.level)
    records = read_items(options.items, options.skills, options.count)
    if not records:
        raise SystemExit(f"evaluate: {options.items} has no items of {', '.join(options.skills)}")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    kept = options.out.with_suffix(".answers.jsonl")
    answers = {
        engine: collect(AnswerFile(kept, folder), engine, records, stream)
        for engine, (folder, stream) in engines(options).items()
    }
    generation = json.loads((options.checkpoint / "generation_config.json").read_text())
    results = summary(records, answers, generation["eos_token_id"])
    against = BFLOAT16 if options.bfloat16 else FLOAT32
    results["points_lost"] = {
        name: points_lost(results, f"qwenvl {name}", against) for name, _ in options.quantised
    }
    options.out.write_text(json.dumps(results, indent=1) + "\n")
    print(results_table(results))


if __name__ == "__main__":
    main()
