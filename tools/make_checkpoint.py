#!/usr/bin/env python3
"""Write a random checkpoint of the Qwen2.5-VL architecture in the published folder layout.

    make_checkpoint.py --preset tiny|tiny-untied OUT [--seed N]
    make_checkpoint.py --preset 3b --data FOLDER OUT [--seed N]

tiny         flat config.json (as the published 3B), one file, tied head, 0.6 million parameters
tiny-untied  nested config.json (as newer savers write it), three shards and an index, own head
3b           the exact 3B configuration: 824 tensors in two shards, 7.5 GB; the configuration and
             tokenizer files are copied from FOLDER

The answers are nonsense, but every structural feature is there. The weights are scaled so that
activations stay near 1 and logits have a spread of 2-4. The tiny presets need only the Python
standard library; 3b also needs numpy. The same seed gives the same bytes everywhere: values are
picks from a fixed table of normal quantiles, and the picks come from the Mersenne Twister.
"""

import argparse
import json
import math
import shutil
import struct
import sys
import zlib
from array import array
from pathlib import Path
from random import Random
from statistics import NormalDist

from checkpoint_presets import PRESETS

DATA = Path(__file__).parent / "data"
QUANTILES = 4096  # power of two: 12 random bits pick one value
CHUNK = 1 << 22  # values made and written at a time
# Published files a full-size checkpoint takes over unchanged.
COPIED_FILES = (
    "config.json",
    "generation_config.json",
    "preprocessor_config.json",
    "chat_template.json",
    "tokenizer.json",
    "tokenizer_config.json",
)


def tensors(config):
    """Yields (name, shape, mean, deviation) of every tensor, in checkpoint order."""
    yield from vision_tensors(config["vision_config"], "visual")
    text = config.get("text_config", config)
    yield from text_tensors(text, "model")
    if not config["tie_word_embeddings"]:
        hidden = text["hidden_size"]
        yield "lm_head.weight", [text["vocab_size"], hidden], 0.0, 3.0 / math.sqrt(hidden)


def linear(name, rows, columns, bias, gain=1.0):
    yield f"{name}.weight", [rows, columns], 0.0, gain / math.sqrt(columns)
    if bias:
        yield f"{name}.bias", [rows], 0.0, 0.1


def norm(name, size, mean=1.0):
    yield f"{name}.weight", [size], mean, 0.1 * mean


def vision_tensors(vision, prefix):
    hidden, inner = vision["hidden_size"], vision["intermediate_size"]
    patch = [vision["in_chans"], vision["temporal_patch_size"], *[vision["patch_size"]] * 2]
    # Neighbouring pixels are alike, so a row adds up to far more than independent inputs would.
    deviation = 0.5 / math.sqrt(math.prod(patch))
    yield f"{prefix}.patch_embed.proj.weight", [hidden, *patch], 0.0, deviation
    for index in range(vision["depth"]):
        block = f"{prefix}.blocks.{index}"
        yield from norm(f"{block}.norm1", hidden)
        yield from norm(f"{block}.norm2", hidden)
        yield from linear(f"{block}.attn.qkv", 3 * hidden, hidden, True, 1.4)
        yield from linear(f"{block}.attn.proj", hidden, hidden, True)
        yield from linear(f"{block}.mlp.gate_proj", inner, hidden, True)
        yield from linear(f"{block}.mlp.up_proj", inner, hidden, True)
        yield from linear(f"{block}.mlp.down_proj", hidden, inner, True)
    merged = hidden * vision["spatial_merge_size"] ** 2
    yield from norm(f"{prefix}.merger.ln_q", hidden)
    yield from linear(f"{prefix}.merger.mlp.0", merged, merged, True, 1.4)
    yield from linear(f"{prefix}.merger.mlp.2", vision["out_hidden_size"], merged, True, 1.4)


def text_tensors(text, prefix):
    hidden, inner = text["hidden_size"], text["intermediate_size"]
    head = hidden // text["num_attention_heads"]
    key_value = text["num_key_value_heads"] * head
    tied = text["tie_word_embeddings"]
    # A tied head sees the embedding again in the residual stream and would repeat the last token:
    # small embeddings under a large final norm let the layers decide instead.
    deviation = 0.2 / math.sqrt(hidden) if tied else 0.3
    yield f"{prefix}.embed_tokens.weight", [text["vocab_size"], hidden], 0.0, deviation
    for index in range(text["num_hidden_layers"]):
        layer = f"{prefix}.layers.{index}"
        yield from norm(f"{layer}.input_layernorm", hidden)
        yield from linear(f"{layer}.self_attn.q_proj", hidden, hidden, True, 1.4)
        yield from linear(f"{layer}.self_attn.k_proj", key_value, hidden, True, 1.4)
        yield from linear(f"{layer}.self_attn.v_proj", key_value, hidden, True, 1.4)
        yield from linear(f"{layer}.self_attn.o_proj", hidden, hidden, False, 1.4)
        yield from norm(f"{layer}.post_attention_layernorm", hidden)
        yield from linear(f"{layer}.mlp.gate_proj", inner, hidden, False)
        yield from linear(f"{layer}.mlp.up_proj", inner, hidden, False)
        yield from linear(f"{layer}.mlp.down_proj", hidden, inner, False, 1.4)
    yield from norm(f"{prefix}.norm", hidden, 15.0 if tied else 1.0)


def bfloat16(values):
    """Rounds to the nearest bfloat16 (ties to even) and returns the 16-bit patterns."""
    bits = array("I", array("f", values).tobytes())
    return array("H", ((word + 0x7FFF + ((word >> 16) & 1)) >> 16 for word in bits))


def random_bytes(name, shape, mean, deviation, seed, quantiles):
    """Yields the tensor's bytes chunk by chunk."""
    table = bfloat16([mean + deviation * value for value in quantiles])
    generator = Random(seed << 32 | zlib.crc32(name.encode()))
    left = math.prod(shape)
    while left > 0:
        count = min(left, CHUNK)
        yield pick(table, generator.randbytes(2 * count))
        left -= count


def pick_plain(table, choices):
    return array("H", [table[word & (QUANTILES - 1)] for word in array("H", choices)]).tobytes()


def pick_numpy(table, choices):
    words = numpy.frombuffer(choices, "<u2") & (QUANTILES - 1)
    return numpy.array(table, "<u2").take(words).tobytes()


try:
    import numpy

    pick = pick_numpy
except ImportError:
    numpy = None
    pick = pick_plain


def split(entries, shard_count):
    """Cuts the list of tensors into consecutive shards of about equal bytes."""
    sizes = [2 * math.prod(shape) for _, shape, _, _ in entries]
    total, done = sum(sizes), 0
    shards = [[] for _ in range(shard_count)]
    for entry, size in zip(entries, sizes):
        shards[min(shard_count - 1, done * shard_count // total)].append(entry)
        done += size
    return shards


def published_name(name, nested):
    """The tensor's name in the file: newer savers put both parts under 'model.'."""
    if not nested or name.startswith("lm_head"):
        return name
    if name.startswith("visual."):
        return "model." + name
    return name.replace("model.", "model.language_model.", 1)


def safetensors_header(entries, nested):
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, shape, _, _ in entries:
        size = 2 * math.prod(shape)
        header[published_name(name, nested)] = {
            "dtype": "BF16",
            "shape": shape,
            "data_offsets": [offset, offset + size],
        }
        offset += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def write_weights(out, config, shard_count, seed):
    nested = "text_config" in config
    entries = list(tensors(config))
    parameters = sum(math.prod(shape) for _, shape, _, _ in entries)
    quantiles = [NormalDist().inv_cdf((i + 0.5) / QUANTILES) for i in range(QUANTILES)]
    weight_map, done = {}, 0
    for number, shard in enumerate(split(entries, shard_count), start=1):
        name = "model.safetensors"
        if shard_count > 1:
            name = f"model-{number:05d}-of-{shard_count:05d}.safetensors"
        with open(out / name, "wb") as file:
            file.write(safetensors_header(shard, nested))
            for entry in shard:
                for chunk in random_bytes(*entry, seed, quantiles):
                    file.write(chunk)
                    done += len(chunk) // 2
                weight_map[published_name(entry[0], nested)] = name
                if parameters > 1e8:
                    print(f"\r{name}: {done / parameters:4.0%} ", end="", file=sys.stderr)
    if parameters > 1e8:
        print(file=sys.stderr)
    if shard_count > 1:
        index = {"metadata": {"total_size": 2 * parameters}, "weight_map": weight_map}
        write_json(out / "model.safetensors.index.json", index)
    print(f"{out}: {len(entries)} tensors, {parameters} parameters, {2 * parameters} bytes")


def write_json(path, content):
    path.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def write_tiny_files(out, preset):
    write_json(out / "config.json", preset["config"])
    write_json(out / "generation_config.json", preset["generation_config"])
    write_json(out / "preprocessor_config.json", preset["preprocessor_config"])
    shutil.copyfile(DATA / "tiny_tokenizer.json", out / "tokenizer.json")
    shutil.copyfile(DATA / "tiny_tokenizer_config.json", out / "tokenizer_config.json")
    shutil.copyfile(DATA / "chat_template.json", out / "chat_template.json")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to write")
    parser.add_argument("--preset", required=True, choices=[*PRESETS, "3b"])
    parser.add_argument("--data", type=Path, help="folder of the published files (3b only)")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    if sys.byteorder != "little":
        parser.error("the files are little-endian and so must this machine be")
    if (arguments.preset == "3b") != (arguments.data is not None):
        parser.error("--data FOLDER belongs to --preset 3b, which needs it")
    if arguments.preset == "3b" and numpy is None:
        parser.error("--preset 3b needs numpy: 3.8 billion values take hours without it")

    arguments.out.mkdir(parents=True, exist_ok=True)
    if arguments.preset == "3b":
        for name in COPIED_FILES:
            shutil.copyfile(arguments.data / name, arguments.out / name)
        config = json.loads((arguments.data / "config.json").read_text(encoding="utf-8"))
        write_weights(arguments.out, config, 2, arguments.seed)
    else:
        preset = PRESETS[arguments.preset]
        write_tiny_files(arguments.out, preset)
        write_weights(arguments.out, preset["config"], preset["shards"], arguments.seed)


if __name__ == "__main__":
    main()
