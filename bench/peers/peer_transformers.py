"""One round of transformers in bf16: prints milliseconds as JSON.

    peer_transformers.py MODEL --threads 2 …
"""
import torch
import transformers
from PIL import Image

import peer
from pictures import synthetic_picture


def main():
    options = peer.parse_options(__doc__, ["model"])
    torch.set_num_threads(options.threads)
    torch.set_grad_enabled(False)
    kind = transformers.Qwen2_5_VLForConditionalGeneration
    load_ms, model = peer.milliseconds(lambda: kind.from_pretrained(
        options.model, dtype=torch.bfloat16, attn_implementation="sdpa").eval())
    tokenizer = transformers.AutoTokenizer.from_pretrained(options.model)
    processor = transformers.AutoImageProcessor.from_pretrained(options.model, use_fast=True)

    def pixels(sides, seeds=(2,)):
        pictures = [Image.fromarray(synthetic_picture(*sides, seed)) for seed in seeds]
        inputs = processor(images=pictures, return_tensors="pt")
        return inputs["pixel_values"].to(torch.bfloat16), inputs["image_grid_thw"]

    def prompt_of(n_picture_tokens, n_text_tokens):
        """Ids, laid out as the template does: the picture's places first."""
        config = model.config
        picture_ids = [config.vision_start_token_id, *[config.image_token_id] * n_picture_tokens,
                       config.vision_end_token_id]
        return torch.tensor([picture_ids + tokenizer(peer.words(n_text_tokens))["input_ids"]])

    def step(**inputs):
        """The most likely next tokens [n, 1], and the cache."""
        out = model(use_cache=True, logits_to_keep=1, **inputs)
        return out.logits[:, -1:].argmax(-1), out.past_key_values

    def read_pictures(seeds):
        values, grid = pixels(peer.SIDES, seeds)
        prompt = prompt_of(int(grid[0].prod()) // 4, options.text_tokens).repeat(len(seeds), 1)
        return *step(input_ids=prompt, pixel_values=values, image_grid_thw=grid), prompt.shape[1]

    def answer(tokens, cache, n_past):
        for past in range(n_past, n_past + options.answer_tokens - 1):
            tokens, cache = step(input_ids=tokens, past_key_values=cache,
                                 cache_position=torch.tensor([past]))

    def encode(stage):
        values, grid = pixels(peer.PICTURES[stage])
        return {stage: peer.milliseconds(lambda: model.visual(values, grid_thw=grid))[0]}

    def first_token():
        return {"ttft-512": peer.milliseconds(lambda: read_pictures([2]))[0]}

    def text():
        prompt = torch.tensor([peer.ids(options.prompt_tokens)])
        prefill_ms, (token, cache) = peer.milliseconds(lambda: step(input_ids=prompt))
        answer_ms, _ = peer.milliseconds(lambda: answer(token, cache, options.prompt_tokens))
        return {"prefill": prefill_ms, "decode": answer_ms / (options.answer_tokens - 1)}

    def batch():
        seeds = range(10, 10 + options.batch)
        return {"batch": peer.milliseconds(lambda: answer(*read_pictures(seeds)))[0]}

    values, grid = pixels(peer.SIDES)
    model.visual(values, grid_thw=grid)  # touches the weights once
    peer.report(options.stages, load_ms, {
        **{stage: lambda stage=stage: encode(stage) for stage in peer.PICTURES},
        "ttft-512": first_token, "prefill": text, "decode": text, "batch": batch})


if __name__ == "__main__":
    main()
