#!/usr/bin/env python3
"""Notes which samples the demo checkpoint answers right, for the end-to-end tests.

    record_answers.py --program build/release/qwenvl [--out tests/e2e/expected_answers.json]

A sample is noted when its greedy answer is right in full and the same in float32 and bfloat16 with
every kernel table this processor can run, so that the tests hold on other processors as well.
Standard library only.
Before: make_samples.py, export.py.   After: tests/e2e.
"""

import argparse
import json
import os
import subprocess
from pathlib import Path

from metrics import share
from samples import REPOSITORY, arguments, read_samples


def run(program, command, kernels=""):
    environment = {**os.environ, "QWENVL_ISA": kernels}
    command = [str(program), *command]
    done = subprocess.run(
        command, capture_output=True, encoding="utf-8", env=environment, check=False
    )
    if done.returncode:
        raise SystemExit(f"record_answers: exit code {done.returncode}: {done.stderr}")
    return json.loads(done.stdout)


def answers(program, model, record, tables):
    """The answers of every arithmetic, without repetition."""
    question = ["ask", *arguments(record), "--model", model, "--json", "--greedy", "--compute"]
    return {
        run(program, [*question, compute], kernels)["answer"]
        for compute in ("bfloat16", "float32")
        for kernels in tables
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = REPOSITORY / "tests/e2e/expected_answers.json"
    parser.add_argument("--program", type=Path, required=True, help="the qwenvl program")
    parser.add_argument("--model", default=str(REPOSITORY / "checkpoints/demo"))
    parser.add_argument("--out", type=Path, default=default)
    options = parser.parse_args()
    kernels = run(options.program, ["inspect", "cpu", "--json"])["kernels"]
    tables = [table["name"] for table in kernels if table["usable"]]
    noted = []
    for name, record in read_samples().items():
        found = sorted(answers(options.program, options.model, record, tables))
        is_right = all(share(record["skill"], [(a, record["truth"])]) == 1 for a in found)
        if is_right and len(found) == 1:
            noted.append({"id": name, "answer": found[0]})
        verdict = "right" if is_right else "WRONG"
        if len(found) > 1:
            verdict += f", but {len(found)} different answers: not noted"
        print(f"{name:16} {verdict}")
    text = json.dumps(noted, ensure_ascii=False, indent=1) + "\n"
    options.out.write_text(text, encoding="utf-8")
    print(f"{options.out}: {len(noted)} answers; {', '.join(tables)} kernels")


if __name__ == "__main__":
    main()
