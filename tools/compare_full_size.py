#!/usr/bin/env python3
"""Compare the first-token logits of qwenvl and of the reference on one picture.

    compare_full_size.py --binary build/release/qwenvl --model FOLDER IMAGE [PROMPT]
                         [--dtype bfloat16|float32|both] [--attention sdpa|eager] [--keep FOLDER]
                         [-- OPTIONS OF qwenvl ask]

Runs `qwenvl ask ... --max-new-tokens 1 --dump-logits FILE`, then the reference (transformers, the
Pillow image path, qwen_vl_utils) on the same prompt, and prints how far the logits are apart.
With both, the reference's bfloat16 run is also measured against its float32 run: that is the
error rounding alone causes, and the scale to judge qwenvl's by. The weights are read once, layer
by layer through the mapped file: bfloat16 needs 8 GB of memory for a 3B model, float32 16 GB.
Ends with 1 if the token ids differ.
"""

import argparse
import gc
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from qwen_vl_utils import process_vision_info
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import (
    AutoTokenizer,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
)

DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}


def arguments_of(line):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("image", type=Path)
    parser.add_argument("prompt", nargs="?", default="Describe this image.")
    parser.add_argument("--model", type=Path, required=True, help="checkpoint folder")
    parser.add_argument("--binary", type=Path, help="qwenvl; without it only the reference runs")
    parser.add_argument("--dtype", choices=[*DTYPES, "both"], default="bfloat16")
    parser.add_argument("--attention", choices=["sdpa", "eager"], default="sdpa")
    parser.add_argument("--threads", type=int, help="threads of the reference")
    parser.add_argument("--keep", type=Path, help="folder for the logits of every run")
    own = line[: line.index("--")] if "--" in line else line
    return parser.parse_args(own, argparse.Namespace(extra=line[len(own) + 1 :]))


def say(text):
    print(text, file=sys.stderr, flush=True)


def run_binary(arguments, folder):
    """The raw logits of the last prompt position, and the prompt's token ids."""
    out = folder / "qwenvl.safetensors"
    command = [
        arguments.binary,
        "ask",
        "--model",
        arguments.model,
        arguments.image,
        arguments.prompt,
    ]
    command += ["--max-new-tokens", "1", "--dump-logits", out, *arguments.extra]
    start = time.time()
    subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL)
    say(f"qwenvl: {time.time() - start:.1f} s")
    tensors = load_file(out)
    return tensors["logits"].float().flatten(), tensors["input_ids"].flatten()


def reference_inputs(arguments):
    model = arguments.model
    template = json.loads((model / "chat_template.json").read_text(encoding="utf-8"))
    processor = Qwen2_5_VLProcessor(
        Qwen2VLImageProcessor.from_pretrained(model),
        AutoTokenizer.from_pretrained(model),
        Qwen2VLVideoProcessor.from_pretrained(model),
        chat_template=template["chat_template"],
    )
    content = [
        {"type": "image", "image": str(arguments.image)},
        {"type": "text", "text": arguments.prompt},
    ]
    messages = [{"role": "user", "content": content}]
    text = processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    images, videos = process_vision_info(messages)
    return processor(text=[text], images=images, videos=videos, return_tensors="pt")


def run_reference(arguments, inputs, dtype):
    start = time.time()
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(
        arguments.model,
        dtype=DTYPES[dtype],
        attn_implementation=arguments.attention,
        low_cpu_mem_usage=True,
    ).eval()
    loaded = time.time()
    with torch.no_grad():
        logits = model(**inputs, use_cache=False, logits_to_keep=1).logits[0, -1].float()
    say(f"reference {dtype}: load {loaded - start:.1f} s, run {time.time() - loaded:.1f} s")
    del model
    gc.collect()
    return logits


def report(name, logits, reference):
    """One line of distances between two logit vectors."""
    difference = (logits - reference).double()
    log_p, log_q = (v.double().log_softmax(-1) for v in (reference, logits))
    five, other = (set(v.topk(5).indices.tolist()) for v in (reference, logits))
    cosine = torch.nn.functional.cosine_similarity(logits.double(), reference.double(), dim=0)
    print(
        f"{name}: max abs {difference.abs().max():.4g}, "
        f"relative L2 {difference.norm() / reference.double().norm():.4g}, "
        f"cosine {cosine:.8f}, "
        f"top-1 {'equal' if logits.argmax() == reference.argmax() else 'DIFFERENT'}, "
        f"top-5 overlap {len(five & other)}/5, "
        f"KL {(log_p.exp() * (log_p - log_q)).sum():.3g}"
    )


def compare_ids(ours, inputs):
    expected = inputs["input_ids"][0]
    if ours.tolist() == expected.tolist():
        print(f"prompt: {len(expected)} tokens, equal")
        return True
    same = sum(1 for a, b in zip(ours.tolist(), expected.tolist()) if a == b)
    print(f"prompt: {len(ours)} tokens, expected {len(expected)}; {same} equal in place")
    return False


def check_checkpoint(model):
    """Every file of the index opens; a truncated download would fail much later otherwise."""
    files = sorted(model.glob("*.safetensors"))
    if not files:
        raise SystemExit(f"compare_full_size: no *.safetensors in {model}")
    for file in files:
        with safe_open(file, framework="pt") as tensors:
            tensors.keys()


def main():
    arguments = arguments_of(sys.argv[1:])
    check_checkpoint(arguments.model)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    dtypes = list(DTYPES) if arguments.dtype == "both" else [arguments.dtype]
    runs = {}
    ids_equal = True
    with tempfile.TemporaryDirectory() as temporary:
        inputs = reference_inputs(arguments)
        grid = inputs["image_grid_thw"].tolist()
        print(f"image: grid {grid}, {inputs['input_ids'].shape[1]} prompt tokens")
        if arguments.binary:
            runs["qwenvl"], ids = run_binary(arguments, Path(temporary))
            ids_equal = compare_ids(ids, inputs)
    for dtype in dtypes:
        runs[dtype] = run_reference(arguments, inputs, dtype)
        spread = runs[dtype].std()
        print(f"reference {dtype}: logits std {spread:.3f}, top-1 id {runs[dtype].argmax()}")
    if arguments.keep:
        arguments.keep.mkdir(parents=True, exist_ok=True)
        save_file(runs, arguments.keep / "logits.safetensors")
    for dtype in dtypes:
        if arguments.binary:
            report(f"qwenvl - reference {dtype}", runs["qwenvl"], runs[dtype])
    if len(dtypes) == 2:
        report("reference bfloat16 - float32", runs["bfloat16"], runs["float32"])
    raise SystemExit(0 if ids_equal else 1)


if __name__ == "__main__":
    main()
