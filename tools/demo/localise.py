"""How well `qwenvl video localize` finds events in videos of 30 seconds to hours.

Before: long_videos.py draws the videos.   After: a table, a plot, and a JSON file with each answer.
Every length gets the same number of questions and the same budget of visual tokens. A question is
the words of one event; the answer is the most certain event that was found. It counts when the
two overlap in at least half of the time they cover together (temporal IoU >= 0.5).

    python3 tools/demo/localise.py --program build/release/qwenvl --work ../long-videos
"""

import argparse
import json
import random
import subprocess
import time
from pathlib import Path

from long_videos import write_video
from metrics import time_overlap

# Seconds, videos, questions about each, and the share to reach.
LENGTHS = (
    (30, 40, 1, 0.85),
    (300, 10, 4, 0.80),
    (1800, 4, 10, 0.75),
    (3600, 1, 20, 0.70),
    (7200, 1, 20, 0.70),
)
LEAST_OVERLAP = 0.5


def name_of(seconds):
    return f"{seconds} s" if seconds < 60 else f"{seconds // 60} min" if seconds < 3600 else (
        f"{seconds // 3600} h"
    )


def questions(truth, number, count):
    """The events that are asked for: the same for the same video, spread by chance."""
    events = truth["events"]
    return random.Random(f"ask/{truth['seconds']}/{number}").sample(events, min(count, len(events)))


def ask(options, path, words):
    """(what the program says, its seconds).

    The questions about a video share a state file, so that only the first has to look at all of it.
    """
    command = [str(options.program), "video", "localize", str(path), words, "--json"]
    command += ["--model", str(options.checkpoint), "--max-video-tokens", str(options.budget)]
    command += ["--state", str(path.with_suffix(".state")), *options.option]
    began = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"localise: {path}: exit {done.returncode}\n{done.stderr}")
    return json.loads(done.stdout), time.monotonic() - began


def answer_all(options, seconds, n_videos, n_questions):
    """Yields a record for each question about the videos of this length."""
    for number in range(options.first, options.first + n_videos):
        path = options.work / f"{seconds}-{number}.mp4"
        truth = write_video(path, seconds, number)
        path.with_suffix(".state").unlink(missing_ok=True)
        for begin, end, words in questions(truth, number, n_questions):
            found, took = ask(options, path, words)
            best = found["events"][0] if found["events"] else None
            overlap = time_overlap([best["begin"], best["end"]], [begin, end]) if best else 0.0
            yield {
                "seconds": seconds,
                "video": number,
                "words": words,
                "truth": [begin, end],
                "found": best,
                "overlap": overlap,
                "tokens": found["video_tokens"],
                "windows": found["windows"],
                "took": took,
            }


def summary(records, target):
    good = [r for r in records if r["overlap"] >= LEAST_OVERLAP]
    return {
        "length": name_of(records[0]["seconds"]),
        "seconds": records[0]["seconds"],
        "questions": len(records),
        "share": len(good) / len(records),
        "target": target,
        "mean_overlap": sum(r["overlap"] for r in records) / len(records),
        "tokens": max(r["tokens"] for r in records),
        "took": max(r["took"] for r in records),
    }


def table(rows, budget):
    lines = [
        f"Budget: {budget:,} visual tokens for each question, whatever the length.",
        "",
        "| length | questions | IoU >= 0.5 | target | met | mean IoU | most tokens | longest wait |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        met = "yes" if row["share"] >= row["target"] else "**no**"
        lines.append(
            f"| {row['length']} | {row['questions']} | {row['share']:.1%} | "
            f">= {row['target']:.0%} | {met} | {row['mean_overlap']:.3f} | {row['tokens']:,} | "
            f"{row['took']:.0f} s |"
        )
    return "\n".join(lines) + "\n"


def plot(rows, budget, path):
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "localise"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    lengths = [row["seconds"] for row in rows]
    axes.plot(lengths, [100 * row["share"] for row in rows], "o-", label="found")
    axes.plot(lengths, [100 * row["target"] for row in rows], "_--", color="gray", label="target")
    axes.set_xscale("log")
    axes.set_xticks(lengths, [row["length"] for row in rows])
    axes.minorticks_off()
    axes.set_ylim(0, 102)
    axes.set_xlabel("length of the video")
    axes.set_ylabel("events with temporal IoU >= 0.5, %")
    axes.set_title(f"Finding an event with {budget:,} visual tokens")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left")
    figure.savefig(path, metadata={"Date": None})


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--program", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, default=Path("checkpoints/demo"))
    parser.add_argument("--work", type=Path, required=True, help="folder for videos")
    parser.add_argument("--budget", type=int, default=16384)
    parser.add_argument("--lengths", type=int, nargs="*", help="seconds; unset: all")
    parser.add_argument("--first", type=int, default=0, help="number of the first video of a length")
    parser.add_argument("--scale", type=float, default=1.0, help="part of the videos")
    parser.add_argument("--option", action="append", default=[], help="handed to the program")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    rows, records = [], []
    for seconds, n_videos, n_questions, target in LENGTHS:
        if options.lengths and seconds not in options.lengths:
            continue
        n_videos = max(1, round(n_videos * options.scale))
        here = list(answer_all(options, seconds, n_videos, n_questions))
        records += here
        rows.append(summary(here, target))
        print(table(rows[-1:], options.budget).splitlines()[-1], flush=True)
    print(table(rows, options.budget))
    if options.json:
        told = {"budget": options.budget, "lengths": rows, "questions": records}
        options.json.write_text(json.dumps(told, indent=1) + "\n")
    if options.plot:
        plot(rows, options.budget, options.plot)


if __name__ == "__main__":
    main()
