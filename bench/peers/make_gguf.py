"""Writes GGUF files of random weights with the exact shapes of a checkpoint: for timing only.

    make_gguf.py MODEL language.gguf --type q4_0          MODEL: a Hugging Face folder
    make_gguf.py MODEL vision.gguf --vision --type bf16

The same block of random numbers fills every matrix: a processor takes the same time for any numbers
of this size. Rows that a block type cannot hold (32 numbers each) are stored as float16, as the
published converters do.
"""
import argparse
import json
import pathlib

import gguf
import numpy

Type = gguf.GGMLQuantizationType
TYPES = {"f32": Type.F32, "f16": Type.F16, "bf16": Type.BF16, "q8_0": Type.Q8_0, "q4_0": Type.Q4_0}
BLOCK = 32
PATTERN_BYTES = 1 << 20


def pattern_of(kind, generator):
    """About PATTERN_BYTES of whole blocks whose numbers stay small."""
    if kind == "f32":
        return numpy.ones(1 << 18, numpy.float32).view(numpy.uint8)
    if kind == "f16":
        return (generator.standard_normal(1 << 19) * 0.02).astype(numpy.float16).view(numpy.uint8)
    if kind == "bf16":
        numbers = (generator.standard_normal(1 << 19) * 0.02).astype(numpy.float32)
        return (numbers.view(numpy.uint32) >> 16).astype(numpy.uint16).view(numpy.uint8)
    n_code_bytes = {"q4_0": 16, "q8_0": 32}[kind]
    codes = generator.integers(0, 256, (1 << 15, n_code_bytes), numpy.uint8)
    scale = numpy.full((1 << 15, 1), 0.002 if kind == "q4_0" else 0.0002, numpy.float16)
    return numpy.concatenate([scale.view(numpy.uint8), codes], axis=1).reshape(-1)


class File:
    """A GGUF file whose tensors are declared first and written one by one."""

    def __init__(self, path, architecture, kind):
        self.writer = gguf.GGUFWriter(path, architecture)
        self.kind = kind
        self.tensors = []

    def add(self, name, shape, kind=None):
        kind = kind or self.kind
        if kind.startswith("q") and shape[-1] % BLOCK:
            kind = "f16"
        self.tensors.append((name, shape, kind))

    def linear(self, name, n_out, n_in, has_bias=False):
        self.add(name + ".weight", (n_out, n_in))
        if has_bias:
            self.add(name + ".bias", (n_out,), "f32")

    def write(self):
        generator = numpy.random.default_rng(1)
        patterns = {kind: pattern_of(kind, generator) for kind in TYPES}
        for name, shape, kind in self.tensors:
            n_bytes = byte_count(shape, kind)
            stored = gguf.quant_shape_to_byte_shape(shape, TYPES[kind])
            self.writer.add_tensor_info(name, stored, numpy.dtype(numpy.uint8), n_bytes, TYPES[kind])
        self.writer.write_header_to_file()
        self.writer.write_kv_data_to_file()
        self.writer.write_ti_data_to_file()
        for name, shape, kind in self.tensors:
            self.writer.write_tensor_data(filled(patterns[kind], byte_count(shape, kind)))
        self.writer.close()


def byte_count(shape, kind):
    per_block, block_bytes = gguf.GGML_QUANT_SIZES[TYPES[kind]]
    return int(numpy.prod(shape, dtype=numpy.int64)) // per_block * block_bytes


def filled(pattern, n_bytes):
    repeats = -(-n_bytes // len(pattern))
    return numpy.tile(pattern, repeats)[:n_bytes]


def add_tokenizer(writer, folder, n_vocabulary):
    tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    tokens = [f"[PAD{i}]" for i in range(n_vocabulary)]
    types = [gguf.TokenType.UNUSED] * n_vocabulary
    for token, i in tokenizer["model"]["vocab"].items():
        tokens[i], types[i] = token, gguf.TokenType.NORMAL
    for added in tokenizer["added_tokens"]:
        tokens[added["id"]], types[added["id"]] = added["content"], gguf.TokenType.CONTROL
    merges = [m if isinstance(m, str) else " ".join(m) for m in tokenizer["model"]["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(merges)
    writer.add_eos_token_id(tokens.index("<|im_end|>"))


def language(folder, config, path, kind):
    text = config.get("text_config", config)
    width, n_heads, n_kv = (text[k] for k in
                            ("hidden_size", "num_attention_heads", "num_key_value_heads"))
    head = width // n_heads
    file = File(path, "qwen2vl", kind)
    w = file.writer
    w.add_block_count(text["num_hidden_layers"])
    w.add_context_length(text["max_position_embeddings"])
    w.add_embedding_length(width)
    w.add_feed_forward_length(text["intermediate_size"])
    w.add_head_count(n_heads)
    w.add_head_count_kv(n_kv)
    w.add_rope_freq_base(float(text["rope_theta"]))
    w.add_rope_dimension_sections([*text["rope_scaling"]["mrope_section"], 0])
    w.add_layer_norm_rms_eps(text["rms_norm_eps"])
    w.add_vocab_size(text["vocab_size"])
    add_tokenizer(w, folder, text["vocab_size"])

    file.linear("token_embd", text["vocab_size"], width)
    file.add("output_norm.weight", (width,), "f32")
    if not config.get("tie_word_embeddings", text.get("tie_word_embeddings", False)):
        file.linear("output", text["vocab_size"], width)
    for i in range(text["num_hidden_layers"]):
        block = f"blk.{i}."
        file.add(block + "attn_norm.weight", (width,), "f32")
        file.linear(block + "attn_q", width, width, True)
        file.linear(block + "attn_k", n_kv * head, width, True)
        file.linear(block + "attn_v", n_kv * head, width, True)
        file.linear(block + "attn_output", width, width)
        file.add(block + "ffn_norm.weight", (width,), "f32")
        file.linear(block + "ffn_gate", text["intermediate_size"], width)
        file.linear(block + "ffn_up", text["intermediate_size"], width)
        file.linear(block + "ffn_down", width, text["intermediate_size"])
    file.write()


def vision(folder, config, path, kind):
    v = config["vision_config"]
    processor = json.loads((folder / "preprocessor_config.json").read_text(encoding="utf-8"))
    width, inner, patch = v["hidden_size"], v["intermediate_size"], v["patch_size"]
    merged = width * v["spatial_merge_size"] ** 2
    file = File(path, "clip", kind)
    w = file.writer
    w.add_bool("clip.has_vision_encoder", True)
    w.add_string("clip.projector_type", "qwen2.5vl_merger")
    w.add_bool("clip.use_silu", True)
    w.add_uint32("clip.vision.image_size", 560)
    w.add_uint32("clip.vision.patch_size", patch)
    w.add_uint32("clip.vision.embedding_length", width)
    w.add_uint32("clip.vision.feed_forward_length", inner)
    w.add_uint32("clip.vision.block_count", v["depth"])
    w.add_uint32("clip.vision.projection_dim", v["out_hidden_size"])
    w.add_uint32("clip.vision.attention.head_count", v["num_heads"])
    w.add_float32("clip.vision.attention.layer_norm_epsilon", 1e-6)
    # The file can only say "every n-th block attends to everything".
    w.add_uint32("clip.vision.n_wa_pattern", v["fullatt_block_indexes"][0] + 1)
    w.add_uint32("clip.vision.window_size", v["window_size"])
    w.add_array("clip.vision.image_mean", processor["image_mean"])
    w.add_array("clip.vision.image_std", processor["image_std"])

    for half in ("", ".1"):  # the two frames of a patch
        file.add("v.patch_embd.weight" + half, (width, 3, patch, patch), "f16")
    for i in range(v["depth"]):
        block = f"v.blk.{i}."
        for part in ("attn_q", "attn_k", "attn_v", "attn_out"):
            file.linear(block + part, width, width, True)
        for norm in ("ln1", "ln2"):
            file.add(block + norm + ".weight", (width,), "f32")
        file.linear(block + "ffn_gate", inner, width, True)
        file.linear(block + "ffn_up", inner, width, True)
        file.linear(block + "ffn_down", width, inner, True)
    file.add("v.post_ln.weight", (width,), "f32")
    file.linear("mm.0", merged, merged, True)
    file.linear("mm.2", v["out_hidden_size"], merged, True)
    file.write()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("out")
    parser.add_argument("--type", choices=TYPES, required=True)
    parser.add_argument("--vision", action="store_true")
    arguments = parser.parse_args()
    config = json.loads((arguments.model / "config.json").read_text(encoding="utf-8"))
    make = vision if arguments.vision else language
    make(arguments.model, config, arguments.out, arguments.type)


if __name__ == "__main__":
    main()
