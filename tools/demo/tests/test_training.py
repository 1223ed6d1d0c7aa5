"""Runs the whole way in small: train, go on, export, load."""

import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

try:
    import torch
    from safetensors.torch import load_file
    from transformers import AutoProcessor, Qwen2_5_VLForConditionalGeneration
except ImportError as missing:
    raise unittest.SkipTest(f"no training packages: {missing}")

from curriculum import PLAN, Batches, level, weights
from published import configuration

TOOLS = Path(__file__).resolve().parent.parent


def run(program, *arguments):
    command = [sys.executable, str(TOOLS / program), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(done.stderr)
    return done.stdout


class Curriculum(unittest.TestCase):
    def test_every_kind_has_its_weight_and_the_level_is_full_in_the_second_half(self):
        self.assertEqual(weights(0.5, list(PLAN)), [weight for _, weight in PLAN.values()])
        self.assertEqual(level(0.5), 1.0)
        self.assertGreater(weights(0.0, ["page"])[0], 0)
        self.assertEqual(weights(0.0, ["table"])[0], 0)

    def test_a_lesson_of_the_stream_is_the_same_every_time(self):
        plan = {"seed": 1, "sight": 200, "planned": 1000, "kinds": list(PLAN), "cycle": 0}
        for number in (0, 300, 900):
            one, two = Batches(plan).make(number), Batches(plan).make(number)
            self.assertEqual(one.ids, two.ids)
            self.assertEqual(one.patches.tobytes(), two.patches.tobytes())


class WholeWay(unittest.TestCase):
    def test_a_run_goes_on_and_its_export_loads_in_the_reference(self):
        with tempfile.TemporaryDirectory() as folder:
            work, out = Path(folder) / "work", Path(folder) / "checkpoint"
            options = ["--work", work, "--size", "tiny", "--kinds", "scene,page", "--cycle", 1]
            options += ["--pool", 8, "--batch-tokens", 512, "--report", 1, "--score", 9]
            options += ["--threads", 1, "--workers", 0, "--steps"]
            run("train.py", *options, 2)
            self.assertIn("going on at step 2", run("train.py", *options, 1))
            (work / "state.pt").unlink()
            self.assertIn("going on at step 3", run("train.py", *options, 1))
            log = json.loads((work / "log.json").read_text())
            self.assertEqual([entry[0] for entry in log["history"]], [1, 2, 3, 4])
            self.assertTrue((work / "curves.png").exists())

            run("export.py", "--work", work, "--out", out)
            stored = load_file(out / "model.safetensors")
            self.assertIn("visual.patch_embed.proj.weight", stored)
            self.assertIn("model.layers.0.self_attn.q_proj.bias", stored)
            self.assertNotIn("lm_head.weight", stored)
            AutoProcessor.from_pretrained(out)
            model, info = Qwen2_5_VLForConditionalGeneration.from_pretrained(
                out, dtype=torch.bfloat16, output_loading_info=True
            )
            self.assertEqual((info["missing_keys"], info["unexpected_keys"]), ([], []))
            trained = torch.load(work / "weights.pt", weights_only=True)["model"]
            name = "model.visual.merger.mlp.2.weight"
            self.assertTrue(model.state_dict()[name].equal(trained[name].to(torch.bfloat16)))

    def test_the_published_configuration_names_the_heads_consistently(self):
        for size in ("demo", "tiny"):
            config = configuration(size)
            head = config["hidden_size"] // config["num_attention_heads"]
            self.assertEqual(2 * sum(config["rope_scaling"]["mrope_section"]), head)


if __name__ == "__main__":
    unittest.main()
