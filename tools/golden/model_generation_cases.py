"""The list of generation goldens, as data for model_generations.py.

A case has `name`, `rows` (one conversation per batch row) and `options` over plain greedy
decoding. `eos_at`: end tokens are the ids that plain greedy decoding produces at these steps (plus
the usual one, unless `eos_only`). `differs`: the answer must differ from plain greedy decoding
(True) or from that of the same case under other options (a dict).
`ends`: a row must reach an end token. `logprobs`: store the five best of every step. `published`:
no option but the length, so that generation_config.json decides.
"""


def user(*parts):
    """A user turn: a str is text, ("name", {options}) or ("name",) a picture."""
    content = []
    for part in parts:
        if isinstance(part, str):
            content.append({"type": "text", "text": part})
        else:
            name, *options = part
            content.append(
                {"type": "image", "image": f"{name}.png", **(options[0] if options else {})}
            )
    return {"role": "user", "content": content}


def say(role, text):
    return {"role": role, "content": text}


TEXT = [user("Tell me a story")]
PLAIN_TEXT = [say("user", "How are you")]
CHINESE = [user("请描述这张图片", ("rings",))]
IMAGE = [user(("gradient",), "Describe this image")]
CHECKER = [user(("checker",), "What is in the picture")]
TWO = [user(("stripes",), ("hash",), "Compare the two")]
MIXED = [user("First", ("checker",), "then", ("gray",), "and text at the end")]
SYSTEM = [say("system", "Answer in one word."), user(("alpha",), "Which colour")]
TURNS = [
    user(("rings",), "What is this?"),
    say("assistant", "A set of rings."),
    user("And this", ("hash",), "is it the same"),
]
SIZED = [
    user(
        ("gradient", {"max_pixels": 4704}),
        ("checker", {"min_pixels": 12544}),
        ("stripes", {"resized_height": 56, "resized_width": 84}),
        "Sizes",
    )
]
MIXED_BATCH = [IMAGE, PLAIN_TEXT, TWO]


def greedy():
    for name, messages in (
        ("text", TEXT),
        ("string content", PLAIN_TEXT),
        ("Chinese", CHINESE),
        ("image", IMAGE),
        ("two images", TWO),
        ("text around images", MIXED),
        ("system", SYSTEM),
        ("turns", TURNS),
        ("sized images", SIZED),
    ):
        yield {"name": f"greedy {name}", "rows": [messages], "logprobs": name in ("text", "image")}
    yield {"name": "greedy long", "rows": [CHECKER], "options": {"max_new_tokens": 48}}
    yield {
        "name": "greedy one token",
        "rows": [IMAGE],
        "options": {"max_new_tokens": 1},
        "logprobs": True,
    }


def processors():
    for penalty, rows in ((1.05, [IMAGE]), (1.3, [TEXT]), (1.3, [TURNS]), (1.3, MIXED_BATCH)):
        name = f"repetition penalty {penalty} rows {len(rows)} turns {len(rows[0])}"
        options = {"repetition_penalty": penalty, "max_new_tokens": 32}
        yield {
            "name": name,
            "rows": rows,
            "options": options,
            "logprobs": rows == [IMAGE],
            "differs": penalty > 1.1,
        }
    for size, messages in ((1, CHECKER), (2, TEXT), (2, CHECKER), (3, TWO)):
        options = {"no_repeat_ngram_size": size, "max_new_tokens": 40}
        yield {
            "name": f"no repeated {size}-gram",
            "rows": [messages],
            "options": options,
            "differs": size < 3,
            "logprobs": size == 2 and messages is CHECKER,
        }
    yield {
        "name": "penalty and no repeated 2-gram",
        "rows": [CHINESE],
        "differs": True,
        "options": {"repetition_penalty": 1.1, "no_repeat_ngram_size": 2},
    }
    yield {"name": "end token", "rows": [IMAGE], "eos_at": [6], "ends": True}
    yield {
        "name": "single end token",
        "rows": [TEXT],
        "eos_at": [3],
        "eos_only": True,
        "ends": True,
    }
    yield {"name": "end at once", "rows": [SYSTEM], "eos_at": [0], "ends": True}
    yield {
        "name": "at least 9 tokens",
        "rows": [IMAGE],
        "eos_at": [4],
        "differs": True,
        "options": {"min_new_tokens": 9},
        "logprobs": True,
    }
    yield {
        "name": "at least 5 of 5 tokens",
        "rows": [TEXT],
        "eos_at": [2],
        "differs": True,
        "options": {"min_new_tokens": 5, "max_new_tokens": 5},
    }
    for messages in (IMAGE, TURNS):
        yield {
            "name": f"published defaults turns {len(messages)}",
            "rows": [messages],
            "published": True,
        }


def batches():
    yield {
        "name": "batch of texts",
        "rows": [TEXT, PLAIN_TEXT, [user("One, two, three, four, five")]],
    }
    yield {"name": "batch of images", "rows": [IMAGE, CHECKER], "logprobs": True}
    yield {"name": "batch mixed", "rows": MIXED_BATCH}
    yield {"name": "batch with early end", "rows": MIXED_BATCH, "eos_at": [5], "ends": True}


def beam_case(name, rows, count, eos_at=(), **options):
    """A beam search; with `eos_at` a hypothesis must reach an end token."""
    options["num_beams"] = count
    entry = {"name": f"beams {name}", "rows": rows, "options": options}
    if eos_at:
        entry.update(eos_at=list(eos_at), ends=True)
    return entry


def beams():
    yield dict(beam_case("2 text", [TEXT], 2, max_new_tokens=16), differs=True)
    yield dict(beam_case("3 image", [IMAGE], 3, max_new_tokens=16), differs=True)
    yield beam_case("4 two images all", [TWO], 4, max_new_tokens=12, num_return_sequences=4)
    for penalty in (0.5, 1.0, 2.0):
        for early in (True, False):
            name = f"3 end length penalty {penalty} {'early' if early else 'late'}"
            yield beam_case(
                name,
                [CHECKER],
                3,
                (2, 6, 9),
                max_new_tokens=14,
                length_penalty=penalty,
                early_stopping=early,
                num_return_sequences=3,
            )


def stopping_beams():
    late = beam_case(
        "3 late is not early",
        [SYSTEM],
        3,
        (1, 3, 5),
        max_new_tokens=20,
        length_penalty=1.0,
        early_stopping=False,
        num_return_sequences=2,
    )
    yield dict(late, differs={"early_stopping": True})
    never = beam_case(
        "2 never is not late",
        [SYSTEM],
        2,
        (1, 3, 5),
        max_new_tokens=20,
        length_penalty=1.0,
        early_stopping="never",
        num_return_sequences=2,
    )
    yield dict(never, differs={"early_stopping": False})
    yield beam_case(
        "4 never",
        [IMAGE],
        4,
        (3, 5),
        max_new_tokens=12,
        length_penalty=0.5,
        early_stopping="never",
        num_return_sequences=2,
    )
    yield beam_case(
        "2 negative length penalty",
        [TEXT],
        2,
        (4,),
        max_new_tokens=12,
        length_penalty=-1.0,
        num_return_sequences=2,
    )


def batched_beams():
    yield beam_case("2 batch", MIXED_BATCH, 2, max_new_tokens=12, num_return_sequences=2)
    yield beam_case(
        "3 batch end", [CHECKER, SYSTEM], 3, (3, 7), max_new_tokens=12, num_return_sequences=2
    )
    yield beam_case(
        "3 penalties",
        [SYSTEM],
        3,
        max_new_tokens=12,
        repetition_penalty=1.2,
        no_repeat_ngram_size=2,
        num_return_sequences=2,
    )
    held_back = beam_case("2 at least 8", [IMAGE], 2, (3, 5), max_new_tokens=12, min_new_tokens=8)
    yield dict(held_back, ends=False, differs=True)


def cases():
    yield from greedy()
    yield from processors()
    yield from batches()
    yield from beams()
    yield from stopping_beams()
    yield from batched_beams()


# Conversations whose expanded prompts are stored for both loaders.
ROUTES = (
    ("text", PLAIN_TEXT),
    ("image", IMAGE),
    ("three images in one message", [user(("rings",), ("gray",), "a", ("stripes",), "b")]),
    ("images over turns", TURNS),
    ("transparent image", SYSTEM),
    ("thin image", [user(("thin",), "Thin")]),
    ("small image", [user(("checker",), "Chinese 字 and emoji 🙂")]),
)
