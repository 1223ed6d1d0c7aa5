"""Golden generations, float32: prompts with pictures in, generated ids and scores out.

Every case is made robust before it is stored, so that another implementation's rounding cannot
change it: greedy steps lead by a margin, beam searches give the same answer under noise. Where a
prompt fails that, the next ending of its last sentence is tried. The cases themselves are listed
in model_generation_cases.py.
"""

import copy

import torch
from model_generation_cases import ROUTES, cases
from model_images import make_images
from qwen_vl_utils import process_vision_info
from reference import IMAGES, MODELS, load_model, load_processor, write_cases

GREEDY_MARGIN = 2e-3  # between the two best scores of every step
BEAM_MARGIN = 1e-4  # between the final scores of the beams
NOISE = 1e-4  # amplitude that must not change a beam search
ENDINGS = ("", "?", "!", ".", " now", " again", ":", " please", " in detail", "...", " #1", " #2")


class Noise:
    """A logits processor that shakes the scores a little."""

    def __init__(self, seed):
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(self, _, scores):
        shake = torch.rand(scores.shape, generator=self.generator) * 2 - 1
        return scores + NOISE * shake


class Unstable(Exception):
    """The case would depend on rounding, or its option would not change anything."""


def with_paths(messages):
    messages = copy.deepcopy(messages)
    for message in messages:
        if not isinstance(message["content"], str):
            for item in message["content"]:
                if "image" in item:
                    item["image"] = str(IMAGES / item["image"])
    return messages


def as_items(messages):
    """String contents as one text item: the library's own loader knows no other form."""
    return [
        {**m, "content": [{"type": "text", "text": m["content"]}]}
        if isinstance(m["content"], str)
        else m
        for m in messages
    ]


def with_ending(messages, ending):
    messages = copy.deepcopy(messages)
    content = messages[-1]["content"]
    if isinstance(content, str):
        messages[-1]["content"] = content + ending
    else:
        texts = [item for item in content if "text" in item]
        texts[-1]["text"] += ending
    return messages


def encode(processor, rows, **template_options):
    """The published recipe: template, qwen_vl_utils, processor."""
    rows = [with_paths(messages) for messages in rows]
    texts = [
        processor.apply_chat_template(
            m, tokenize=False, add_generation_prompt=True, **template_options
        )
        for m in rows
    ]
    images, videos = process_vision_info(rows)
    return texts, processor(
        text=texts, images=images, videos=videos, padding=True, return_tensors="pt"
    )


def generate(model, inputs, options, **extra):
    return model.generate(
        **inputs, **options, output_scores=True, return_dict_in_generate=True, **extra
    )


def answers(output, prompt_length, eos, pad):
    """Generated ids of every returned sequence, up to and including the end token."""
    rows = []
    for ids in output.sequences[:, prompt_length:].tolist():
        ends = [index for index, token in enumerate(ids) if token in eos]
        if ends:
            assert all(token == pad for token in ids[ends[0] + 1 :])
            ids = ids[: ends[0] + 1]
        rows.append(ids)
    return rows


def check_greedy(output, rows):
    for row, ids in enumerate(rows):
        for step in range(len(ids)):
            best = output.scores[step][row].topk(2).values
            if best[0] - best[1] < GREEDY_MARGIN:
                raise Unstable(f"step {step} of row {row} leads by {best[0] - best[1]:.1e}")


def check_beams(model, inputs, options, output):
    everything = dict(options, num_return_sequences=options["num_beams"])
    scores = generate(model, inputs, everything).sequences_scores.reshape(-1, options["num_beams"])
    if (scores[:, :-1] - scores[:, 1:]).min() < BEAM_MARGIN:
        raise Unstable("two beams have nearly the same score")
    for seed in range(6):
        shaken = generate(model, inputs, options, logits_processor=[Noise(seed)])
        if shaken.sequences.tolist() != output.sequences.tolist():
            raise Unstable("noise changes the beams")


def check_option_matters(model, inputs, options, other, output):
    """The answer must not be that of plain greedy decoding (True) or of the `other` options."""
    kept = ("max_new_tokens", "eos_token_id", "do_sample")
    if other is True:
        other = {key: options[key] for key in kept} | {"repetition_penalty": 1.0}
        step = options.get("num_return_sequences", 1)
    else:
        other, step = {**options, **other}, 1
    sequences = generate(model, inputs, other).sequences.tolist()
    if output.sequences[::step].tolist() == sequences:
        raise Unstable("the option changes nothing")


def top_logprobs(output, rows):
    """Per row and step: the chosen id, its log-probability, the five best (after processors)."""
    result = []
    for row, ids in enumerate(rows):
        steps = []
        for step, token in enumerate(ids):
            logprobs = output.scores[step][row].log_softmax(-1)
            values, indices = logprobs.topk(5)
            best = [[i, round(v, 6)] for i, v in zip(indices.tolist(), values.tolist())]
            steps.append({"id": token, "logprob": round(logprobs[token].item(), 6), "top": best})
        result.append(steps)
    return result


def resolve_eos(model, inputs, plain, case, default):
    """End tokens of a case: `eos_at` names steps of the plain greedy answer to the first row."""
    if "eos_at" not in case:
        return list(default)
    length = inputs["input_ids"].shape[1]
    limit = dict(plain, max_new_tokens=max(case["eos_at"]) + 1)
    ids = generate(model, inputs, limit).sequences[0, length:].tolist()
    if len(ids) < limit["max_new_tokens"]:
        raise Unstable("the plain answer ends too soon")
    chosen = list(dict.fromkeys(ids[step] for step in case["eos_at"]))
    if case.get("eos_only"):
        return chosen
    return chosen + [default[0]]


def attempt(model, processor, case, ending):
    rows = [with_ending(messages, ending) for messages in case["rows"]]
    texts, inputs = encode(processor, rows)
    length = inputs["input_ids"].shape[1]
    default, pad = model.generation_config.eos_token_id, model.generation_config.pad_token_id
    plain = {"do_sample": False, "repetition_penalty": 1.0}
    eos = resolve_eos(model, inputs, plain, case, default)
    options = {"max_new_tokens": 24}
    if not case.get("published"):
        options.update(plain, eos_token_id=eos)
    options.update(case.get("options", {}))

    output = generate(model, inputs, options)
    generated = answers(output, length, eos, pad)
    if case.get("differs"):
        check_option_matters(model, inputs, options, case["differs"], output)
    if case.get("ends") and not any(ids[-1] in eos for ids in generated):
        raise Unstable("no end token")
    beam_search = options.get("num_beams", 1) > 1
    if beam_search:
        check_beams(model, inputs, options, output)
    else:
        check_greedy(output, generated)

    mask = inputs["attention_mask"].bool()
    result = {
        "messages": rows,
        "options": options,
        "eos_token_id": eos,
        "prompts": texts,
        "prompt_ids": [ids[keep].tolist() for ids, keep in zip(inputs["input_ids"], mask)],
        "padded_length": length,
        "image_grid_thw": inputs["image_grid_thw"].tolist() if "image_grid_thw" in inputs else [],
        "generated_ids": generated,
        "texts": processor.batch_decode(generated, skip_special_tokens=True),
    }
    if beam_search:
        result["sequences_scores"] = [round(s, 6) for s in output.sequences_scores.tolist()]
    if case.get("logprobs"):
        result["logprobs"] = top_logprobs(output, generated)
    return result


def make_case(model, processor, case):
    reasons = []
    for ending in ENDINGS:
        try:
            return attempt(model, processor, case, ending)
        except Unstable as reason:
            reasons.append(str(reason))
    raise SystemExit(f"golden: no stable prompt for '{case['name']}': {'; '.join(reasons)}")


def make_generations():
    make_images()
    stored = []
    for name in MODELS:
        model, processor = load_model(name), load_processor(name)
        for case in cases():
            stored.append(
                {"name": case["name"], "model": name, **make_case(model, processor, case)}
            )
    write_cases("generations.json", stored)


def make_prompts():
    """Expanded prompts of both loaders, with and without picture numbers."""
    make_images()
    processor, stored = load_processor("tiny"), []
    for name, messages in ROUTES:
        for numbered in (False, True):
            texts, inputs = encode(processor, [messages], add_vision_id=numbered)
            library = processor.apply_chat_template(
                with_paths(as_items(messages)),
                tokenize=True,
                return_dict=True,
                return_tensors="pt",
                add_generation_prompt=True,
                add_vision_id=numbered,
            )
            case = {"name": name, "messages": messages, "add_vision_id": numbered, "text": texts[0]}
            for loader, encoded in (("qwen_vl_utils", inputs), ("hf", library)):
                grids = encoded["image_grid_thw"].tolist() if "image_grid_thw" in encoded else []
                case[loader] = {
                    "image_grid_thw": grids,
                    "input_ids": encoded["input_ids"][0].tolist(),
                }
            stored.append(case)
    write_cases("prompts.json", stored)
