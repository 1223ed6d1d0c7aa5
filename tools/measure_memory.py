#!/usr/bin/env python3
"""Peak memory of a qwenvl run, split into what it allocated and what it mapped.

    measure_memory.py [--photo IMAGE --size 4000x3000 --as FILE] -- qwenvl ask ...

Runs the command and reads /proc/<pid>/status twenty times a second: RssAnon is memory the program
allocated, RssFile the pages of mapped weights that it touched. With --photo the picture is first
enlarged to --size and written to FILE (needs Pillow), so that any sample gives a 12-megapixel photo.
"""

import argparse
import re
import subprocess
import sys
import time
from pathlib import Path


def enlarge(photo, size, path):
    from PIL import Image

    width, height = (int(part) for part in size.split("x"))
    Image.open(photo).convert("RGB").resize((width, height), Image.BICUBIC).save(path, quality=92)


def resident(pid):
    """{"RssAnon": bytes, "RssFile": bytes, "VmHWM": bytes} of a process; empty once it is gone."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return {}
    found = re.findall(r"^(RssAnon|RssFile|VmHWM):\s+(\d+) kB", text, re.MULTILINE)
    return {name: int(kilobytes) * 1024 for name, kilobytes in found}


def main():
    line = sys.argv[1:]
    split = line.index("--") if "--" in line else len(line)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photo", type=Path)
    parser.add_argument("--size", default="4000x3000", help="WIDTHxHEIGHT")
    parser.add_argument("--as", dest="path", type=Path, default=Path("photo_12mp.jpg"))
    arguments = parser.parse_args(line[:split])
    command = line[split + 1 :]
    if not command:
        parser.error("no command after --")
    if arguments.photo:
        enlarge(arguments.photo, arguments.size, arguments.path)

    process = subprocess.Popen(command)
    peak = {}
    try:
        while process.poll() is None:
            for name, size in resident(process.pid).items():
                peak[name] = max(peak.get(name, 0), size)
            time.sleep(0.05)
    except KeyboardInterrupt:
        process.wait()
    for name, meaning in [("RssAnon", "allocated"), ("RssFile", "mapped files"), ("VmHWM", "resident in all")]:
        print(f"peak {meaning}: {peak.get(name, 0) / 1e9:.3f} GB", file=sys.stderr)
    return process.returncode


if __name__ == "__main__":
    sys.exit(main())
