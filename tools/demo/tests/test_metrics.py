"""Checks the metrics: a true answer scores fully, a wrong or broken one does not."""

import unittest

import metrics
from generator import SKILLS, make_item


class Truth(unittest.TestCase):
    def test_the_true_answer_scores_fully_in_every_skill(self):
        for skill in SKILLS:
            items = [make_item(skill, "held_out", index) for index in range(20)]
            self.assertEqual(metrics.share(skill, [(i.answer, i.truth) for i in items]), 1.0, skill)

    def test_nonsense_scores_nothing(self):
        nonsense = ("", "[", "```json\n[1, null\n```", '```json\n[{}, {"bbox_2d": 3}]\n```', "| |")
        for skill in set(SKILLS) - {"read", "table"}:
            item = make_item(skill, "held_out", 0)
            for answer in nonsense:
                self.assertEqual(metrics.NUMBERS[skill][1](answer, item.truth)[0], 0, skill)


class Parts(unittest.TestCase):
    def test_a_moved_box_counts_until_half_is_common(self):
        entry = {"bbox_2d": [0, 0, 100, 100], "label": "red car"}
        truth = {"boxes": [entry]}

        def answer(box, label="red car"):
            return f'```json\n[\n{{"bbox_2d": {box}, "label": "{label}"}}\n]\n```'

        self.assertEqual(metrics.boxes_score(answer([30, 0, 130, 100]), truth), (1, 1))
        self.assertEqual(metrics.boxes_score(answer([40, 0, 140, 100]), truth), (0, 1))
        self.assertEqual(metrics.boxes_score(answer([0, 0, 100, 100], "blue car"), truth), (0, 1))

    def test_one_box_answers_for_one_thing_only(self):
        entry = {"bbox_2d": [0, 0, 10, 10], "label": "a"}
        text = '```json\n[\n{"bbox_2d": [0, 0, 10, 10], "label": "a"}\n]\n```'
        self.assertEqual(metrics.boxes_score(text, {"boxes": [entry, entry]}), (1, 2))

    def test_characters_cells_and_fields_are_counted_one_by_one(self):
        self.assertEqual(metrics.text_score("abd", {"text": "abc"}), (2, 3))
        rows = {"rows": [["a", "b"], ["1", ""]]}
        self.assertEqual(metrics.table_score("| a | b |\n| --- | --- |\n| 2 |  |", rows), (3, 4))
        fields = {"fields": {"date": "1", "total": "2"}}
        self.assertEqual(metrics.fields_score('{"total": "2"}', fields), (1, 2))

    def test_times_overlap_by_half(self):
        truth = {"interval": [2.0, 4.0]}
        said = "The given query happens in {} seconds."
        self.assertEqual(metrics.when_score(said.format("2.0 - 5.0"), truth), (1, 1))
        self.assertEqual(metrics.when_score(said.format("3.5 - 6.0"), truth), (0, 1))

    def test_the_table_judges_by_the_first_engine_that_answered(self):
        def row(qwenvl, transformers, same, compared):
            shares = {"qwenvl": qwenvl, "transformers": transformers}
            pairs = {"same_tokens": [same, compared], "same_in_bfloat16": None}
            return {"items": 2, **pairs, **shares}

        skills = {
            "read": row(0.995, 0.5, 1, 2),
            "table": row(0.5, 1, 2, 2),
            "clip_when": row(None, 0.9, 0, 0),
        }
        results = {"engines": ["qwenvl", "transformers"], "skills": skills}
        lines = metrics.results_table(results).split("\n")
        self.assertIn("| ≤ 1.00% | 0.50% | 50.00% | yes | 1 of 2 |", lines[2])
        self.assertIn("| ≥ 97.0% | 50.0% | 100.0% | **no** | 2 of 2 |", lines[3])
        self.assertIn("| ≥ 85.0% | – | 90.0% | yes | – |", lines[4])
        self.assertIn("3 of 4 items, 75.0% (target ≥ 99%; met: **no**)", lines[-1])

    def test_edit_distance(self):
        self.assertEqual(metrics.edit_distance("kitten", "sitting"), 3)
        self.assertEqual(metrics.edit_distance("", "abc"), 3)


if __name__ == "__main__":
    unittest.main()
