"""What the peers' programs share: their options, a stop watch, and how they report.

Before: run.py starts one of them for each round.   After: run.py reads the line they print.
"""
import argparse
import json
import time


def parse_options(description, files):
    """The options run.py gives; `files` names what stands before them."""
    parser = argparse.ArgumentParser(description=description.strip().splitlines()[0])
    for name in files:
        parser.add_argument(name)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--side", type=int, default=504, help="of the picture, in pixels")
    parser.add_argument("--prompt-tokens", type=int, default=350)
    parser.add_argument("--answer-tokens", type=int, default=64)
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


def report(*, load, encode, ttft, prefill, decode, **counts):
    """Milliseconds of each stage, under the names of `qwenvl bench`, and token counts."""
    print(json.dumps({"load": load, "encode-512": encode, "ttft-512": ttft, "prefill": prefill,
                      "decode": decode, **counts}))
