#!/usr/bin/env python3
"""Small files in the formats other tools write, and what their numbers mean: tests/golden/foreign.

    python make_foreign_golden.py [--out FOLDER]

Each folder holds a model of a few tiny tensors and expected.safetensors, the same tensors as float32
under their published names. What is expected never comes from the reader under test: GGUF files are
written and decoded by the gguf package, bitsandbytes files by bitsandbytes; AWQ and GPTQ matrices are
made from known integers, zeros and scales, and only then packed. Of a tall matrix only the last rows
are expected.
"""
import argparse
import json
import pathlib

import gguf
import numpy as np
import torch
from bitsandbytes import functional
from safetensors.torch import save_file

LAYER = "model.layers.0."
rng = np.random.default_rng(20)


def write_folder(folder, config, tensors, expected):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "qwen2_5_vl", **config}, indent=1) + "\n")
    contiguous = lambda many: {name: torch.as_tensor(t).contiguous() for name, t in many.items()}
    save_file(contiguous(tensors), folder / "model.safetensors", metadata={"format": "pt"})
    save_file(contiguous(expected), folder / "expected.safetensors")
    for file in folder.iterdir():
        file.chmod(0o644)


def plain_tensors():
    """What no method converts: the same values in all folders."""
    norm = torch.linspace(-2, 2, 6)
    patches = torch.arange(24, dtype=torch.float32).reshape(2, 3, 2, 2, 1) / 3
    stored = {LAYER + "input_layernorm.weight": norm.bfloat16(), "model.norm.weight": norm.half(),
              "visual.patch_embed.proj.weight": patches}
    return stored, {name: tensor.float() for name, tensor in stored.items()}


# ---- AWQ and GPTQ -------------------------------------------------------------------------------

def random_matrix(n_inputs, n_outputs, n_groups, bits, symmetric=False):
    """Integers [inputs, outputs], zeros and scales [groups, outputs]."""
    q = rng.integers(0, 2**bits, (n_inputs, n_outputs))
    zeros = np.full((n_groups, n_outputs), 2 ** (bits - 1)) if symmetric else \
        rng.integers(0, 2**bits, (n_groups, n_outputs))
    scales = rng.uniform(0.001, 0.02, (n_groups, n_outputs)).astype(np.float16)
    return q, zeros, scales


def meaning(q, zeros, scales, group_of):
    """The published weight [outputs, inputs]."""
    weight = (q - zeros[group_of]).astype(np.float64) * scales.astype(np.float64)[group_of]
    return torch.from_numpy(weight.T.astype(np.float32).copy())


def pack_along_outputs(values, bits, nibble_of=None):
    """[rows, outputs] → int32 words; value j of a word goes into place nibble_of[j]."""
    per_word = 32 // bits
    nibble_of = nibble_of or list(range(per_word))
    words = np.zeros((values.shape[0], values.shape[1] // per_word), np.uint32)
    for j in range(values.shape[1]):
        words[:, j // per_word] |= values[:, j].astype(np.uint32) << np.uint32(bits * nibble_of[j % per_word])
    return torch.from_numpy(words.view(np.int32))


def pack_along_inputs(values, bits):
    return pack_along_outputs(values.T, bits).T.contiguous()


def make_awq(out):
    stored, expected = plain_tensors()
    nibble_of = [0, 4, 1, 5, 2, 6, 3, 7]
    for module, n_inputs, n_outputs in (("self_attn.q_proj", 32, 24), ("mlp.down_proj", 48, 8)):
        group_of = np.arange(n_inputs) // 16
        q, zeros, scales = random_matrix(n_inputs, n_outputs, n_inputs // 16, 4)
        name = LAYER + module
        stored[name + ".qweight"] = pack_along_outputs(q, 4, nibble_of)
        stored[name + ".qzeros"] = pack_along_outputs(zeros, 4, nibble_of)
        stored[name + ".scales"] = torch.from_numpy(scales)
        expected[name + ".weight"] = meaning(q, zeros, scales, group_of)
    stored[LAYER + "self_attn.q_proj.bias"] = torch.arange(24).half()
    expected[LAYER + "self_attn.q_proj.bias"] = torch.arange(24).float()
    config = {"quant_method": "awq", "bits": 4, "group_size": 16, "version": "gemm", "zero_point": True,
              "modules_to_not_convert": ["visual"]}
    write_folder(out / "awq", {"quantization_config": config}, stored, expected)


def make_gptq(folder, bits, group_size, stores_less_one, shuffled, symmetric, config):
    stored, expected = plain_tensors()
    n_inputs, n_outputs = 32, 16
    group_of = np.arange(n_inputs) // (group_size if group_size > 0 else n_inputs)
    if shuffled:
        group_of = rng.permutation(group_of)
    q, zeros, scales = random_matrix(n_inputs, n_outputs, group_of.max() + 1, bits, symmetric)
    name = LAYER + "mlp.up_proj"
    stored[name + ".qweight"] = pack_along_inputs(q, bits)
    stored[name + ".qzeros"] = pack_along_outputs((zeros - 1) % 2**bits if stores_less_one else zeros, bits)
    stored[name + ".scales"] = torch.from_numpy(scales)
    if shuffled:
        stored[name + ".g_idx"] = torch.from_numpy(group_of.astype(np.int32))
    expected[name + ".weight"] = meaning(q, zeros, scales, group_of)
    settings = {"quant_method": "gptq", "bits": bits, "group_size": group_size, "desc_act": shuffled,
                "sym": symmetric, **config}
    write_folder(folder, {"quantization_config": settings}, stored, expected)


# ---- bitsandbytes -------------------------------------------------------------------------------

def make_bitsandbytes(out):
    torch.manual_seed(20)
    stored, expected = plain_tensors()
    # Blocks may run across rows (the first two cases), but this version's fast path on CPUs takes the wrong
    # block where a row is shorter than one and its width is a multiple of 32.
    cases = (("mlp.up_proj", "nf4", False, (7, 45)), ("mlp.gate_proj", "fp4", False, (6, 50)),
             ("mlp.down_proj", "nf4", True, (130, 130)), ("self_attn.o_proj", "fp4", True, (4, 64)))
    for module, kind, nested, shape in cases:
        weight = torch.randn(shape) / 8
        packed, state = functional.quantize_4bit(weight, quant_type=kind, compress_statistics=nested, blocksize=64)
        name = LAYER + module + ".weight"
        stored[name] = packed
        for part, tensor in state.as_dict(packed=True).items():
            stored[f"{name}.{part}"] = tensor
        expected[name] = functional.dequantize_4bit(packed, state).float()[-4:]
    config = {"quant_method": "bitsandbytes", "load_in_4bit": True, "load_in_8bit": False,
              "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True}
    write_folder(out / "bitsandbytes_4bit", {"quantization_config": config}, stored, expected)

    stored, expected = plain_tensors()
    name = LAYER + "mlp.up_proj."
    stored[name + "weight"], stored[name + "SCB"], _ = functional.int8_vectorwise_quant((torch.randn(5, 12) / 8).half())
    stored[name + "weight_format"] = torch.tensor(0, dtype=torch.uint8)
    expected[name + "weight"] = functional.int8_vectorwise_dequant(stored[name + "weight"], stored[name + "SCB"])
    config = {"quant_method": "bitsandbytes", "load_in_4bit": False, "load_in_8bit": True}
    write_folder(out / "bitsandbytes_8bit", {"quantization_config": config}, stored, expected)


# ---- GGUF ---------------------------------------------------------------------------------------

# Where each block type keeps half-precision numbers, which random bytes would make huge or NaN.
HALVES = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q4_K": [0, 2], "Q5_K": [0, 2],
          "Q6_K": [208]}


def random_blocks(kind, shape):
    """Bytes [rows, …] of random blocks of a type; every bit of a block is used."""
    quantisation = gguf.GGMLQuantizationType[kind]
    if kind in ("F32", "F16", "BF16"):
        values = rng.normal(size=shape).astype(np.float32)
        return gguf.quants.quantize(values, quantisation), quantisation
    n_values, n_bytes = gguf.GGML_QUANT_SIZES[quantisation]
    blocks = rng.integers(0, 256, (shape[0], shape[1] // n_values, n_bytes)).astype(np.uint8)
    for at in HALVES[kind]:
        half = rng.uniform(-0.02, 0.02, blocks.shape[:2]).astype(np.float16)
        blocks[:, :, at:at + 2] = half[:, :, None].view(np.uint8)
    return blocks.reshape(shape[0], -1), quantisation


class GgufPart:
    def __init__(self, path, architecture):
        self.writer = gguf.GGUFWriter(path, architecture)

    def add(self, name, kind, shape):
        """Adds random numbers; returns what they mean."""
        data, quantisation = random_blocks(kind, shape)
        self.writer.add_tensor(name, data, raw_dtype=quantisation)
        return torch.from_numpy(gguf.quants.dequantize(data, quantisation).astype(np.float32).reshape(shape))

    def close(self):
        self.writer.write_header_to_file()
        self.writer.write_kv_data_to_file()
        self.writer.write_tensors_to_file()
        self.writer.close()


TOKENS = ["a", "b", "\u0120", "ab", "\u00c3\u00a9", "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>",
          "<|vision_end|>", "<|image_pad|>", "<|video_pad|>", "<tool_call>", "<|fim_prefix|>", "[PAD14]", "[PAD15]"]
NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5
TOKEN_TYPES = [NORMAL] * 5 + [CONTROL] * 7 + [USER_DEFINED, CONTROL] + [UNUSED] * 2


def make_language_gguf(path):
    part, expected = GgufPart(path, "qwen2vl"), {}
    writer = part.writer
    writer.add_block_count(2)
    writer.add_context_length(128000)
    writer.add_embedding_length(256)
    writer.add_feed_forward_length(64)
    writer.add_head_count(8)
    writer.add_head_count_kv(2)
    writer.add_rope_freq_base(1000000.0)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_dimension_sections([4, 6, 6, 0])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(TOKENS)
    writer.add_token_types(TOKEN_TYPES)
    writer.add_token_merges(["a b"])
    writer.add_eos_token_id(7)
    writer.add_pad_token_id(5)
    tensors = [("token_embd.weight", "Q4_0", (16, 32), "model.embed_tokens.weight"),
               ("output_norm.weight", "F32", (20,), "model.norm.weight"),
               ("blk.0.attn_norm.weight", "F32", (8,), LAYER + "input_layernorm.weight"),
               ("blk.0.attn_q.weight", "Q4_K", (3, 256), LAYER + "self_attn.q_proj.weight"),
               ("blk.0.attn_q.bias", "F32", (3,), LAYER + "self_attn.q_proj.bias"),
               ("blk.0.attn_k.weight", "Q5_K", (3, 256), LAYER + "self_attn.k_proj.weight"),
               ("blk.0.attn_v.weight", "Q6_K", (3, 512), LAYER + "self_attn.v_proj.weight"),
               ("blk.0.attn_output.weight", "Q8_0", (3, 64), LAYER + "self_attn.o_proj.weight"),
               ("blk.0.ffn_norm.weight", "F32", (8,), LAYER + "post_attention_layernorm.weight"),
               ("blk.0.ffn_gate.weight", "Q4_1", (3, 64), LAYER + "mlp.gate_proj.weight"),
               ("blk.0.ffn_up.weight", "BF16", (3, 9), LAYER + "mlp.up_proj.weight"),
               ("blk.0.ffn_down.weight", "F16", (3, 9), LAYER + "mlp.down_proj.weight"),
               ("blk.1.ffn_gate.weight", "Q5_0", (3, 64), "model.layers.1.mlp.gate_proj.weight"),
               ("blk.1.ffn_up.weight", "Q5_1", (3, 64), "model.layers.1.mlp.up_proj.weight")]
    for stored, kind, shape, name in tensors:
        expected[name] = part.add(stored, kind, shape)
    part.close()
    return expected


def make_vision_gguf(path):
    """Width 32, inner width 64; the second block has the exchanged names of old converters."""
    part, expected = GgufPart(path, "clip"), {}
    writer = part.writer
    writer.add_bool("clip.has_vision_encoder", True)
    writer.add_string("clip.projector_type", "qwen2.5vl_merger")
    writer.add_bool("clip.use_silu", True)
    for key, value in (("image_size", 560), ("patch_size", 14), ("embedding_length", 32), ("feed_forward_length", 64),
                       ("block_count", 4), ("projection_dim", 256), ("attention.head_count", 4), ("n_wa_pattern", 2)):
        writer.add_uint32(f"clip.vision.{key}", value)
    writer.add_float32("clip.vision.attention.layer_norm_epsilon", 1e-6)
    writer.add_array("clip.vision.image_mean", [0.48145466, 0.4578275, 0.40821073])
    writer.add_array("clip.vision.image_std", [0.26862954, 0.26130258, 0.27577711])
    frames = [part.add(f"v.patch_embd.weight{ending}", "F16", (5, 3, 2, 2)) for ending in ("", ".1")]
    expected["visual.patch_embed.proj.weight"] = torch.stack(frames, dim=2)
    block = "visual.blocks.0."
    kinds = (("q", "Q8_0"), ("k", "F16"), ("v", "Q4_0"))
    expected[block + "attn.qkv.weight"] = torch.cat(
        [part.add(f"v.blk.0.attn_{which}.weight", kind, (3, 32)) for which, kind in kinds])
    expected[block + "attn.qkv.bias"] = torch.cat(
        [part.add(f"v.blk.0.attn_{which}.bias", "F32", (3,)) for which, _ in kinds])
    tensors = [("v.blk.0.ffn_up.weight", "Q8_0", (64, 32), block + "mlp.up_proj.weight"),
               ("v.blk.0.ffn_down.weight", "Q8_0", (32, 64), block + "mlp.down_proj.weight"),
               ("v.blk.0.ln1.weight", "F32", (8,), block + "norm1.weight"),
               ("v.blk.1.attn_qkv.weight", "F16", (9, 8), "visual.blocks.1.attn.qkv.weight"),
               ("v.blk.1.ffn_down.weight", "Q8_0", (64, 32), "visual.blocks.1.mlp.up_proj.weight"),
               ("v.blk.1.ffn_down.bias", "F32", (64,), "visual.blocks.1.mlp.up_proj.bias"),
               ("v.blk.1.ffn_up.weight", "Q8_0", (32, 64), "visual.blocks.1.mlp.down_proj.weight"),
               ("v.post_ln.weight", "F32", (8,), "visual.merger.ln_q.weight"),
               ("mm.0.weight", "F16", (8, 8), "visual.merger.mlp.0.weight"),
               ("mm.2.weight", "BF16", (256, 2), "visual.merger.mlp.2.weight")]
    for stored, kind, shape, name in tensors:
        expected[name] = part.add(stored, kind, shape)
        if len(shape) == 2:
            expected[name] = expected[name][-8:]
    part.close()
    return expected


def make_gguf(out):
    folder = out / "gguf"
    folder.mkdir(parents=True, exist_ok=True)
    expected = make_language_gguf(folder / "language.gguf")
    expected |= make_vision_gguf(folder / "mmproj-vision.gguf")
    save_file({name: tensor.contiguous() for name, tensor in expected.items()}, folder / "expected.safetensors")
    (folder / "expected.safetensors").chmod(0o644)


def main():
    root = pathlib.Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, default=root / "tests/golden/foreign")
    out = parser.parse_args().out
    torch.set_num_threads(1)
    make_awq(out)
    make_gptq(out / "gptq", 4, 8, True, True, False, {})
    make_gptq(out / "gptq_8bit", 8, 16, True, False, True, {"checkpoint_format": "gptq"})
    make_gptq(out / "gptq_v2", 4, -1, False, False, False, {"checkpoint_format": "gptq_v2"})
    make_bitsandbytes(out)
    make_gguf(out)


if __name__ == "__main__":
    main()
