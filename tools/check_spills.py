#!/usr/bin/env python3
"""No vector register may be spilled in the inner loops of the kernels: it halves their speed.

    check_spills.py --objdump OBJDUMP OBJECT…

An inner loop is a backward jump without another one inside; it counts when it multiplies (dot
products, tiles, fused multiply-adds) and belongs to a matrix product of weights that are read as
they are stored: float32, bf16, int8, int4. (float16 is widened by a dozen instructions first, which
need registers, too.) Prints every store of a vector register to the stack in such a loop, and fails
if there is one, or if no such loop is found at all.
"""
import argparse
import re
import subprocess
import sys

FUNCTION = re.compile(r"^[0-9a-f]+ <(.*)>:$")
INSTRUCTION = re.compile(r"^\s*([0-9a-f]+):\s+(\S.*)$")
PRODUCTS = re.compile(r"\b(tile_sums<\d+, \d+, (float|qwenvl::bf16), false>|int[48]_\w+|tall_\w+|grouped_\w+"
                      r"|attend|score_rows|gather_rows|panel_rows)\b")
JUMP = re.compile(r"^j\w+\s+([0-9a-f]+)\b")
MULTIPLIES = re.compile(r"^(?:\{\w+\} )?(vpdpbusd|vpmaddubsw|vdpbf16ps|tdp\w+|vfn?m(add|sub)\d+ps)\b")
SPILL = re.compile(r"^vmov\w+\s+%[xyz]mm\d+,\S*\(%r[sb]p\S*\)")


def functions_of(objdump, path):
    """(name, [(address, instruction)]) of every function of an object file."""
    text = subprocess.run([objdump, "--disassemble", "--demangle", "--no-show-raw-insn", path],
                          check=True, capture_output=True, text=True).stdout
    name, body = None, []
    for line in text.splitlines():
        if match := FUNCTION.match(line):
            if body:
                yield name, body
            name, body = match[1], []
        elif match := INSTRUCTION.match(line):
            body.append((int(match[1], 16), match[2]))
    if body:
        yield name, body


def inner_loops(body):
    """Instructions of the loops that contain no other loop."""
    backward = []
    for address, instruction in body:
        match = JUMP.match(instruction)
        if match and int(match[1], 16) <= address:
            backward.append((int(match[1], 16), address))
    for first, last in backward:
        inside = [one for one in backward if first <= one[0] and one[1] <= last]
        if len(inside) == 1:
            yield [(a, i) for a, i in body if first <= a <= last]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--objdump", default="objdump")
    parser.add_argument("objects", nargs="+", metavar="OBJECT")
    options = parser.parse_args()
    n_loops, spills = 0, []
    for path in options.objects:
        for name, body in functions_of(options.objdump, path):
            if not PRODUCTS.search(name):
                continue
            for loop in inner_loops(body):
                if not any(MULTIPLIES.match(instruction) for _, instruction in loop):
                    continue
                n_loops += 1
                spills += [f"{path}: {name}: {address:x}: {instruction}"
                           for address, instruction in loop if SPILL.match(instruction)]
    for spill in spills:
        print(spill)
    print(f"{n_loops} inner loops that multiply, {len(spills)} spills")
    return 1 if spills or not n_loops else 0


if __name__ == "__main__":
    sys.exit(main())
