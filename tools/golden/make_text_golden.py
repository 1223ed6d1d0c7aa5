"""Writes tests/golden/tokenizer and tests/golden/text with the reference's own libraries.

    python tools/golden/make_text_golden.py --data FOLDER [--out tests/golden]

FOLDER holds tokenizer.json, tokenizer_config.json and chat_template.json of the published checkpoint.
"""

import argparse
import json
import os
import pathlib
import random
import shutil

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import jinja2
import tokenizers
import transformers
from transformers.utils.chat_template_utils import render_jinja_template

import chat_samples
import text_samples

PINNED = {tokenizers: "0.22.2", transformers: "4.57.6", jinja2: "3.1.6"}

# The published tokenizer_config.json of the vision-language checkpoint differs from the one of its
# text sibling in this sentence.
TEXT_DEFAULT = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."
VISION_DEFAULT = "You are a helpful assistant."


def without_added_tokens(tokenizer_json):
    tree = json.loads(tokenizer_json)
    tree["added_tokens"] = []
    return tokenizers.Tokenizer.from_str(json.dumps(tree))


def encodings(tokenizer, plain):
    for string in text_samples.all_strings():
        case = {"text": string, "ids": tokenizer.encode(string, add_special_tokens=False).ids}
        as_text = plain.encode(string, add_special_tokens=False).ids
        if as_text != case["ids"]:
            case["ids_as_text"] = as_text
        yield case


def id_sequences(tokenizer):
    rng = random.Random(7)
    size = tokenizer.get_vocab_size()
    yield []
    for first in range(0, 256, 16):  # tokens of one byte each: mostly broken UTF-8
        yield list(range(first, first + 16))
    for _ in range(80):
        ranges = [size, 256, 1000]
        yield [rng.randrange(rng.choice(ranges)) for _ in range(rng.randint(1, 16))]
    for _ in range(20):
        yield [rng.choice([rng.randrange(256), rng.randrange(151643, size)]) for _ in range(12)]
    for string in ["😀👩🏾‍💻", "한국어 문장", "𠮷野家", "naïve — “q”"]:
        ids = tokenizer.encode(string, add_special_tokens=False).ids
        for cut in range(len(ids)):
            yield ids[:cut] + [151645] + ids[cut:]
            yield ids[cut:]


def decodings(tokenizer):
    for ids in id_sequences(tokenizer):
        yield {
            "ids": ids,
            "text": tokenizer.decode(ids, skip_special_tokens=False),
            "text_without_special": tokenizer.decode(ids, skip_special_tokens=True),
        }


def render(template, messages, options, tools=None):
    options = {"add_generation_prompt": True} | options
    rendered, _ = render_jinja_template([messages], tools=tools, chat_template=template, **options)
    return rendered[0]


def with_parts_as_text(template, messages, options):
    """Every list of parts rendered by the multimodal template into the string it stands for."""
    result, before = [], []
    options = options | {"add_generation_prompt": False}
    for message in map(dict, messages):
        if not isinstance(message["content"], str):
            # Rendered after all earlier parts, so that pictures are numbered through.
            start = [{"role": "system", "content": before}]
            head = render(template, start, options)[: -len("<|im_end|>\n")]
            whole = render(template, [{"role": "system", "content": before + message["content"]}], options)
            before = before + message["content"]
            message["content"] = whole[len(head) : -len("<|im_end|>\n")]
        result.append(message)
    return result


def conversations(vision_template, tool_template, tokenizer):
    for name, messages, options in chat_samples.multimodal():
        yield name, messages, [], options, render(vision_template, messages, options)
    for name, messages, tools, options in chat_samples.tools():
        flat = with_parts_as_text(vision_template, messages, options)
        for message in flat:
            if "tool_calls" in message:
                calls = [c | {"arguments": json.loads(c["arguments"])} for c in message["tool_calls"]]
                message["tool_calls"] = [{"type": "function", "function": c} for c in calls]
        loaded = [json.loads(tool) for tool in tools] or None
        # The tool template takes no numbering option: the parts are text by now.
        kept = {k: v for k, v in options.items() if k == "add_generation_prompt"}
        yield f"tools: {name}", messages, tools, options, render(tool_template, flat, kept, loaded)


def write(path, tree):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(tree, ensure_ascii=True, indent=None, separators=(",", ":")) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("tests/golden"))
    arguments = parser.parse_args()
    for module, version in PINNED.items():
        if module.__version__ != version:
            parser.error(f"{module.__name__} is {module.__version__}, expected {version}")

    folder = arguments.out / "tokenizer"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ["tokenizer.json", "tokenizer_config.json", "chat_template.json"]:
        shutil.copyfile(arguments.data / name, folder / name)

    tokenizer_json = (folder / "tokenizer.json").read_text(encoding="utf-8")
    tokenizer = tokenizers.Tokenizer.from_str(tokenizer_json)
    plain = without_added_tokens(tokenizer_json)
    tokens = {"encode": list(encodings(tokenizer, plain)), "decode": list(decodings(tokenizer))}
    write(arguments.out / "text" / "tokens.json", tokens)

    vision_template = json.loads((folder / "chat_template.json").read_text())["chat_template"]
    tool_template = json.loads((folder / "tokenizer_config.json").read_text())["chat_template"]
    tool_template = tool_template.replace(TEXT_DEFAULT, VISION_DEFAULT)
    chats = [
        {
            "name": name,
            "messages": messages,
            "tools": tools,
            "options": options,
            "text": text,
            "ids": tokenizer.encode(text, add_special_tokens=False).ids,
        }
        for name, messages, tools, options, text in conversations(vision_template, tool_template, tokenizer)
    ]
    json_texts = [[t, json.dumps(json.loads(t), ensure_ascii=False)] for t in chat_samples.JSON_TEXTS]
    write(arguments.out / "text" / "templates.json", {"conversations": chats, "python_json": json_texts})
    print(f"{len(tokens['encode'])} encodings, {len(tokens['decode'])} decodings, {len(chats)} conversations")


if __name__ == "__main__":
    main()
