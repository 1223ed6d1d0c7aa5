#!/usr/bin/env python3
"""tools/check_spills.py finds a spill in an inner loop, and only there.

    check_spills_test.py COMPILER OBJDUMP
"""
import pathlib
import subprocess
import sys
import tempfile

TOOL = pathlib.Path(__file__).parents[2] / "tools/check_spills.py"
MULTIPLY = "vfmadd231ps %ymm1, %ymm2, %ymm3"
SPILL = "vmovaps %ymm3, -64(%rsp)"


def function(name, before, loop):
    """A function with one loop, as assembly."""
    return f"{name}:\n{before}\n1: {MULTIPLY}\n{loop}\ndec %rdi\njnz 1b\nret\n"


def verdict(compiler, objdump, *functions):
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder, "kernel.s")
        source.write_text(".text\n" + "".join(functions))
        subprocess.run([compiler, "-c", source, "-o", source.with_suffix(".o")], check=True)
        done = subprocess.run([sys.executable, TOOL, "--objdump", objdump, source.with_suffix(".o")],
                              capture_output=True, text=True)
    return done.returncode, done.stdout


def main():
    tools = sys.argv[1:3]
    code, text = verdict(*tools, function("int8_clean", SPILL, ""))
    assert code == 0, text
    code, text = verdict(*tools, function("int8_clean", "", ""), function("int4_full", "", SPILL))
    assert code == 1 and "int4_full" in text and "1 spills" in text, text
    code, text = verdict(*tools, function("unknown", "", SPILL))
    assert code == 1 and text.startswith("0 inner loops"), text


if __name__ == "__main__":
    main()
