"""The configuration files of the tiny checkpoints, as data for make_checkpoint.py.

`tiny` copies the shape of the published 3B files: flat config.json, pixel limits as two keys.
`tiny-untied` copies what newer savers write: nested text_config, limits inside `size`, no
`tokens_per_second` (the library then assumes 4, not the 2 of the published file). Sizes are the
smallest that keep every feature: odd MLP widths, windows and several full-attention blocks,
grouped heads (2 and 3 query heads per key head), unequal M-RoPE sections.
"""

import json
from pathlib import Path

_TOKENIZER = json.loads(
    (Path(__file__).parent / "data" / "tiny_tokenizer.json").read_text(encoding="utf-8")
)
_ID = {token["content"]: token["id"] for token in _TOKENIZER["added_tokens"]}

_SPECIAL_IDS = {
    "bos_token_id": _ID["<|endoftext|>"],
    "eos_token_id": _ID["<|im_end|>"],
    "vision_start_token_id": _ID["<|vision_start|>"],
    "vision_end_token_id": _ID["<|vision_end|>"],
    "vision_token_id": _ID["<|vision_pad|>"],
    "image_token_id": _ID["<|image_pad|>"],
    "video_token_id": _ID["<|video_pad|>"],
}

_GENERATION = {
    "bos_token_id": _ID["<|endoftext|>"],
    "pad_token_id": _ID["<|endoftext|>"],
    "do_sample": True,
    "eos_token_id": [_ID["<|im_end|>"], _ID["<|endoftext|>"]],
    "repetition_penalty": 1.05,
    "temperature": 1e-06,
    "transformers_version": "4.49.0",
}

_PATCHES = {"patch_size": 14, "temporal_patch_size": 2, "merge_size": 2}
_COLOURS = {
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "image_processor_type": "Qwen2VLImageProcessor",
    "processor_class": "Qwen2_5_VLProcessor",
}

_TINY = {
    "architectures": ["Qwen2_5_VLForConditionalGeneration"],
    "attention_dropout": 0.0,
    **_SPECIAL_IDS,
    "hidden_act": "silu",
    "hidden_size": 64,
    "initializer_range": 0.02,
    "intermediate_size": 152,
    "max_position_embeddings": 4096,
    "max_window_layers": 70,
    "model_type": "qwen2_5_vl",
    "num_attention_heads": 4,
    "num_hidden_layers": 3,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-06,
    "rope_theta": 1000000.0,
    "sliding_window": 32768,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.41.2",
    "use_cache": True,
    "use_sliding_window": False,
    "vision_config": {
        "depth": 5,
        "hidden_act": "silu",
        "hidden_size": 64,
        "intermediate_size": 100,
        "num_heads": 4,
        "in_chans": 3,
        "out_hidden_size": 64,
        "patch_size": 14,
        "spatial_merge_size": 2,
        "spatial_patch_size": 14,
        "window_size": 112,
        "fullatt_block_indexes": [2, 4],
        "tokens_per_second": 2,
        "temporal_patch_size": 2,
    },
    "rope_scaling": {"type": "mrope", "mrope_section": [2, 3, 3]},
    "vocab_size": 1088,
}

_TINY_UNTIED = {
    "architectures": ["Qwen2_5_VLForConditionalGeneration"],
    "dtype": "bfloat16",
    "image_token_id": _SPECIAL_IDS["image_token_id"],
    "model_type": "qwen2_5_vl",
    "text_config": {
        "attention_dropout": 0.0,
        "bos_token_id": _SPECIAL_IDS["bos_token_id"],
        "dtype": "bfloat16",
        "eos_token_id": _SPECIAL_IDS["eos_token_id"],
        "hidden_act": "silu",
        "hidden_size": 96,
        "initializer_range": 0.02,
        "intermediate_size": 200,
        "layer_types": ["full_attention"] * 4,
        "max_position_embeddings": 4096,
        "max_window_layers": 4,
        "model_type": "qwen2_5_vl_text",
        "num_attention_heads": 6,
        "num_hidden_layers": 4,
        "num_key_value_heads": 2,
        "rms_norm_eps": 1e-05,
        "rope_scaling": {"mrope_section": [2, 3, 3], "rope_type": "default", "type": "default"},
        "rope_theta": 1000000.0,
        "sliding_window": None,
        "tie_word_embeddings": False,
        "use_cache": True,
        "use_sliding_window": False,
        "vocab_size": 1152,
    },
    "tie_word_embeddings": False,
    "transformers_version": "4.57.6",
    "video_token_id": _SPECIAL_IDS["video_token_id"],
    "vision_config": {
        "depth": 4,
        "fullatt_block_indexes": [1, 3],
        "hidden_act": "silu",
        "hidden_size": 48,
        "in_channels": 3,
        "in_chans": 3,
        "initializer_range": 0.02,
        "intermediate_size": 70,
        "model_type": "qwen2_5_vl",
        "num_heads": 3,
        "out_hidden_size": 96,
        "patch_size": 14,
        "spatial_merge_size": 2,
        "spatial_patch_size": 14,
        "temporal_patch_size": 2,
        "window_size": 112,
    },
    "vision_end_token_id": _SPECIAL_IDS["vision_end_token_id"],
    "vision_start_token_id": _SPECIAL_IDS["vision_start_token_id"],
    "vision_token_id": _SPECIAL_IDS["vision_token_id"],
}

PRESETS = {
    "tiny": {
        "config": _TINY,
        "generation_config": _GENERATION,
        "preprocessor_config": {
            "min_pixels": 3136,
            "max_pixels": 12845056,
            **_PATCHES,
            **_COLOURS,
        },
        "shards": 1,
    },
    "tiny-untied": {
        "config": _TINY_UNTIED,
        "generation_config": dict(_GENERATION, transformers_version="4.57.6"),
        "preprocessor_config": {
            "size": {"shortest_edge": 3136, "longest_edge": 12845056},
            **_PATCHES,
            **_COLOURS,
        },
        "shards": 3,
    },
}
