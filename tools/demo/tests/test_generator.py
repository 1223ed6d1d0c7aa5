"""Checks the generated items: right answers, right places, the same every time.

python3 -m unittest discover tools/demo
"""

import json
import re
import unittest

import numpy

import documents
from drawing import Canvas
from generator import LESSONS, SKILLS, make_item, make_lesson
from items import (
    CLIP_MAX_PIXELS,
    FACTOR,
    MAX_PIXELS,
    MIN_PIXELS,
    item_random,
    seen_clip_size,
    seen_size,
    smart_resize,
)
from words import COLOURS, SHAPES


def items(skill, count=25, level=1.0, split="train"):
    return [make_item(skill, split, index, level) for index in range(count)]


def parse_fence(answer):
    assert answer.startswith("```json\n") and answer.endswith("\n```")
    return json.loads(answer[8:-4])


def frame_size(item):
    """Width and height the model sees."""
    resized = seen_clip_size if item.is_clip else seen_size
    height, width = resized(item.frames[0].height, item.frames[0].width)
    return width, height


def pixels(picture):
    return numpy.asarray(picture, numpy.int32)


class Sizes(unittest.TestCase):
    def test_smart_resize_rounds_half_to_even_and_respects_limits(self):
        self.assertEqual(smart_resize(70, 98, 3136, 12845056), (56, 112))
        self.assertEqual(smart_resize(1000, 1000, 3136, 1003520), (980, 980))
        self.assertEqual(smart_resize(14, 14, 3136, 12845056), (56, 56))
        self.assertEqual(smart_resize(13, 100, 3136, 12845056), (28, 112))

    def test_the_processor_resizes_once_more_after_qwen_vl_utils(self):
        self.assertEqual(seen_size(65, 128), (84, 196))  # by way of 56 x 140
        self.assertEqual(seen_size(38, 94), (84, 168))

    def test_frames_of_clips_are_resized_three_times(self):
        self.assertEqual(seen_clip_size(112, 112), (112, 112))
        self.assertEqual(seen_clip_size(112, 168), (112, 140))  # 280 x 392 in between
        self.assertEqual(seen_clip_size(360, 640), (84, 168))

    def test_every_picture_is_within_the_limits_and_most_need_resizing(self):
        resized = 0
        for skill in SKILLS:
            for item in items(skill, 12):
                width, height = frame_size(item)
                most = CLIP_MAX_PIXELS if item.is_clip else MAX_PIXELS
                self.assertTrue(MIN_PIXELS <= width * height <= most, (skill, width, height))
                self.assertEqual((width % FACTOR, height % FACTOR), (0, 0))
                resized += item.frames[0].size != (width, height)
        self.assertGreater(resized, 6 * len(SKILLS))


class Streams(unittest.TestCase):
    def test_an_item_is_the_same_every_time(self):
        for skill in SKILLS:
            one, two = make_item(skill, "train", 7), make_item(skill, "train", 7)
            self.assertEqual(
                (one.prompt, one.answer, one.truth), (two.prompt, two.answer, two.truth)
            )
            for a, b in zip(one.frames, two.frames):
                self.assertEqual(a.tobytes(), b.tobytes())

    def test_splits_and_indices_differ(self):
        first = {
            item_random("read", split, i).random()
            for split in ("train", "held_out", "sample")
            for i in range(100)
        }
        self.assertEqual(len(first), 300)
        with self.assertRaises(ValueError):
            item_random("read", "test", 0)

    def test_every_skill_works_at_every_level(self):
        for skill in SKILLS:
            for level in (0.0, 0.3, 0.6):
                for item in items(skill, 6, level):
                    self.assertTrue(item.answer)
                    self.assertTrue(item.prompt)


class Lessons(unittest.TestCase):
    def test_a_lesson_is_the_same_every_time_and_asks_nothing_twice(self):
        for kind in LESSONS:
            one, two = make_lesson(kind, 5), make_lesson(kind, 5)
            self.assertEqual((one.questions, one.drawn), (two.questions, two.drawn))
            prompts = [question.prompt for question in one.questions]
            self.assertEqual(len(set(prompts)), len(prompts))
            self.assertEqual(len(one.drawn), len(one.frames))

    def test_words_that_stand_before_the_picture_ask_one_thing(self):
        lessons = [make_lesson("screen", index) for index in range(20)]
        first = [lesson for lesson in lessons if not lesson.picture_first]
        self.assertTrue(first)
        self.assertTrue(all(len(lesson.questions) == 1 for lesson in first))

    def test_letters_are_noted_where_their_ink_is(self):
        for index in range(8):
            lesson = make_lesson("page", index)
            height, width = seen_size(lesson.frames[0].height, lesson.frames[0].width)
            seen = pixels(lesson.frames[0].resize((width, height)))
            background = numpy.median(seen.reshape(-1, 3), axis=0)
            ink = numpy.abs(seen - background).sum(axis=2) > 100
            for letter, x, y, *_ in lesson.drawn[0].glyphs:
                if letter not in ".-'":
                    here = ink[max(0, int(y) - 9) : int(y) + 9, max(0, int(x) - 5) : int(x) + 6]
                    self.assertTrue(here.any(), (index, letter, x, y))

    def test_letters_of_an_answer_are_read_off_where_they_are_drawn(self):
        for kind in ("page", "paper", "table"):
            lesson = make_lesson(kind, 4)
            drawn = {(round(x, 3), round(y, 3)): letter for letter, x, y, *_ in lesson.drawn[0].glyphs}
            for question in lesson.questions:
                letters = [place for place in question.places if place.end == place.start + 1]
                self.assertTrue(letters)
                for place in letters:
                    there = drawn[round(place.x, 3), round(place.y, 3)]
                    self.assertEqual(question.answer[place.start], there, (kind, question.answer))

    def test_numbers_of_an_answer_are_read_off_their_thing(self):
        for kind in ("scene", "screen", "event_clip"):
            lesson = make_lesson(kind, 2)
            placed = [question for question in lesson.questions if question.places]
            self.assertTrue(placed)
            for question in placed:
                for place in question.places:
                    boxes = [box for _, _, box in lesson.drawn[place.frame].regions]
                    inside = [b[0] <= place.x <= b[2] and b[1] <= place.y <= b[3] for b in boxes]
                    self.assertTrue(any(inside), (kind, place))


class Boxes(unittest.TestCase):
    def test_a_box_follows_the_rotation_of_the_picture(self):
        for angle in (-2, 1.5):
            canvas = Canvas(300, 250, "white")
            canvas.rectangle((200, 30, 240, 60), fill="black")
            canvas.rotate(angle)
            x1, y1, x2, y2 = canvas.whole_box([200, 30, 240, 60])
            rows, columns = numpy.nonzero(pixels(canvas.picture.convert("L")) < 128)
            seen = (
                columns.min() / canvas.x_scale,
                rows.min() / canvas.y_scale,
                columns.max() / canvas.x_scale,
                rows.max() / canvas.y_scale,
            )
            for found, expected in zip(seen, (x1, y1, x2, y2)):
                self.assertLess(abs(found - expected), 2.5)

    def test_spotted_lines_have_ink_inside_and_little_outside(self):
        for item in items("spotting"):
            entries = parse_fence(item.answer)
            self.assertEqual(entries, item.truth["boxes"])
            width, height = frame_size(item)
            seen = pixels(item.frames[0].resize((width, height)))
            background = numpy.median(seen.reshape(-1, 3), axis=0)
            ink = numpy.abs(seen - background).sum(axis=2) > 150
            inside = numpy.zeros_like(ink)
            for entry in entries:
                x1, y1, x2, y2 = entry["bbox_2d"]
                self.assertTrue(0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height)
                self.assertGreater(ink[y1:y2, x1:x2].mean(), 0.05)
                inside[max(0, y1 - 2) : y2 + 2, max(0, x1 - 2) : x2 + 2] = True
            self.assertGreater(ink[inside].sum() / ink.sum(), 0.97)

    def test_a_named_colour_is_found_in_its_box(self):
        colours = {name: rgb for name, _, rgb in COLOURS}
        chinese = {name: rgb for _, name, rgb in COLOURS}
        checked = 0
        for item in items("grounding", 60):
            seen = pixels(item.frames[0].resize(frame_size(item)))
            for entry, box in zip(item.truth["boxes"], item.truth["regions"]):
                word = re.split(" |的", entry["label"])[0]
                expected = colours.get(word, chinese.get(word))
                patch = seen[box[1] : box[3], box[0] : box[2]].reshape(-1, 3)
                near = (numpy.abs(patch - numpy.array(expected)).max(axis=1) < 60).mean()
                self.assertGreater(near, 0.15, entry)
                if "point_2d" in entry:
                    x, y = entry["point_2d"]
                    self.assertTrue(box[0] <= x <= box[2] and box[1] <= y <= box[3])
                checked += 1
        self.assertGreater(checked, 60)


class Documents(unittest.TestCase):
    def test_markdown_gives_the_cells_back(self):
        for item in items("table"):
            lines = item.answer.split("\n")
            rows = [[cell.strip() for cell in line[1:-1].split("|")] for line in lines]
            self.assertEqual([rows[0], *rows[2:]], item.truth["rows"])
            self.assertEqual(lines[1], "|" + " --- |" * len(rows[0]))

    def test_key_values_answer_the_asked_keys_in_order(self):
        for item in items("key_values"):
            asked = re.findall(r"\"(\w+)\": \"\"|'(\w+)'", item.prompt)
            answered = json.loads(item.answer)
            self.assertEqual([a or b for a, b in asked], list(answered))
            self.assertTrue(all(answered.values()))

    def test_a_fence_holds_one_entry_a_line(self):
        text = documents.fenced([{"label": "红"}, {"label": "b"}])
        self.assertEqual(text, '```json\n[\n{"label": "红"},\n{"label": "b"}\n]\n```')


class Scenes(unittest.TestCase):
    def test_a_description_lists_as_many_things_as_an_all_count(self):
        for item in items("describing", 60):
            if item.truth["kind"] == "describe" and item.answer.startswith("From"):
                names = sum(item.answer.count(f" {shape}") for shape, *_ in SHAPES)
                self.assertGreaterEqual(names, 1)
                self.assertTrue(item.answer.endswith("."))

    def test_counts_are_numbers_from_zero_to_six(self):
        counts = {item.answer for item in items("counting", 80)}
        self.assertTrue(counts <= set("0123456"), counts)
        self.assertGreater(len(counts), 4)


class Screens(unittest.TestCase):
    def test_a_click_lies_in_its_target_and_the_tool_names_the_resolution(self):
        actions = set()
        for item in items("screen", 100):
            call = json.loads(re.fullmatch(r"<tool_call>\n(.*)\n</tool_call>", item.answer)[1])
            self.assertEqual(call["name"], "mobile_use")
            self.assertEqual(call["arguments"], item.truth["arguments"])
            width, height = frame_size(item)
            self.assertIn(f"{width}x{height}", item.tool["function"]["description"])
            actions.add(call["arguments"]["action"])
            if item.truth["target"]:
                x, y = call["arguments"]["coordinate"]
                x1, y1, x2, y2 = item.truth["target"]
                self.assertTrue(x1 < x < x2 and y1 < y < y2)
        self.assertEqual(actions, {"click", "type", "system_button"})


class Clips(unittest.TestCase):
    def test_something_is_seen_exactly_during_the_event(self):
        for item in items("clip_when", 30, level=0.0):
            start, end = item.truth["interval"]
            for index, frame in enumerate(item.frames):
                drawn = pixels(frame).reshape(-1, 3).std(axis=0).max() > 1
                self.assertEqual(drawn, start <= index / item.fps < end, (item.answer, index))

    def test_clips_have_an_even_number_of_equal_frames_and_times_inside(self):
        for skill in ("clip_when", "clip_events", "clip_abnormal"):
            for item in items(skill, 20):
                self.assertEqual(len(item.frames) % 2, 0)
                self.assertEqual(len({frame.size for frame in item.frames}), 1)
                intervals = [e[:2] for e in item.truth.get("events", [])]
                intervals += [item.truth["interval"]] if item.truth.get("interval") else []
                for start, end in intervals:
                    self.assertTrue(0 <= start < end <= len(item.frames) / item.fps)

    def test_event_times_are_written_as_minutes_and_hundredths(self):
        for item in items("clip_events", 10):
            for entry, (start, _, sentence) in zip(parse_fence(item.answer), item.truth["events"]):
                self.assertEqual(entry["start_time"], f"00:{start:05.2f}")
                self.assertEqual(entry["description"], sentence)


if __name__ == "__main__":
    unittest.main()
