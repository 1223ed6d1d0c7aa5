#!/usr/bin/env python3
"""The demonstration: asks qwenvl about three samples and holds the answers against the truth.

    run_demo.py PROGRAM [--out build/demo]

Prints each question, the answer, the truth, and whether the answer is right; writes the pictures
with the boxes and the point of the answers. Standard library only.
Before: the build, and the checkpoint that ships.   After: the user's own pictures.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from metrics import share
from samples import REPOSITORY, arguments, read_samples, shell_line

# Sample: (what is shown, whether the answer has places to draw).
SHOWN = {
    "table": ("A table becomes Markdown", False),
    "scene": ("Things are located", True),
    "screen": ("A task on a screen becomes a call", True),
}


def indented(text):
    return "\n".join("    " + line for line in text.split("\n"))


def ask(program, record, boxes):
    """The answer; the picture with its boxes is written on the way."""
    command = [os.path.relpath(program, REPOSITORY), "ask", *arguments(record, Path("samples"))]
    command += ["--model", "demo"]
    if boxes:
        command += ["--boxes", boxes]
    print(indented("$ " + shell_line(command)) + "\n", flush=True)
    environment = {name: value for name, value in os.environ.items() if name != "QWENVL_MODEL"}
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        cwd=REPOSITORY,
        env=environment,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"demo: qwenvl ended with exit code {done.returncode}")
    return done.stdout.removesuffix("\n")


def show(program, record, title, boxes):
    """One question; returns whether the answer is right in full."""
    print(f"\n== {title}: samples/{record['frames'][0]}\n")
    answer = ask(program, record, boxes)
    is_right = share(record["skill"], [(answer, record["truth"])]) == 1
    verdict = "right" if is_right else "WRONG"
    if is_right and answer != record["answer"]:
        verdict = "right: other numbers, but every place within its limits"
    print(f"\n  answer\n{indented(answer)}\n  truth\n{indented(record['answer'])}\n  → {verdict}")
    if boxes:
        print(f"  the picture with what the answer points at: {boxes}")
    return is_right


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", type=Path, help="the qwenvl program")
    parser.add_argument("--out", type=Path, default=Path("build/demo"), help="folder of pictures")
    options = parser.parse_args()
    out = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    samples = read_samples()
    right = 0
    for name, (title, has_places) in SHOWN.items():
        boxes = os.path.relpath(out / f"{name}.png", REPOSITORY) if has_places else None
        right += show(options.program.resolve(), samples[name], title, boxes)
    print(
        f"\n{right} of {len(SHOWN)} answers right. The model is the small one that ships; what it "
        "knows and how well\nis in checkpoints/demo/README.md, more questions are in "
        "samples/truths.json. For the real world:\n  pipx run --spec huggingface_hub hf download "
        "Qwen/Qwen2.5-VL-3B-Instruct     # 7.5 GB, once\n"
        f'  {options.program} ask photo.jpg "What is this?"'
    )


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")  # truths hold Chinese, whatever the terminal claims
    main()
