"""The card of the demo checkpoint. Every number in it comes from the log of the training and from
what evaluate.py found.

Before: train.py, evaluate.py.   After: README.md of the exported folder.
"""

import textwrap

from generator import SKILLS, make_item
from metrics import NUMBERS, results_table

SEARCHED = 30  # items of a skill whose prompts are looked at
MOST_PROMPTS = 5  # of a skill that the card shows

TEXT = """# The demo checkpoint

A small vision-language model of the Qwen2.5-VL architecture ({parameters:,} parameters,
bfloat16), trained from scratch on generated pictures. It loads unchanged in `qwenvl` and in
`transformers` (`Qwen2_5_VLForConditionalGeneration`), and `qwenvl` takes it when no model is named
and none was downloaded.

## What it can do

In the generated world of `tools/demo/`, and with prompts as below: read a few lines of print, turn
a small table into Markdown, answer keys of a receipt, invoice or form as JSON, spot lines of text
with boxes, locate, count and describe coloured shapes and simple objects in English and Chinese,
give the `mobile_use` call for a task on a simple screen, and say when something happens in a short
clip. How well, the table below says. `samples/` has a picture for each.

## What it cannot do

Everything else. It knows no photograph, no handwriting, no long page, hardly any word outside its
list, no question outside its patterns and no second question; it will answer all the same, and
wrongly. Words that it is told to type into a screen it often copies wrongly (`screen_other` below).
It exists to try and test the program, not to be relied on.

## Scores

{scores}

## Prompts it knows

Names, words, colours and keys vary; everything else stands as trained (`\\n` is a line end).

{prompts}

A task on a screen needs the definition of `mobile_use` as well (`samples/screen.tools.json`).

## Data

Drawn by `tools/demo/generator.py`, with the typefaces DejaVu, Liberation and WenQuanYi
Micro Hei: no photograph, no scraped text. An item is a function of its split, skill and
number, and `train`, `held_out` (the scores here) and `sample` (`samples/`) draw from random streams
of their own. Items are written `split/skill/number`, as in `samples/truths.json`.

## Training

{cost}

![The curves of the training](curves.png)

{training}

To go on, `training.json` says how far it went (the weights are rounded to bfloat16; the optimiser
and the heads that only help in training start anew):

```sh
python3 tools/demo/restore.py checkpoints/demo --work ../demo-training
python3 tools/demo/train.py --work ../demo-training --lessons {next_lessons}
```

## Licence

Apache-2.0, as the project. The tokenizer's entries are the first of the
vocabulary that Qwen2.5 publishes under Apache-2.0.
"""


def wrapped(sentences):
    return textwrap.fill(sentences, 100, break_long_words=False, break_on_hyphens=False)


def cost(log):
    """How long the training took, in words."""
    where = "on processor cores" if log["device"] == "cpu" else f"on one {log['device']}"
    hours = log["seconds"] / 3600
    return wrapped(
        f"{log['steps']:,} steps over {log['lessons']:,} lessons (a picture or a clip with several "
        f"questions) took {hours:.1f} hours {where}. Loss and held-out answers over the lessons:"
    )


def training_scores(log):
    """The last held-out scores of the training run."""
    if not log["scores"]:
        return "No held-out lessons were scored during training."
    lines = ["The last of these, where each token is asked after the true beginning of its answer:"]
    lines += ["", "| lesson | whole answer right | tokens right |", "|---|---|---|"]
    for skill, (exact, tokens) in log["scores"][-1][2].items():
        lines.append(f"| `{skill}` | {exact:.1%} | {tokens:.1%} |")
    return "\n".join(lines)


def first_share(results, skill):
    """Of the first engine that answered; None when none did."""
    values = [results["skills"][skill][engine] for engine in results["engines"]]
    return next((value for value in values if value is not None), None)


def measured(results):
    """The table of evaluate.py, and in words which targets are missed."""
    if not results:
        return "Not measured yet."
    shares = {skill: first_share(results, skill) for skill in results["skills"]}
    shares = {skill: value for skill, value in shares.items() if NUMBERS[skill][2] is not None}
    missed = [f"`{skill}`" for skill, value in shares.items() if value < NUMBERS[skill][2]]
    verdict = f"{len(shares) - len(missed)} of {len(shares)} targets are met"
    verdict += f"; not met: {', '.join(missed)}." if missed else "."
    intro = (
        f"{results['items']:,} held-out items, each answered greedily by the engines of the table, "
        "in float32 unless said otherwise (`tools/demo/evaluate.py`). `tools/demo/metrics.py` "
        "defines what is counted; a broken answer counts nothing."
    )
    return f"{wrapped(intro)}\n\n{results_table(results)}\n\n{wrapped(verdict)}"


def prompts():
    """For each skill, prompts of different beginnings."""
    lines = []
    for skill in SKILLS:
        found = {}
        for index in range(SEARCHED):
            prompt = make_item(skill, "sample", index).prompt
            found.setdefault(prompt.removeprefix("The user query:  ")[:4], prompt)
        shown = [f"`{prompt}`" for prompt in list(found.values())[:MOST_PROMPTS]]
        lines.append(f"* `{skill}`: {', '.join(shown)}")
    # A prompt on a screen has two lines; in a list it takes one.
    return "\n".join(line.replace("\n", "\\n") for line in lines)


def text(log, results):
    """The card."""
    return TEXT.format(
        parameters=log["parameters"],
        scores=measured(results),
        prompts=prompts(),
        cost=cost(log),
        training=training_scores(log),
        next_lessons=2 * log["planned_lessons"],
    )
