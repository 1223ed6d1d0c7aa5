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

from dataclasses import replace

import fast_layers
import muon
import network
from features import KINDS, LETTERS, collate, example, loaded, prompt_text, spelt, tokenizer
from generator import LESSONS, SKILLS, make_item, make_lesson
from published import DATA, PREPROCESSOR, TOKENIZER_FILES


CPU = torch.device("cpu")


class Features(unittest.TestCase):
    def test_patches_are_those_of_the_reference(self):
        sizes = {
            k: PREPROCESSOR[k] for k in ("min_pixels", "max_pixels", "image_mean", "image_std")
        }
        processor = Qwen2VLImageProcessor(**sizes)
        mean = numpy.repeat(PREPROCESSOR["image_mean"], 392) * 255
        std = numpy.repeat(PREPROCESSOR["image_std"], 392) * 255
        for skill in ("read", "grounding", "screen"):
            item = make_item(skill, "train", 3)
            expected = processor(images=[loaded(item.frames[0])], return_tensors="pt")
            found = example(item)
            self.assertEqual(found.grid, tuple(expected["image_grid_thw"][0].tolist()))
            difference = (found.patches - mean) / std - expected["pixel_values"].numpy()
            self.assertLess(numpy.abs(difference).max(), 1e-5)

    def test_every_letter_and_thing_that_is_drawn_has_a_class(self):
        for kind in LESSONS:
            for index in range(10):
                for drawn in make_lesson(kind, index).drawn:
                    self.assertLessEqual({letter for letter, *_ in drawn.glyphs}, set(LETTERS))
                    self.assertLessEqual({name for name, _, _ in drawn.regions}, set(KINDS))

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

    def test_what_is_read_off_is_spelt_and_decodes_to_the_answer(self):
        for kind in LESSONS:
            for index in range(4):
                for question in make_lesson(kind, index).questions:
                    ids, spans = spelt(question)
                    text = tokenizer().decode(ids, skip_special_tokens=True)
                    self.assertEqual(text, question.answer)
                    self.assertEqual(len(ids), len(spans))
                    if kind == "page" and question.prompt.startswith("Read") and text.isascii():
                        self.assertEqual(len(ids), len(text) + 1)

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
        batch = network.to_device(collate(examples), CPU)
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

    def test_a_question_of_a_lesson_is_answered_as_if_asked_alone(self):
        model = network.build("tiny").eval()
        lesson = make_lesson("scene", 5)
        whole = example(lesson)
        with torch.no_grad():
            states = network.hidden_states(model, network.to_device(collate([whole]), CPU))[0]
            for question, (start, answer) in list(zip(lesson.questions, whole.answers))[:3]:
                single = example(replace(lesson, questions=[question]))
                alone = network.hidden_states(model, network.to_device(collate([single]), CPU))[0]
                ((first, _),) = single.answers
                difference = (
                    states[start : start + len(answer)] - alone[first : first + len(answer)]
                )
                self.assertLess(difference.abs().max().item(), 1e-4)

    @unittest.skipUnless(fast_layers.load(), "no processor with bfloat16 tiles, or no compiler")
    def test_the_fast_layers_give_the_gradients_of_the_plain_ones(self):
        model = network.build("demo")
        helpers = network.Helpers(model)
        lessons = [make_lesson(kind, 1) for kind in ("page", "scene", "screen", "event_clip")]
        batch = network.to_device(collate([example(lesson) for lesson in lessons]), CPU)
        named = [*model.named_parameters(), *helpers.named_parameters()]
        weights = [weight for _, weight in named]

        def gradients(dtype):
            value, taught, _ = network.loss(model, helpers, batch, dtype)
            return value.item(), torch.autograd.grad(value + taught, weights)

        fast, found = gradients(torch.bfloat16)
        plain, expected = gradients(torch.float32)
        self.assertLess(abs(fast - plain), 1e-3 * plain)
        for (name, _), one, other in zip(named, found, expected):
            self.assertLess(((one - other).norm() / other.norm()).item(), 0.03, name)

    def test_muon_evens_out_singular_values(self):
        torch.manual_seed(0)
        values = torch.linalg.svdvals(muon.orthogonal(torch.randn(64, 160)))
        self.assertTrue(0.5 < values.min() and values.max() < 1.3, values)

    def test_the_demo_model_fits_its_budget(self):
        count = network.parameter_count(network.build("demo"))
        self.assertLess(2 * count, 22_000_000)
        self.assertGreater(count, 5_000_000)


if __name__ == "__main__":
    torch.set_num_threads(1)
    unittest.main()
