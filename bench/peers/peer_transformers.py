"""One round of transformers in bf16: prints milliseconds as JSON.

    peer_transformers.py MODEL --threads 2 …
"""
import argparse
import json
import time

import torch
import transformers
from PIL import Image

from pictures import synthetic_picture


def milliseconds(call):
    begin = time.perf_counter()
    result = call()
    return (time.perf_counter() - begin) * 1e3, result


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--side", type=int, default=504)
    parser.add_argument("--prompt-tokens", type=int, default=350)
    parser.add_argument("--answer-tokens", type=int, default=64)
    parser.add_argument("--text-tokens", type=int, default=32)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.set_grad_enabled(False)
    kind = transformers.Qwen2_5_VLForConditionalGeneration
    load_ms, model = milliseconds(lambda: kind.from_pretrained(
        arguments.model, dtype=torch.bfloat16, attn_implementation="sdpa").eval())
    tokenizer = transformers.AutoTokenizer.from_pretrained(arguments.model)
    processor = transformers.AutoImageProcessor.from_pretrained(arguments.model, use_fast=True)
    picture = Image.fromarray(synthetic_picture(arguments.side, arguments.side, 2))

    def pixels():
        inputs = processor(images=[picture], return_tensors="pt")
        return inputs["pixel_values"].to(torch.bfloat16), inputs["image_grid_thw"]

    def prompt_of(n_picture_tokens, n_text_tokens):
        """Ids, laid out as the template does; the picture's places first."""
        words = tokenizer("the" + " the" * (n_text_tokens - 1))["input_ids"]
        config = model.config
        picture_ids = [config.vision_start_token_id] + \
            [config.image_token_id] * n_picture_tokens + [config.vision_end_token_id]
        return torch.tensor([(picture_ids if n_picture_tokens else []) + words])

    def step(**inputs):
        out = model(use_cache=True, logits_to_keep=1, **inputs)
        return int(out.logits[0, -1].argmax()), out.past_key_values

    values, grid = pixels()
    n_picture_tokens = int(grid.prod()) // 4
    model.visual(values, grid_thw=grid)  # touches the weights once
    encode_ms, _ = milliseconds(lambda: model.visual(values, grid_thw=grid))

    def first_token():
        values, grid = pixels()
        ids = prompt_of(n_picture_tokens, arguments.text_tokens)
        return step(input_ids=ids, pixel_values=values, image_grid_thw=grid), ids.shape[1]

    ttft_ms, (_, n_tokens) = milliseconds(first_token)
    ids = torch.tensor([[100 + i % 900 for i in range(arguments.prompt_tokens)]])
    prefill_ms, (token, cache) = milliseconds(lambda: step(input_ids=ids))
    n_past = arguments.prompt_tokens
    begin = time.perf_counter()
    for _ in range(arguments.answer_tokens - 1):
        token, cache = step(input_ids=torch.tensor([[token]]), past_key_values=cache,
                            cache_position=torch.tensor([n_past]))
        n_past += 1
    decode_ms = (time.perf_counter() - begin) * 1e3 / (arguments.answer_tokens - 1)
    print(json.dumps({"load": load_ms, "encode-512": encode_ms, "ttft-512": ttft_ms,
                      "prefill": prefill_ms, "decode": decode_ms,
                      "picture_tokens": n_picture_tokens, "ttft_tokens": n_tokens}))


if __name__ == "__main__":
    main()
