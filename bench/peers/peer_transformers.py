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
    picture = Image.fromarray(synthetic_picture(options.side, options.side, 2))

    def pixels():
        inputs = processor(images=[picture], return_tensors="pt")
        return inputs["pixel_values"].to(torch.bfloat16), inputs["image_grid_thw"]

    def prompt_of(n_picture_tokens, n_text_tokens):
        """Ids, laid out as the template does: the picture's places first."""
        config = model.config
        picture_ids = [config.vision_start_token_id, *[config.image_token_id] * n_picture_tokens,
                       config.vision_end_token_id]
        return torch.tensor([picture_ids + tokenizer(peer.words(n_text_tokens))["input_ids"]])

    def step(**inputs):
        out = model(use_cache=True, logits_to_keep=1, **inputs)
        return int(out.logits[0, -1].argmax()), out.past_key_values

    values, grid = pixels()
    n_picture_tokens = int(grid.prod()) // 4
    model.visual(values, grid_thw=grid)  # touches the weights once
    encode_ms, _ = peer.milliseconds(lambda: model.visual(values, grid_thw=grid))

    def first_token():
        values, grid = pixels()
        prompt = prompt_of(n_picture_tokens, options.text_tokens)
        step(input_ids=prompt, pixel_values=values, image_grid_thw=grid)
        return prompt.shape[1]

    def answer(token, cache):
        for past in range(options.prompt_tokens, options.prompt_tokens + options.answer_tokens - 1):
            token, cache = step(input_ids=torch.tensor([[token]]), past_key_values=cache,
                                cache_position=torch.tensor([past]))

    ttft_ms, n_tokens = peer.milliseconds(first_token)
    prompt = torch.tensor([peer.ids(options.prompt_tokens)])
    prefill_ms, (token, cache) = peer.milliseconds(lambda: step(input_ids=prompt))
    answer_ms, _ = peer.milliseconds(lambda: answer(token, cache))
    peer.report(load=load_ms, encode=encode_ms, ttft=ttft_ms, prefill=prefill_ms,
                decode=answer_ms / (options.answer_tokens - 1),
                picture_tokens=n_picture_tokens, ttft_tokens=n_tokens)


if __name__ == "__main__":
    main()
