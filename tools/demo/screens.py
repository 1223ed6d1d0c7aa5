"""Telephone screens with buttons, icons, fields and lists, and the mobile_use call for a task.

Before: generator.py gives a random stream and a level.   After: features.py, evaluate.py.
"""

import json

import words
from drawing import LATIN_FONTS, Canvas, weather
from items import Item, Lesson, Place, Question, pick_size

SCREEN_SHAPES = ((7, 11), (7, 12), (8, 11), (8, 12), (7, 10), (8, 13))
BUTTONS = (
    "Save Cancel Send Delete Edit Share Next Start Stop Login Search Help Buy Open Close Done Play "
    "Call Print Copy Reply Later"
).split()
SCREENS = (
    "Settings Messages Contacts Photos Music Clock Mail Notes Maps Store Files Weather".split()
)
FIELDS = "Name City Email Phone Title Subject Code Street".split()
ICONS = ("menu", "back", "search", "plus", "home", "trash")
SURFACES = (*BUTTONS, *SCREENS, *FIELDS)  # what a button, a row of a list or a field is called
SANS = [name for name in LATIN_FONTS if "Sans" in name and "Mono" not in name]


def tool(width, height):
    """The function's definition; like the published one it names the resized resolution."""
    arguments = {
        "action": {"enum": ["click", "type", "system_button"], "type": "string"},
        "coordinate": {"type": "array"},
        "text": {"type": "string"},
        "button": {"enum": ["Back", "Home"], "type": "string"},
    }
    return {
        "type": "function",
        "function": {
            "name": "mobile_use",
            "description": f"Use a touchscreen of {width}x{height} pixels.",
            "parameters": {"properties": arguments, "required": ["action"], "type": "object"},
        },
    }


def call(arguments):
    body = json.dumps({"name": "mobile_use", "arguments": arguments}, ensure_ascii=False)
    return f"<tool_call>\n{body}\n</tool_call>"


def draw_icon(canvas, name, box, ink):
    x1, y1, x2, y2 = box
    w, h = x2 - x1, y2 - y1
    if name == "menu":
        for part in (0.15, 0.45, 0.75):
            canvas.rectangle((x1, y1 + part * h, x2, y1 + (part + 0.12) * h), fill=ink)
    elif name == "back":
        canvas.line([(x2, y1), (x1 + 0.2 * w, y1 + h / 2), (x2, y2)], ink, 3)
    elif name == "search":
        canvas.ellipse((x1, y1, x1 + 0.7 * w, y1 + 0.7 * h), outline=ink, width=3)
        canvas.line([(x1 + 0.6 * w, y1 + 0.6 * h), (x2, y2)], ink, 3)
    elif name == "plus":
        canvas.rectangle((x1 + 0.42 * w, y1, x1 + 0.58 * w, y2), fill=ink)
        canvas.rectangle((x1, y1 + 0.42 * h, x2, y1 + 0.58 * h), fill=ink)
    elif name == "home":
        canvas.polygon([(x1 + w / 2, y1), (x2, y1 + h / 2), (x1, y1 + h / 2)], ink)
        canvas.rectangle((x1 + 0.2 * w, y1 + 0.5 * h, x1 + 0.8 * w, y2), fill=ink)
    elif name == "trash":
        canvas.rectangle((x1, y1 + 0.1 * h, x2, y1 + 0.22 * h), fill=ink)
        canvas.rectangle((x1 + 0.15 * w, y1 + 0.3 * h, x1 + 0.85 * w, y2), fill=ink)


class Screen:
    """A screen being laid out from top to bottom, and the places one can tap."""

    def __init__(self, rng, canvas, ink, accent):
        self.rng, self.canvas, self.ink, self.accent = rng, canvas, ink, accent
        self.face, self.size = rng.choice(SANS), rng.uniform(16, 19)
        self.targets = []  # (task in words, box)
        self.focused = None  # the field with the caret

    def title_bar(self):
        canvas, rng = self.canvas, self.rng
        canvas.rectangle((0, 0, canvas.width, 38), fill=self.accent)
        name, white = rng.choice(SCREENS), (255, 255, 255)
        canvas.text((44, 8), name, self.face, self.size, white)
        left, right = rng.sample(ICONS, 2)
        for icon, x in ((left, 12), (right, canvas.width - 32)):
            draw_icon(canvas, icon, (x, 10, x + 20, 28), white)
            canvas.region(icon, None, (x, 10, x + 20, 28))
            self.targets.append((f"Tap the {icon} icon.", [x - 6, 4, x + 26, 34]))
        return 48

    def button(self, label, box):
        canvas = self.canvas
        filled = self.rng.random() < 0.6
        radius = self.rng.choice((0, 6, 12))
        canvas.rectangle(box, self.accent if filled else None, self.accent, 2, radius)
        width, height = canvas.text_size(label, self.face, self.size)
        position = ((box[0] + box[2] - width) / 2, (box[1] + box[3] - self.size * 1.25) / 2)
        canvas.text(position, label, self.face, self.size, (255,) * 3 if filled else self.ink)
        self.targets.append((f"Tap the {label} button.", box))

    def buttons(self, y):
        count = self.rng.randint(1, 2)
        gap, width = 10, self.canvas.width
        each = (width - gap * (count + 1)) / count
        for place, label in enumerate(self.rng.sample(self.free(BUTTONS), count)):
            x = gap + place * (each + gap)
            self.button(label, [x, y, x + each, y + 32])
        return y + 42

    def field(self, y):
        label = self.rng.choice(self.free(FIELDS))
        self.canvas.text((12, y), label, self.face, self.size, self.ink)
        box = [10, y + 23, self.canvas.width - 10, y + 49]
        self.canvas.rectangle(box, (255, 255, 255), (120, 120, 120), 1)
        if self.focused is None and self.rng.random() < 0.4:
            self.focused = label
            self.canvas.rectangle(box, None, self.accent, 2)
            self.canvas.rectangle((17, y + 27, 18, y + 45), fill=(0, 0, 0))
        self.targets.append((f"Tap the {label} field.", box))
        return y + 60

    def list_row(self, y):
        label = self.rng.choice(self.free(SCREENS))
        width = self.canvas.width
        self.canvas.text((14, y + 7), label, self.face, self.size, self.ink)
        self.canvas.line([(0, y + 36), (width, y + 36)], (170, 170, 170))
        self.canvas.line(
            [(width - 20, y + 12), (width - 13, y + 18), (width - 20, y + 24)], self.ink, 2
        )
        self.targets.append((f"Open {label} in the list.", [0, y, width, y + 36]))
        return y + 43

    def surfaces(self, canvas):
        """Buttons, fields and list rows by their names as regions in source pixels."""
        scales = (canvas.x_scale, canvas.y_scale) * 2
        for task, box in self.targets:
            name = task.split()[1 if task.startswith("Open") else 2]
            if name in SURFACES:
                yield name, None, [v * scale for v, scale in zip(box, scales)]

    def free(self, names):
        used = " ".join(task for task, _ in self.targets)
        return [name for name in names if f" {name} " not in f"{used} "]

    def lay_out(self):
        y = self.title_bar()
        while True:
            part, height = self.rng.choice(
                ((self.buttons, 42), (self.field, 60), (self.list_row, 42))
            )
            if y + height > self.canvas.height - 6:
                return
            y = part(y)
            if self.rng.random() < 0.15:
                y += self.rng.uniform(0, 40)


def drawn_screen(rng, level):
    background = tuple(rng.randint(225, 255) for _ in range(3))
    canvas = Canvas(*pick_size(rng, max(level, 0.8), SCREEN_SHAPES), background)
    accent = tuple(rng.randint(20, 150) for _ in range(3))
    ink = tuple(rng.randint(0, 70) for _ in range(3))
    layout = Screen(rng, canvas, ink, accent)
    layout.lay_out()
    canvas.regions += layout.surfaces(canvas)  # last: a helper head is taught names, not texts
    canvas.picture = weather(canvas.picture, rng, 0.4 * level)
    return canvas, layout


def prompt_of(task):
    return (
        f"The user query:  {task}\nTask progress (You have done the following operation on the "
        "current device): "
    )


def task_question(canvas, task, box):
    """(prompt, answer, truth) of something to tap."""
    x1, y1, x2, y2 = target = canvas.whole_box(box)
    arguments = {"action": "click", "coordinate": [(x1 + x2) // 2, (y1 + y2) // 2]}
    return prompt_of(task), call(arguments), {"arguments": arguments, "target": target}


def type_question(rng):
    text = words.word(rng)
    arguments = {"action": "type", "text": text}
    prompt = prompt_of(f'Type "{text}" into the focused field.')
    return prompt, call(arguments), {"arguments": arguments, "target": None}


def button_question(rng):
    button = rng.choice(("Back", "Home"))
    task = {"Back": "Go back to the previous screen.", "Home": "Go to the home screen."}[button]
    arguments = {"action": "system_button", "button": button}
    return prompt_of(task), call(arguments), {"arguments": arguments, "target": None}


def screen(rng, level):
    canvas, layout = drawn_screen(rng, level)
    draw = rng.random()
    if draw < 0.06:
        prompt, answer, truth = button_question(rng)
    elif draw < 0.2 and layout.focused:
        prompt, answer, truth = type_question(rng)
    else:
        prompt, answer, truth = task_question(canvas, *rng.choice(layout.targets))
    definition = tool(canvas.width, canvas.height)
    item = Item("screen", prompt, answer, [canvas.picture], truth, tool=definition)
    item.picture_first = False
    return item


def screen_lesson(rng, level):
    """A screen with several tasks; in one lesson of three the words stand first, as published,
    and then there is but one task."""
    canvas, layout = drawn_screen(rng, level)
    targets = rng.sample(layout.targets, min(6, len(layout.targets)))
    questions = []
    for target in targets:
        prompt, answer, truth = task_question(canvas, *target)
        x, y = truth["arguments"]["coordinate"]
        places = [Place(answer.index(f"[{x}, "), len(answer), 0, x, y)]
        questions.append(Question(prompt, answer, places))
    if layout.focused:
        questions.append(Question(*type_question(rng)[:2]))
    if rng.random() < 0.15:
        questions.append(Question(*button_question(rng)[:2]))
    lesson = Lesson([canvas.picture], questions, [canvas.drawn()])
    lesson.tool = tool(canvas.width, canvas.height)
    if rng.random() < 0.35:
        lesson.picture_first = False
        lesson.questions = [rng.choice(questions)]
    return lesson
