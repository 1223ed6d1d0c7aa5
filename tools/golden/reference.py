"""What every model golden needs: the reference model, its processor, and file writers.

Used by make_model_golden.py and its model_*.py parts. The switches that differ between versions
of the reference are fixed here and recorded in every JSON file's "reference" header.
"""

import json
from pathlib import Path

import numpy
import PIL
import torch
import torchvision
import transformers
from safetensors.torch import save_file
from transformers import (
    AutoTokenizer,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
)

GOLDEN = Path(__file__).resolve().parents[2] / "tests" / "golden"
CHECKPOINTS = GOLDEN / "checkpoints"
OUT = GOLDEN / "model"
IMAGES = OUT / "images"
MODELS = ("tiny", "tiny_untied")
DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}

HEADER = {
    "transformers": "4.57.6",
    "torch": torch.__version__.split("+")[0],
    "torchvision": torchvision.__version__.split("+")[0],
    "pillow": PIL.__version__,
    "numpy": numpy.__version__,
    "attention": "sdpa unless the file says eager",
    "image_processor": "use_fast=False (Pillow)",
    "loader": "qwen_vl_utils 0.0.14 unless the entry says hf",
    "tstep": "int (k * trunc(seconds) * tokens_per_second) unless the entry says float",
    "padding_side": "left",
}


def check_versions():
    if transformers.__version__ != HEADER["transformers"]:
        raise SystemExit(
            f"golden: transformers is {transformers.__version__}, expected "
            f"{HEADER['transformers']}; install tools/golden/requirements.txt"
        )


def load_model(name, dtype="f32", attention="sdpa"):
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(
        CHECKPOINTS / name, dtype=DTYPES[dtype], attn_implementation=attention
    )
    return model.eval()


def load_processor(name):
    """The published processor with the Pillow image path and left padding.

    Built from its parts: use_fast=False on the whole would also ask for the slow tokenizer.
    """
    folder = CHECKPOINTS / name
    template = json.loads((folder / "chat_template.json").read_text(encoding="utf-8"))
    return Qwen2_5_VLProcessor(
        Qwen2VLImageProcessor.from_pretrained(folder),
        AutoTokenizer.from_pretrained(folder, padding_side="left"),
        Qwen2VLVideoProcessor.from_pretrained(folder),
        chat_template=template["chat_template"],
    )


def special_ids(name):
    config = json.loads((CHECKPOINTS / name / "config.json").read_text(encoding="utf-8"))
    return {
        "vision_start": config["vision_start_token_id"],
        "vision_end": config["vision_end_token_id"],
        "image": config["image_token_id"],
        "video": config["video_token_id"],
        "pad": config.get("text_config", config)["bos_token_id"],
    }


def write_tensors(name, tensors):
    OUT.mkdir(parents=True, exist_ok=True)
    contiguous = {key: value.detach().contiguous().clone() for key, value in tensors.items()}
    save_file(contiguous, OUT / name, metadata={"format": "pt"})


def write_cases(name, cases):
    """A JSON file with the header and one case a line, so that changes stay readable."""
    OUT.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(case, ensure_ascii=False, separators=(",", ":")) for case in cases]
    text = '{"reference":' + json.dumps(HEADER) + ',\n"cases":[\n' + ",\n".join(lines) + "\n]}\n"
    (OUT / name).write_text(text, encoding="utf-8")
    print(f"{name}: {len(cases)} cases")


def relative_error(value, reference):
    value, reference = value.double(), reference.double()
    return ((value - reference).norm() / reference.norm()).item()
