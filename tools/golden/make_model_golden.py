#!/usr/bin/env python3
"""Write tests/golden/model: what the reference computes on the tiny checkpoints.

    make_model_golden.py [positions|windows|activations|generations|prompts|clips ...]

Without arguments everything is made. The contents are described in tests/golden/model/README.md.
"""

import sys

import torch
from model_activations import make_activations
from model_clips import make_clips
from model_generations import make_generations, make_prompts
from model_positions import make_positions, make_windows
from reference import check_versions

PARTS = {
    "positions": make_positions,
    "windows": make_windows,
    "activations": make_activations,
    "generations": make_generations,
    "prompts": make_prompts,
    "clips": make_clips,
}


def main():
    names = sys.argv[1:] or list(PARTS)
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        raise SystemExit(f"make_model_golden: '{unknown[0]}' is not one of {', '.join(PARTS)}")
    check_versions()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    for name in names:
        PARTS[name]()


if __name__ == "__main__":
    main()
