"""The demo model's sizes and configuration files, in the layout of the published 3B checkpoint.

Before: data/tokenizer.json, cut by tools/cut_tokenizer.py.   After: network.py builds the model,
export.py writes the files. Why the numbers are as they are: docs/decisions/demo_checkpoint.md.
"""

import copy
import json
from pathlib import Path

from items import CLIP_MAX_PIXELS, MAX_PIXELS, MIN_PIXELS

DATA = Path(__file__).resolve().parent / "data"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.json")

_TOKENIZER = json.loads((DATA / "tokenizer.json").read_text(encoding="utf-8"))
IDS = {token["content"]: token["id"] for token in _TOKENIZER["added_tokens"]}
IMAGE_MEAN = [0.48145466, 0.4578275, 0.40821073]
IMAGE_STD = [0.26862954, 0.26130258, 0.27577711]

_CONFIG = {
    "architectures": ["Qwen2_5_VLForConditionalGeneration"],
    "attention_dropout": 0.0,
    "bos_token_id": IDS["<|endoftext|>"],
    "eos_token_id": IDS["<|im_end|>"],
    "vision_start_token_id": IDS["<|vision_start|>"],
    "vision_end_token_id": IDS["<|vision_end|>"],
    "vision_token_id": IDS["<|vision_pad|>"],
    "image_token_id": IDS["<|image_pad|>"],
    "video_token_id": IDS["<|video_pad|>"],
    "hidden_act": "silu",
    "hidden_size": 256,
    "initializer_range": 0.02,
    "intermediate_size": 704,
    "max_position_embeddings": 4096,
    "max_window_layers": 6,
    "model_type": "qwen2_5_vl",
    "num_attention_heads": 4,
    "num_hidden_layers": 6,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-06,
    "rope_theta": 30.0,
    "sliding_window": 4096,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.49.0",
    "use_cache": True,
    "use_sliding_window": False,
    "vision_config": {
        "depth": 6,
        "hidden_act": "silu",
        "hidden_size": 192,
        "intermediate_size": 512,
        "num_heads": 4,
        "in_chans": 3,
        "out_hidden_size": 256,
        "patch_size": 14,
        "spatial_merge_size": 2,
        "spatial_patch_size": 14,
        "window_size": 112,
        "fullatt_block_indexes": [2, 5],
        "tokens_per_second": 2,
        "temporal_patch_size": 2,
    },
    "rope_scaling": {"type": "mrope", "mrope_section": [4, 14, 14]},
    "vocab_size": 4096,
}

# Greedy and without repetition penalty: tables and coordinates repeat digits.
GENERATION = {
    "bos_token_id": IDS["<|endoftext|>"],
    "pad_token_id": IDS["<|endoftext|>"],
    "do_sample": False,
    "eos_token_id": [IDS["<|im_end|>"], IDS["<|endoftext|>"]],
    "repetition_penalty": 1.0,
    "transformers_version": "4.49.0",
}

PREPROCESSOR = {
    "min_pixels": MIN_PIXELS,
    "max_pixels": MAX_PIXELS,
    "patch_size": 14,
    "temporal_patch_size": 2,
    "merge_size": 2,
    "image_mean": IMAGE_MEAN,
    "image_std": IMAGE_STD,
    "image_processor_type": "Qwen2VLImageProcessor",
    "processor_class": "Qwen2_5_VLProcessor",
}

# Frames of clips have limits of their own: see items.seen_clip_size.
VIDEO_PREPROCESSOR = {
    **PREPROCESSOR,
    "max_pixels": CLIP_MAX_PIXELS,
    "size": {"shortest_edge": MIN_PIXELS, "longest_edge": CLIP_MAX_PIXELS},
    "video_processor_type": "Qwen2VLVideoProcessor",
}
del VIDEO_PREPROCESSOR["image_processor_type"]

# The same structure for smoke tests: trains in a minute on one thread.
_TINY_TEXT = {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 4}
_TINY_VISION = {"depth": 4, "hidden_size": 96, "intermediate_size": 192, "out_hidden_size": 128}


def configuration(size="demo"):
    """The content of config.json; `size` is demo or tiny."""
    config = copy.deepcopy(_CONFIG)
    if size == "tiny":
        config.update(_TINY_TEXT, rope_scaling={"type": "mrope", "mrope_section": [2, 7, 7]})
        config["vision_config"].update(_TINY_VISION, fullatt_block_indexes=[1, 3])
    elif size != "demo":
        raise ValueError(f"size '{size}', expected demo or tiny")
    return config
