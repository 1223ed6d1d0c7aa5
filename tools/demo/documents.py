"""Documents: lines of text, tables, receipts, invoices, forms, and scattered lines to spot.

Before: generator.py gives a random stream and a level.   After: features.py, evaluate.py.
"""

import json

import words
from drawing import Canvas, is_chinese, paper_and_ink, pick_font, weather
from items import Item, Lesson, Place, Question, pick_size

READ_PROMPTS = (
    "Read all the text in the image.",
    "Please output only the text content from the image without any additional descriptions or "
    "formatting.",
    "请识别出图中所有的文字。",
)
SPOT_PROMPT = "Spotting all the text in the image with line-level, and output in JSON format."
TABLE_PROMPTS = ("Convert the table in the image to Markdown.", "将图中的表格转换为Markdown格式。")
SMALLEST, LARGEST = 23, 29  # type sizes in resized pixels
PAGE_SHAPES = ((8, 6), (9, 6), (6, 7), (10, 6), (7, 8), (11, 5), (10, 7), (12, 4), (6, 9))
LINE_SHAPES = ((6, 3), (8, 2), (7, 3), (5, 4), (9, 3), (4, 4))


def fenced(entries):
    """A list of objects in a JSON fence, one a line, as the published model writes them."""
    lines = ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in entries)
    return f"```json\n[\n{lines}\n]\n```"


def trim(canvas, rng, right, bottom):
    """Cuts empty paper off a document without coordinates, so that it does not cost tokens."""
    if rng.random() < 0.8:
        right = min(canvas.width, max(right + rng.uniform(4, 30), 84))
        bottom = min(canvas.height, max(bottom + rng.uniform(4, 30), 42))
        corner = canvas.points([(right, bottom)])[0]
        canvas.picture = canvas.picture.crop((0, 0, round(corner[0]), round(corner[1])))


def finish(canvas, rng, level):
    """Tilts a document a little and lets it age. Call before reading boxes off the canvas."""
    if rng.random() < 0.3 * level:
        canvas.rotate(rng.uniform(-1.5, 1.5))
    canvas.picture = weather(canvas.picture, rng, 0.3 + 0.7 * level)


def fitting_line(canvas, rng, name, size, room, chinese):
    """A random line that is at most `room` pixels wide, or None."""
    longest = max(4, int(room / (size * 0.55)))
    for _ in range(8):
        text = words.chinese_line(rng, longest) if chinese else words.english_line(rng, longest)
        if canvas.text_size(text, name, size)[0] <= room:
            return text
    return None


def written_page(rng, level):
    """Lines below one another, in one typeface. Returns (canvas, [(box, text)])."""
    short = rng.random() < 0.85 - 0.75 * level
    paper, ink = paper_and_ink(rng)
    canvas = Canvas(*pick_size(rng, level, LINE_SHAPES if short else PAGE_SHAPES), paper)
    chinese = rng.random() < 0.12
    name = pick_font(rng, "中" if chinese else "a")
    size = rng.uniform(SMALLEST, LARGEST)
    margin = rng.uniform(6, 16)
    y, lines = rng.uniform(5, 14), []
    most = 1 if short else rng.randint(1, 4)
    while len(lines) < most and y + size * 1.45 < canvas.height:
        x = margin + rng.uniform(0, 10)
        text = fitting_line(canvas, rng, name, size, canvas.width - x - 5, chinese)
        if text is None:
            size = SMALLEST
            text = rng.choice(words.CHINESE) if chinese else words.number(rng)
        lines.append((canvas.text((x, y), text, name, size, ink), text))
        y += size * rng.uniform(1.25, 1.6)
    trim(canvas, rng, max(box[2] for box, _ in lines), y)
    finish(canvas, rng, level)
    return canvas, lines


def scattered_page(rng, level):
    """Lines here and there, each in its own typeface. Returns (canvas, [(box, text)])."""
    paper, ink = paper_and_ink(rng)
    canvas = Canvas(*pick_size(rng, level, LINE_SHAPES if level < 0.3 else PAGE_SHAPES), paper)
    lines, y = [], rng.uniform(5, 16)
    most = rng.randint(1, 1 + round(2 * level))
    while len(lines) < most:
        size = rng.uniform(SMALLEST, LARGEST + 2)
        if y + size * 1.4 > canvas.height:
            break
        chinese = rng.random() < 0.1
        name = pick_font(rng, "中" if chinese else "a")
        text = fitting_line(canvas, rng, name, size, (canvas.width - 12) * 0.7, chinese)
        if text is not None:
            spare = canvas.width - 10 - canvas.text_size(text, name, size)[0]
            box = canvas.text((5 + rng.uniform(0, spare), y), text, name, size, ink)
            lines.append((box, text))
        y += size * 1.4 + rng.uniform(0, 30)
    if not lines:
        return scattered_page(rng, level)
    finish(canvas, rng, level)
    return canvas, lines


def read_question(rng, canvas, lines):
    """The lines are the texts of the canvas, in order."""
    answer, places = "\n".join(text for _, text in lines), []
    for number, (_, text) in enumerate(lines):
        start = sum(len(before) + 1 for _, before in lines[:number])
        places += canvas.text_places(number, start)
    return Question(rng.choices(READ_PROMPTS, (6, 2, 2))[0], answer, places)


def spot_question(canvas, lines):
    entries = [{"bbox_2d": canvas.whole_box(box), "text_content": text} for box, text in lines]
    return SPOT_PROMPT, fenced(entries), {"boxes": entries}


def read(rng, level):
    canvas, lines = written_page(rng, level)
    prompt, answer, _ = read_question(rng, canvas, lines)
    return Item("read", prompt, answer, [canvas.picture], {"text": answer})


def spotting(rng, level):
    canvas, lines = scattered_page(rng, level)
    prompt, answer, truth = spot_question(canvas, lines)
    return Item("spotting", prompt, answer, [canvas.picture], truth)


def page_lesson(rng, level):
    """A page to read and to spot the lines of."""
    page = scattered_page if rng.random() < 0.4 else written_page
    canvas, lines = page(rng, level)
    prompt, answer, _ = spot_question(canvas, lines)
    places, start = [], 0
    for number, (_, text) in enumerate(lines):
        entry = answer.index("{", start)
        start = answer.index(f'"{text}"}}', entry) + 1
        letters = canvas.text_places(number, start)
        places += [Place(entry, start, 0, *letters[0][3:]), *letters]
    questions = [read_question(rng, canvas, lines), Question(prompt, answer, places)]
    return Lesson([canvas.picture], questions, [canvas.drawn()])


COLUMN_KINDS = (
    (("Item", "Name", "Product", "Part"), lambda rng: rng.choice(words.ENGLISH).capitalize()),
    (("Price", "Total", "Cost"), words.amount),
    (("Qty", "Count", "Stock"), lambda rng: str(rng.randrange(1000))),
    (("Code", "Id", "Model"), words.code),
    (("City", "Place"), lambda rng: rng.choice(words.CITIES)),
    (("名称", "水果"), lambda rng: rng.choice(words.CHINESE)),
    (("价格", "金额"), words.amount),
)


def table_rows(rng, columns, count):
    first = rng.choice((0, 0, 0, 4, 5))
    others = [kind for kind in range(len(COLUMN_KINDS)) if kind != first]
    kinds = [COLUMN_KINDS[kind] for kind in (first, *rng.sample(others, columns - 1))]
    rows = [[rng.choice(headers) for headers, _ in kinds]]
    for _ in range(count):
        rows.append([make(rng) if rng.random() > 0.04 else "" for _, make in kinds])
    return rows


def draw_table(canvas, rng, rows, faces, size, ink):
    """Draws the grid; returns its right and bottom edge, or None when it does not fit."""
    pad = rng.uniform(4, 9)
    widths = [
        max(canvas.text_size(row[c], faces[is_chinese(row[c])], size)[0] for row in rows) + 2 * pad
        for c in range(len(rows[0]))
    ]
    height = size * rng.uniform(1.35, 1.8)
    x0, y0 = rng.uniform(4, 12), rng.uniform(4, 12)
    if x0 + sum(widths) > canvas.width - 4 or y0 + height * len(rows) > canvas.height - 4:
        return None
    style, right = rng.choice(("grid", "rules", "header")), rng.random() < 0.3
    bottom, end = y0 + height * len(rows), x0 + sum(widths)
    if rng.random() < 0.4:
        shade = tuple((2 * p + i) // 3 for p, i in zip(canvas.background, ink))
        shade = tuple((3 * p + s) // 4 for p, s in zip(canvas.background, shade))
        canvas.rectangle((x0, y0, end, y0 + height), fill=shade)
    for r in range(len(rows) + 1):
        if style != "header" or r in (0, 1, len(rows)):
            canvas.line([(x0, y0 + r * height), (end, y0 + r * height)], ink)
    if style == "grid":
        for c in range(len(widths) + 1):
            x = x0 + sum(widths[:c])
            canvas.line([(x, y0), (x, bottom)], ink)
    for r, row in enumerate(rows):
        for c, cell in enumerate(row):
            face = faces[is_chinese(cell)]
            x = x0 + sum(widths[:c]) + pad
            if right and c:
                x += widths[c] - 2 * pad - canvas.text_size(cell, face, size)[0]
            canvas.text((x, y0 + r * height + size * 0.15), cell, face, size, ink)
    return end, bottom


def markdown(rows):
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]])


def table_page(rng, level):
    while True:
        paper, ink = paper_and_ink(rng)
        canvas = Canvas(*pick_size(rng, max(level, 0.6), PAGE_SHAPES), paper)
        rows = table_rows(
            rng, rng.randint(2, 2 + round(level)), rng.randint(1, 2 + round(level))
        )
        faces = (pick_font(rng, "a"), pick_font(rng, "中"))
        edge = draw_table(canvas, rng, rows, faces, rng.uniform(SMALLEST, 26), ink)
        if edge is not None:
            break
    trim(canvas, rng, *edge)
    finish(canvas, rng, level)
    return canvas, rows


def table(rng, level):
    canvas, rows = table_page(rng, level)
    prompt = rng.choices(TABLE_PROMPTS, (3, 1))[0]
    return Item("table", prompt, markdown(rows), [canvas.picture], {"rows": rows})


def table_lesson(rng, level):
    canvas, rows = table_page(rng, level)
    prompt = rng.choices(TABLE_PROMPTS, (3, 1))[0]
    answer, places, start = markdown(rows), [], 0
    rule = answer.index("\n"), answer.index("\n", answer.index("\n") + 1)
    for number, cell in enumerate(cell for row in rows for cell in row):
        if number == len(rows[0]):
            start = rule[1]
        start = answer.index("| ", start) + 2
        places += canvas.text_places(number, start)
        start += len(cell)
    return Lesson([canvas.picture], [Question(prompt, answer, places)], [canvas.drawn()])


# Per kind of paper: title makers, then (key, printed label, value maker).
PAPERS = {
    "receipt": (
        words.company,
        ("company", None, None),
        ("address", None, words.address),
        ("date", "Date", words.date),
        ("total", "TOTAL", words.amount),
    ),
    "invoice": (
        lambda rng: "INVOICE",
        ("invoice_number", "No.", words.code),
        ("date", "Date", words.date),
        ("customer", "Bill to", words.person),
        ("total", "Total", words.amount),
    ),
    "form": (
        lambda rng: rng.choice(("Registration", "Application", "Membership")),
        ("name", "Name", words.person),
        ("phone", "Phone", words.phone),
        ("city", "City", lambda rng: rng.choice(words.CITIES)),
        ("address", "Address", words.address),
    ),
    "chinese": (
        lambda rng: rng.choice(("发票", "收据")),
        ("发票号码", "发票号码", lambda rng: str(rng.randrange(10**7, 10**8))),
        ("日期", "日期", words.date),
        ("姓名", "姓名", words.chinese_person),
        ("金额", "金额", words.amount),
    ),
}
PAPER_SHAPES = ((11, 8), (10, 9), (12, 8), (11, 9), (12, 9), (10, 10))


def paper_lines(rng, kind, level):
    """The printed (left, right) lines of a paper and its values by key."""
    title, *fields = PAPERS[kind]
    heading = title(rng)
    lines, values = [(heading, "")], {}
    for key, label, make in fields:
        if level < 0.5 and rng.random() < 0.3:
            continue
        value = heading if make is None else make(rng)
        values[key] = value
        if make is None:
            continue
        if key == "total" and kind != "form":
            for _ in range(rng.randint(0, round(level))):
                lines.append((rng.choice(words.ENGLISH).capitalize(), words.amount(rng)))
        lines.append((f"{label}:", value) if label else (value, ""))
    return lines, values


def draw_paper(canvas, rng, lines, ink):
    """Draws the lines, the right parts in a column, at the edge or behind; returns the
    right and bottom edge of what was drawn, or None when there is no room."""
    size = rng.uniform(SMALLEST, 26)
    faces = (pick_font(rng, "a"), pick_font(rng, "中"))
    margin, step = rng.uniform(6, 14), size * rng.uniform(1.3, 1.7)
    style = rng.choice(("behind", "edge", "column"))

    def wide(text):
        return canvas.text_size(text, faces[is_chinese(text)], size)[0] if text else 0

    column = max(wide(left) for left, right in lines if right) + 8
    y = rng.uniform(6, 14)
    if y + step * len(lines) > canvas.height - 4:
        return None
    end = 0
    for index, (left, right) in enumerate(lines):
        x = {
            "behind": margin + wide(left) + 7,
            "edge": canvas.width - margin - wide(right),
            "column": margin + column,
        }[style]
        if max(x + wide(right), margin + wide(left)) > canvas.width - 4 or x < margin + wide(left):
            return None
        start = (canvas.width - wide(left)) / 2 if index == 0 and rng.random() < 0.6 else margin
        canvas.text((start, y), left, faces[is_chinese(left)], size, ink)
        if right:
            canvas.text((x, y), right, faces[is_chinese(right)], size, ink)
        end = max(end, x + wide(right), start + wide(left))
        y += step
        if rng.random() < 0.08:
            canvas.line([(margin, y - step * 0.1), (canvas.width - margin, y - step * 0.1)], ink)
    return end, y


def paper_page(rng, level):
    """Returns (canvas, kind of paper, values by key)."""
    while True:
        paper, ink = paper_and_ink(rng)
        canvas = Canvas(*pick_size(rng, max(level, 0.7), PAPER_SHAPES), paper)
        kind = rng.choices(tuple(PAPERS), (4, 3, 3, 2))[0]
        lines, values = paper_lines(rng, kind, level)
        drawable = len(values) >= 2 and any(right for _, right in lines)
        edge = draw_paper(canvas, rng, lines, ink) if drawable else None
        if edge is not None:
            break
    trim(canvas, rng, *edge)
    finish(canvas, rng, level)
    return canvas, kind, values


def fields_question(kind, values, keys):
    """(prompt, answer, the asked fields)."""
    fields = {key: values[key] for key in keys}
    if kind == "chinese":
        asked = ",".join(f"'{key}'" for key in keys)
        prompt = f"提取图中的：[{asked}]，并且按照json格式输出。"
    else:
        asked = json.dumps(dict.fromkeys(keys, ""))
        prompt = f"Extract the key-value information in the format:{asked}"
    return prompt, json.dumps(fields, ensure_ascii=False), fields


def key_values(rng, level):
    canvas, kind, values = paper_page(rng, level)
    keys = list(values)
    if rng.random() < 0.5:
        keys = rng.sample(keys, rng.randint(1, len(keys)))
    prompt, answer, fields = fields_question(kind, values, keys)
    return Item("key_values", prompt, answer, [canvas.picture], {"fields": fields})


def fields_lesson(canvas, kind, values, keys):
    prompt, answer, fields = fields_question(kind, values, keys)
    places, start = [], 0
    for key, value in fields.items():
        start = answer.index(f'"{key}": "', start) + len(key) + 5
        number = max(n for n, (text, _) in enumerate(canvas.texts) if text == value)
        places += canvas.text_places(number, start)
    return Question(prompt, answer, places)


def paper_lesson(rng, level):
    """A paper asked for all its fields, and for some in another order."""
    canvas, kind, values = paper_page(rng, level)
    keys = list(values)
    some = rng.sample(keys, rng.randint(1, len(keys)))
    questions = [fields_lesson(canvas, kind, values, keys)]
    if some != keys:
        questions.append(fields_lesson(canvas, kind, values, some))
    return Lesson([canvas.picture], questions, [canvas.drawn()])
