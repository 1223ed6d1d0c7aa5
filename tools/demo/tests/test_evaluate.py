"""The answers that evaluate.py keeps, so that a run which was stopped goes on."""

import json
import tempfile
import unittest
from pathlib import Path

try:
    from evaluate import AnswerFile, collect, points_lost, same_tokens, summary
except ImportError as missing:
    raise unittest.SkipTest(f"no packages to draw with: {missing}")

ONE = {"id": "read-0000", "skill": "read", "prompt": "?", "answer": "a", "frames": ["x.png"]}
TWO = {**ONE, "id": "read-0001"}


class Answers(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.checkpoint = Path(self.folder.name)
        self.path = self.checkpoint / "answers.jsonl"
        (self.checkpoint / "model.safetensors").write_bytes(b"weights")

    def open(self):
        return AnswerFile(self.path, self.checkpoint)

    def test_what_was_answered_is_not_asked_again(self):
        self.open().add("qwenvl", ONE, ("a", [1]))
        self.assertEqual(self.open().missing("qwenvl", [ONE, TWO]), [TWO])
        self.assertEqual(self.open().missing("transformers", [ONE]), [ONE])
        self.assertEqual(self.open().of("qwenvl", [ONE])["read-0000"], ("a", [1]))

    def test_other_weights_and_other_items_are_asked_anew(self):
        self.open().add("qwenvl", ONE, ("a", [1]))
        self.assertEqual(len(self.open().missing("qwenvl", [{**ONE, "prompt": "!"}])), 1)
        (self.checkpoint / "model.safetensors").write_bytes(b"trained further")
        self.assertEqual(len(self.open().missing("qwenvl", [ONE])), 1)

    def test_a_line_cut_short_costs_its_own_answer_only(self):
        self.open().add("qwenvl", ONE, ("a", [1]))
        line = self.path.read_text()
        self.path.write_text(line + line[:20])
        self.open().add("qwenvl", TWO, ("b", [2]))
        self.assertEqual(self.open().missing("qwenvl", [ONE, TWO]), [])
        self.assertEqual(json.loads(self.path.read_text().splitlines()[-1])["text"], "b")

    def test_no_answer_is_not_noted(self):
        answers = self.open()
        found = collect(answers, "qwenvl", [ONE], lambda some: ((r, None) for r in some))
        self.assertEqual(found, {"read-0000": None})
        self.assertFalse(self.path.exists())

    def test_tokens_are_compared_without_the_end(self):
        one, other = {"a": ("x", [1, 9]), "b": ("x", [1])}, {"a": ("x", [1]), "b": None}
        self.assertEqual(same_tokens(["a", "b"], one, other, [9]), [True])

    def test_calls_that_are_no_clicks_have_a_row_without_a_target(self):
        call = '<tool_call>\n{"name": "mobile_use", "arguments": %s}\n</tool_call>'
        click = call % '{"action": "click", "coordinate": [5, 5]}'
        tap = {"id": "a", "skill": "screen", "truth": {"target": [0, 0, 9, 9]}}
        back = {"id": "b", "skill": "screen", "truth": {"target": None, "arguments": {"action": "b"}}}
        answers = {"qwenvl": {"a": (click, [1]), "b": (click, [1])}}
        rows = summary([back, tap], answers, [0])["skills"]
        self.assertEqual([(name, row["qwenvl"]) for name, row in rows.items()],
                         [("screen", 1.0), ("screen_other", 0.0)])

    def test_points_are_lost_in_the_mean_over_skills_that_both_answered(self):
        skills = {
            "read": {"qwenvl": 0.99, "qwenvl int8": 0.98},
            "count": {"qwenvl": 0.5, "qwenvl int8": 0.53},
            "point": {"qwenvl": 0.5, "qwenvl int8": None},
        }
        self.assertAlmostEqual(points_lost({"skills": skills}, "qwenvl int8", "qwenvl"), -1.0)
        self.assertIsNone(points_lost({"skills": {}}, "qwenvl int8", "qwenvl"))


if __name__ == "__main__":
    unittest.main()
