#!/usr/bin/env python3
"""Holds instruction sets beyond the baseline inside the kernels they belong to.

    check_baseline.py --nm NM --objdump OBJDUMP OBJECT…      the object files of the library

A linker keeps one copy of an inline function that several objects bring along (a weak symbol). Were
that copy compiled for AVX-512, the program would end on smaller machines, far from any kernel. So
  * each kernels_<isa> object exports one symbol: its table,
  * no weak symbol of any object holds a VEX or EVEX instruction.
"""

import argparse
import pathlib
import re
import subprocess
import sys

# VEX and EVEX mnemonics begin with v, mask instructions with k; then come those of BMI.
WIDE = re.compile(
    r"^(v(?!err$|erw$|mcall|mlaunch|mresume)|k(mov|and|or|xor|xnor|not|test|shift|unpck|add)[a-z]*[bwdq]$"
    r"|(andn|bextr|bzhi|mulx|pdep|pext|rorx|sarx|shlx|shrx|blsi|blsr|blsmsk)$)")
FUNCTION = re.compile(r"^[0-9a-f]+ <(.+)>:$")


def output_of(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def symbols_of(nm, path):
    """(type letter, name) of every symbol that other objects see."""
    lines = output_of(nm, "--defined-only", "--extern-only", "--format=posix", path).splitlines()
    return [(line.split()[1], line.split()[0]) for line in lines if len(line.split()) >= 2]


def wide_functions(objdump, path):
    """Functions with an instruction beyond the baseline → the first such instruction."""
    found, function = {}, None
    text = output_of(objdump, "--disassemble", "--no-show-raw-insn", path)
    for line in text.splitlines():
        header = FUNCTION.match(line)
        if header:
            function = header.group(1)
        elif line.startswith(" ") and "\t" in line:
            instruction = line.split("\t", 1)[1].strip()
            if instruction and WIDE.match(instruction.split()[0]):
                found.setdefault(function, instruction)
    return found


def is_kernel(path):
    return pathlib.Path(path).name.startswith("kernels_")


def problems_of(nm, objdump, path, wide):
    # DW.ref.*: an address that unwinding needs, the same in every file, and no code.
    symbols = [symbol for symbol in symbols_of(nm, path) if not symbol[1].startswith("DW.ref.")]
    if is_kernel(path) and len(symbols) > 1:
        names = ", ".join(name for _, name in symbols)
        yield f"{path}: exports {len(symbols)} symbols, expected its table only: {names}"
    for letter, name in symbols:
        if letter in "WVwvu" and name in wide:
            yield f"{path}: the weak function {name} holds '{wide[name]}'"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nm", default="nm")
    parser.add_argument("--objdump", default="objdump")
    parser.add_argument("objects", nargs="+")
    arguments = parser.parse_args()
    wide = {path: wide_functions(arguments.objdump, path) for path in arguments.objects}
    # Kernels of another processor are empty files here.
    kernels = [path for path in arguments.objects
               if is_kernel(path) and symbols_of(arguments.nm, path)]
    if not kernels:
        sys.exit("check_baseline.py: no kernels_* among the objects")
    portable = [path for path in kernels if "kernels_portable" in path]
    if any(wide[path] for path in portable):
        print("the whole build is for a machine with AVX: nothing to check")
        return
    problems = [text for path in arguments.objects
                for text in problems_of(arguments.nm, arguments.objdump, path, wide[path])]
    # A kernel compiled for the baseline by mistake would be slow, and all checks above would pass.
    problems += [f"{path}: no wide instruction, expected a kernel for more than the baseline"
                 for path in kernels if path not in portable and not wide[path]]
    for problem in problems:
        print(problem)
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
