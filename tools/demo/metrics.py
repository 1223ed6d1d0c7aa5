"""The numbers promised for the demo checkpoint, computed from answers and truths.

Before: evaluate.py collects answers.   After: its table, and the card of the checkpoint.
A broken answer scores nothing; it is never repaired.
"""

import json
import re


def fence(answer):
    """The list inside a JSON fence, or an empty one."""
    match = re.fullmatch(r"```json\n(.*)\n```", answer, re.DOTALL)
    try:
        found = json.loads(match[1]) if match else []
    except ValueError:
        return []
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


def edit_distance(a, b):
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        corner, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            corner, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, corner + (x != y))
    return row[-1]


def numbers(value, count):
    """The value when it is a list of `count` numbers, else None."""
    good = isinstance(value, list) and len(value) == count
    return value if good and all(type(n) in (int, float) for n in value) else None


def box_overlap(a, b):
    """Intersection over union."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return width * height / (areas - width * height)


def time_overlap(a, b):
    common = min(a[1], b[1]) - max(a[0], b[0])
    return max(0.0, common) / (max(a[1], b[1]) - min(a[0], b[0]) or 1.0)


def inside(point, box):
    return box[0] <= point[0] <= box[2] and box[1] <= point[1] <= box[3]


def text_score(answer, truth):
    return len(truth["text"]) - edit_distance(answer, truth["text"]), len(truth["text"])


def table_score(answer, truth):
    """Cells that stand right at their row and column."""
    rows = [
        [cell.strip() for cell in line.strip().removeprefix("|").removesuffix("|").split("|")]
        for line in answer.split("\n")
    ]
    rows = rows[:1] + rows[2:]
    right = sum(
        r < len(rows) and c < len(rows[r]) and rows[r][c] == cell
        for r, row in enumerate(truth["rows"])
        for c, cell in enumerate(row)
    )
    return right, sum(len(row) for row in truth["rows"])


def fields_score(answer, truth):
    try:
        found = json.loads(answer)
    except ValueError:
        found = {}
    found = found if isinstance(found, dict) else {}
    right = sum(found.get(key) == value for key, value in truth["fields"].items())
    return right, len(truth["fields"])


def boxes_score(answer, truth):
    """True boxes that an own box of the same label or text covers; points must lie inside."""
    left, right = fence(answer), 0
    regions = truth.get("regions") or [entry["bbox_2d"] for entry in truth["boxes"]]
    for entry, region in zip(truth["boxes"], regions):
        name = "label" if "label" in entry else "text_content"
        for candidate in left:
            box = numbers(candidate.get("bbox_2d"), 4)
            point = numbers(candidate.get("point_2d"), 2)
            if "bbox_2d" in entry:
                hit = box is not None and box_overlap(box, region) >= 0.5
            else:
                hit = point is not None and inside(point, region)
            if hit and candidate.get(name) == entry[name]:
                left.remove(candidate)
                right += 1
                break
    return right, len(truth["boxes"])


def exact_score(answer, truth):
    return int(answer == truth["exact"]), 1


def click_score(answer, truth):
    match = re.fullmatch(r"<tool_call>\n(.*)\n</tool_call>", answer, re.DOTALL)
    try:
        call = json.loads(match[1]) if match else {}
    except ValueError:
        call = {}
    arguments = call.get("arguments") if isinstance(call, dict) else None
    if not isinstance(arguments, dict) or call.get("name") != "mobile_use":
        return 0, 1
    if not truth["target"]:
        return int(arguments == truth["arguments"]), 1
    point = numbers(arguments.get("coordinate"), 2)
    good = arguments.get("action") == "click" and point and inside(point, truth["target"])
    return int(bool(good)), 1


def interval_of(answer):
    match = re.search(r"(\d+\.\d) - (\d+\.\d)", answer)
    return (float(match[1]), float(match[2])) if match else None


def when_score(answer, truth):
    found = interval_of(answer)
    return int(found is not None and time_overlap(found, truth["interval"]) >= 0.5), 1


def seconds_of(text):
    match = re.fullmatch(r"(\d\d):(\d\d\.\d\d)", text) if isinstance(text, str) else None
    return 60 * int(match[1]) + float(match[2]) if match else None


def events_score(answer, truth):
    """True events found with the same sentence and about the same times."""
    left, right = fence(answer), 0
    for start, end, sentence in truth["events"]:
        for candidate in left:
            times = [seconds_of(candidate.get(key)) for key in ("start_time", "end_time")]
            if None in times or candidate.get("description") != sentence:
                continue
            if time_overlap(times, (start, end)) >= 0.5:
                left.remove(candidate)
                right += 1
                break
    return right, len(truth["events"])


KIND_WORDS = {
    "normal": ("No. Everything looks normal.", "没有异常。"),
    "fall": ("falls down", "摔倒"),
    "fire": ("fire", "着火"),
}


def abnormal_score(answer, truth):
    said = any(words in answer for words in KIND_WORDS[truth["kind"]])
    if truth["kind"] == "normal":
        return int(said), 1
    right, _ = when_score(answer, truth)
    return int(said and right), 1


# Skill: (what is counted, how, the share that is promised).
NUMBERS = {
    "read": ("characters wrong", text_score, 0.99),
    "table": ("cells", table_score, 0.97),
    "key_values": ("fields", fields_score, 0.97),
    "spotting": ("boxes with their text", boxes_score, 0.95),
    "grounding": ("boxes and points with their label", boxes_score, 0.95),
    "counting": ("counts", exact_score, 0.98),
    "describing": ("answers", exact_score, 0.98),
    "screen": ("clicks inside the target", click_score, 0.95),
    "screen_other": ("calls that are no clicks", click_score, None),
    "clip_when": ("times", when_score, 0.85),
    "clip_events": ("events", events_score, 0.85),
    "clip_abnormal": ("verdicts with times", abnormal_score, 0.85),
}


def row_of(record):
    """The row of the table that an item counts in: its skill, but calls that are no clicks (typing,
    going back …) stand by themselves, because the promise is about clicks."""
    other = record["skill"] == "screen" and not record["truth"]["target"]
    return "screen_other" if other else record["skill"]


def share(skill, pairs):
    """The share of right things over (answer, truth) pairs."""
    score = NUMBERS[skill][1]
    right, total = (sum(part) for part in zip(*(score(answer, truth) for answer, truth in pairs)))
    return right / total


SAME_TOKENS = 0.99  # promised share of items with equal tokens in both engines


def shown(skill, value):
    """A share as promised: of texts the error rate, of all else what is right."""
    if value is None:
        return "–"
    return f"{1 - value:.2%}" if skill == "read" else f"{value:.1%}"


def judged(value, promised):
    return "–" if value is None or promised is None else "yes" if value >= promised else "**no**"


def results_table(results):
    """Markdown of what evaluate.py found: per skill and engine, and their agreement.

    A target is met or not by the first engine that answered: qwenvl where it was asked.
    """
    engines = results["engines"]
    head = ["skill", "what is counted", "items", "target", *engines, "met", "same tokens"]
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for skill, row in results["skills"].items():
        what, _, promised = NUMBERS[skill]
        sign = "≤" if skill == "read" else "≥"
        values = [row[engine] for engine in engines]
        first = next((value for value in values if value is not None), None)
        target = "–" if promised is None else f"{sign} {shown(skill, promised)}"
        cells = [f"`{skill}`", what, str(row["items"]), target]
        cells += [shown(skill, value) for value in values] + [judged(first, promised)]
        same, compared = row["same_tokens"] or (0, 0)
        cells.append(f"{same} of {compared}" if compared else "–")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, *agreement_lines(results)])


def agreement_lines(results):
    """Over all skills: qwenvl with transformers in float32, and its bfloat16 with its float32."""

    def total(name):
        pairs = [row[name] or (0, 0) for row in results["skills"].values()]
        return sum(same for same, _ in pairs), sum(compared for _, compared in pairs)

    same, compared = total("same_tokens")
    if compared:
        value = same / compared
        yield ""
        yield (
            f"Same tokens as transformers in float32: {same} of {compared} items, {value:.1%} "
            f"(target ≥ {SAME_TOKENS:.0%}; met: {judged(value, SAME_TOKENS)})."
        )
    same, compared = total("same_in_bfloat16")
    if compared:
        yield ""
        yield (
            f"In bfloat16, which qwenvl takes by itself, it gives the tokens of its float32 run on "
            f"{same} of {compared} items, {same / compared:.1%}."
        )
    for name, lost in results.get("points_lost", {}).items():
        if lost is not None:
            yield ""
            yield f"Quantised as `{name}`: {lost:+.2f} points lost, the mean over all skills."
