"""Holds the fast features and forward to the reference's own processor and model."""

import os
import shutil
import tempfile
import unittest

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy

try:
    import torch
    from transformers import AutoTokenizer, Qwen2VLImageProcessor
except ImportError as missing:
    raise unittest.SkipTest(f"no training packages: {missing}")

import network
from features import collate, example, loaded, prompt_text, tokenizer
from generator import SKILLS, make_item
from published import DATA, PREPROCESSOR, TOKENIZER_FILES


def stock_inputs(item, processor):
    """What the reference's processor makes of an item's frames after qwen-vl-utils."""
    frames = [loaded(frame) for frame in item.frames]
    if item.is_clip:
        out = processor(images=None, videos=[frames], return_tensors="pt")
        return out["pixel_values_videos"], out["video_grid_thw"]
    out = processor(images=frames, return_tensors="pt")
    return out["pixel_values"], out["image_grid_thw"]


class Features(unittest.TestCase):
    def test_patches_are_those_of_the_reference(self):
        sizes = {
            k: PREPROCESSOR[k] for k in ("min_pixels", "max_pixels", "image_mean", "image_std")
        }
        processor = Qwen2VLImageProcessor(**sizes)
        mean = numpy.repeat(PREPROCESSOR["image_mean"], 392) * 255
        std = numpy.repeat(PREPROCESSOR["image_std"], 392) * 255
        for skill in ("read", "grounding", "screen", "clip_when"):
            item = make_item(skill, "train", 3)
            expected, grid = stock_inputs(item, processor)
            found = example(item)
            self.assertEqual(found.grid, tuple(grid[0].tolist()))
            difference = (found.patches - mean) / std - expected.numpy()
            self.assertLess(numpy.abs(difference).max(), 1e-5)

    def test_prompts_are_those_of_the_templates(self):
        with tempfile.TemporaryDirectory() as folder:
            for name in TOKENIZER_FILES[:2]:
                shutil.copy(DATA / name, folder)
            stock = AutoTokenizer.from_pretrained(folder)
        item = make_item("screen", "train", 0)
        user = item.prompt + "<|vision_start|><|image_pad|><|vision_end|>"
        messages = [
            {"role": "system", "content": "You are a helpful assistant."},
            {"role": "user", "content": user},
        ]
        expected = stock.apply_chat_template(
            messages, tools=[item.tool], tokenize=False, add_generation_prompt=True
        )
        self.assertEqual(prompt_text(item), expected)

    def test_answers_survive_the_tokenizer(self):
        for skill in SKILLS:
            answer = make_item(skill, "train", 1).answer
            ids = tokenizer().encode(answer, add_special_tokens=False).ids
            self.assertEqual(tokenizer().decode(ids, skip_special_tokens=False), answer)
            self.assertLess(max(ids), 4096)


class Forward(unittest.TestCase):
    def test_the_batched_forward_gives_the_stock_logits(self):
        model = network.build("tiny").eval()
        skills = ("read", "counting", "screen", "clip_when")
        examples = [example(make_item(skill, "train", 5)) for skill in skills]
        batch = network.to_device(collate(examples), torch.device("cpu"))
        mean = torch.tensor(PREPROCESSOR["image_mean"]).repeat_interleave(392) * 255
        std = torch.tensor(PREPROCESSOR["image_std"]).repeat_interleave(392) * 255
        with torch.no_grad():
            found = model.lm_head(network.hidden_states(model, batch))
            for row, (skill, e) in enumerate(zip(skills, examples)):
                pixels = (torch.tensor(e.patches) - mean) / std
                grid = torch.tensor([e.grid])
                inputs = {"pixel_values": pixels, "image_grid_thw": grid}
                if skill.startswith("clip"):
                    seconds = 2.0 / make_item(skill, "train", 5).fps
                    inputs = {
                        "pixel_values_videos": pixels,
                        "video_grid_thw": grid,
                        "second_per_grid_ts": torch.tensor([seconds]),
                    }
                ids = torch.tensor([e.ids])
                expected = model(
                    input_ids=ids, attention_mask=torch.ones_like(ids), **inputs
                ).logits
                difference = (found[row, : len(e.ids)] - expected[0]).abs().max()
                self.assertLess(difference.item(), 2e-4, skill)

    def test_the_demo_model_fits_its_budget(self):
        count = network.parameter_count(network.build("demo"))
        self.assertLess(2 * count, 22_000_000)
        self.assertGreater(count, 5_000_000)


if __name__ == "__main__":
    torch.set_num_threads(1)
    unittest.main()
