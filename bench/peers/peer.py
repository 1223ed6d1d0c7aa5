"""What the peers' programs share: their options, a stop watch, and how they report.

Before: run.py starts one of them for each round.   After: run.py reads the line they print.
"""
import argparse
import json
import time

# Width and height in pixels of what the pictures of `qwenvl bench` become, so that nothing is resized.
PICTURES = {"encode-512": (504, 504), "encode-1024": (1036, 1036), "encode-1080p": (1932, 1092)}
SIDES = PICTURES["encode-512"]  # of ttft-512 and batch, too


def parse_options(description, files):
    """The options run.py gives; `files` names what stands before them."""
    parser = argparse.ArgumentParser(description=description.strip().splitlines()[0])
    for name in files:
        parser.add_argument(name)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--stages", type=lambda text: text.split(","), required=True)
    parser.add_argument("--prompt-tokens", type=int, default=350)
    parser.add_argument("--answer-tokens", type=int, default=64)
    parser.add_argument("--batch", type=int, default=8, help="pictures answered at once")
    parser.add_argument("--text-tokens", type=int, default=32, help="beside the picture")
    return parser.parse_args()


def milliseconds(call):
    """How long it took, and what it returned."""
    begin = time.perf_counter()
    result = call()
    return (time.perf_counter() - begin) * 1e3, result


def words(n):
    """Text of about n tokens."""
    return "the" + " the" * (n - 1)


def ids(n):
    """n tokens of no meaning, in the range of ordinary words."""
    return [100 + i % 900 for i in range(n)]


def report(stages, load, times, **counts):
    """Prints the milliseconds of the stages that are asked for, each measured by times[stage](), and
    token counts, as one line of JSON."""
    done = {}
    for stage in stages:
        if stage not in done:  # one measurement may bring several
            done |= times[stage]()
    print(json.dumps({"load": load, **{stage: done[stage] for stage in stages}, **counts}))
