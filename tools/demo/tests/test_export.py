"""The card, and the way back from an exported folder to a training folder."""

import json
import os
import tempfile
import unittest
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

try:
    import torch

    import card
    import network
    from export import export
    from restore import restore
except ImportError as missing:
    raise unittest.SkipTest(f"no training packages: {missing}")

LOG = {
    "parameters": 1234567,
    "steps": 1000,
    "lessons": 65000,
    "seconds": 7200,
    "planned_lessons": 100000,
    "device": "cpu",
    "scores": [[1000, 65000, {"read": [0.5, 0.75]}]],
}


def row(value):
    shares = {"qwenvl": value, "transformers": value}
    return {"items": 200, "same_tokens": [200, 200], "same_in_bfloat16": [190, 200], **shares}


RESULTS = {
    "engines": ["qwenvl", "transformers"],
    "items": 400,
    "skills": {"read": row(0.9), "counting": row(0.99)},
}


class Card(unittest.TestCase):
    def test_numbers_are_those_of_the_log_and_of_the_evaluation(self):
        text = " ".join(card.text(LOG, RESULTS).split())
        self.assertIn("1,000 steps over 65,000 lessons", text)
        self.assertIn("took 2.0 hours on processor cores.", text)
        self.assertIn("1 of 2 targets are met; not met: `read`.", text)
        self.assertIn("| `read` | 50.0% | 75.0% |", text)
        self.assertIn("--lessons 200000", text)
        self.assertIn("float32: 400 of 400 items, 100.0% (target ≥ 99%; met: yes)", text)
        self.assertIn("its float32 run on 380 of 400 items, 95.0%.", text)

    def test_it_says_so_when_nothing_was_measured(self):
        self.assertIn("Not measured yet.", card.text(LOG, None))

    def test_every_skill_shows_a_prompt(self):
        lines = card.prompts().split("\n")
        self.assertEqual(len(lines), len(card.SKILLS))


class WayBack(unittest.TestCase):
    def test_a_restored_folder_holds_the_rounded_weights_and_the_progress(self):
        with tempfile.TemporaryDirectory() as folder:
            work, out, again = (Path(folder) / name for name in ("work", "out", "again"))
            work.mkdir()
            model = network.build("tiny").state_dict()
            state = {"size": "tiny", "step": 7, "history": [[7, 70, 0.5, 0.5]]}
            others = {"helpers": {"w": torch.ones(1)}}
            torch.save({**state, **others, "model": model}, work / "weights.pt")
            (work / "log.json").write_text(json.dumps(LOG))
            export(work, out, None)
            restore(out, again)
            restored = torch.load(again / "weights.pt", weights_only=True)
            weights, helpers = restored.pop("model"), restored.pop("helpers")
            self.assertNotIn("w", helpers)
            self.assertEqual(restored, state)
            for name, value in model.items():
                self.assertTrue(weights[name].equal(value.to(torch.bfloat16).float()), name)
            with self.assertRaises(SystemExit):
                restore(out, again)


if __name__ == "__main__":
    unittest.main()
