"""Golden activations: every block of the tower, every layer of the decoder, the logits."""

import json

import torch
from model_positions import row
from reference import MODELS, OUT, load_model, relative_error, special_ids, write_tensors

TOWER_CASES = {
    "image": [[1, 10, 12]],
    "two_images": [[1, 4, 6], [1, 8, 4]],
    "video": [[3, 6, 4]],
    "thin": [[1, 2, 28]],
}
TOWER_BF16 = ("two_images", "video")

# Rows as in model_positions.row; the grids are small because logits are wide.
DECODER_CASES = {
    "text": [[12]],
    "image": [[4, ("image", (1, 4, 6)), 4]],
    "two_images": [[2, ("image", (1, 4, 4)), 2, ("image", (1, 2, 6)), 3]],
    "video": [[3, ("video", (3, 4, 4)), 3]],
    "batch": [
        [9],
        [2, ("image", (1, 4, 6)), 5],
        [1, ("image", (1, 2, 4)), 1, ("image", (1, 4, 4)), 2],
    ],
}
DECODER_BF16 = ("image", "batch")


def pixel_bytes(grids, seed):
    """Random but smooth patches as bytes; the pixel value is (byte - 128) / 48 in float32."""
    generator = torch.Generator().manual_seed(seed)
    rows = sum(t * h * w for t, h, w in grids)
    slope = torch.randn(rows, 3, 1, 2, generator=generator)
    y, x = torch.meshgrid(torch.linspace(-1, 1, 14), torch.linspace(-1, 1, 14), indexing="ij")
    ramp = slope[..., 0, None, None] * y + slope[..., 1, None, None] * x
    level = 1.2 * torch.randn(rows, 3, 1, 1, 1, generator=generator)
    noise = 0.4 * torch.randn(rows, 3, 2, 14, 14, generator=generator)
    values = 128 + 48 * (level + 0.7 * ramp + noise)
    return values.round().clamp(0, 255).to(torch.uint8).reshape(rows, 1176)


def pixel_values(stored):
    return (stored.float() - 128) / 48


class Recorder:
    """Collects the outputs of modules by name while a forward pass runs."""

    def __init__(self):
        self.outputs, self.handles = {}, []

    def watch(self, name, module):
        def keep(_, __, output):
            self.outputs[name] = output[0] if isinstance(output, tuple) else output

        self.handles.append(module.register_forward_hook(keep))

    def watch_rotary(self, block):
        def keep(_, __, arguments):
            self.outputs["rotary_cos"], self.outputs["rotary_sin"] = arguments[
                "position_embeddings"
            ]

        self.handles.append(block.register_forward_pre_hook(keep, with_kwargs=True))

    def __exit__(self, *_):
        for handle in self.handles:
            handle.remove()

    def __enter__(self):
        return self


def run_tower(model, values, grids):
    tower = model.model.visual
    with Recorder() as recorder, torch.no_grad():
        recorder.watch("patch_embed", tower.patch_embed)
        recorder.watch_rotary(tower.blocks[0])
        for index, block in enumerate(tower.blocks):
            recorder.watch(f"block.{index}", block)
        merged = tower(values.to(tower.dtype), torch.tensor(grids))
    return dict(recorder.outputs, merger=merged)


def make_tower():
    report = {}
    for seed, (case, grids) in enumerate(TOWER_CASES.items()):
        stored = pixel_bytes(grids, seed)
        write_tensors(
            f"tower_input_{case}.safetensors",
            {"pixel_bytes": stored, "grid_thw": torch.tensor(grids)},
        )
        for name in MODELS:
            exact = run_tower(load_model(name), pixel_values(stored), grids)
            write_tensors(f"tower_{name}_{case}_f32.safetensors", exact)
            sdpa = run_tower(load_model(name, "bf16"), pixel_values(stored), grids)
            eager = run_tower(load_model(name, "bf16", "eager"), pixel_values(stored), grids)
            if case in TOWER_BF16:
                kept = {key: value for key, value in sdpa.items() if "rotary" not in key}
                write_tensors(f"tower_{name}_{case}_bf16.safetensors", kept)
            report[f"tower_{name}_{case}"] = errors(exact, sdpa, eager, "rotary")
    return report


def errors(exact, sdpa, eager, leave_out):
    """Relative L2 error of the reference's own bfloat16 runs against its float32 run."""
    return {
        key: {
            "sdpa": round(relative_error(sdpa[key], exact[key]), 6),
            "eager": round(relative_error(eager[key], exact[key]), 6),
        }
        for key in exact
        if leave_out not in key
    }


def decoder_inputs(name, case, rows):
    ids = special_ids(name)
    tokens = [row(ids, *parts) for parts in rows]
    width = max(len(line) for line in tokens)
    inputs = {
        "input_ids": torch.tensor([[ids["pad"]] * (width - len(line)) + line for line in tokens]),
        "attention_mask": torch.tensor(
            [[0] * (width - len(line)) + [1] * len(line) for line in tokens]
        ),
    }
    for kind, suffix in (("image", ""), ("video", "_videos")):
        grids = [
            list(part[1])
            for line in rows
            for part in line
            if not isinstance(part, int) and part[0] == kind
        ]
        if grids:
            inputs[f"{kind}_grid_thw"] = torch.tensor(grids)
            inputs[f"pixel_values{suffix}"] = pixel_bytes(grids, 100 + len(case))
    if "video_grid_thw" in inputs:
        inputs["second_per_grid_ts"] = torch.ones(len(inputs["video_grid_thw"]))
    return inputs


def run_decoder(model, inputs):
    decoder = model.model.language_model
    inputs = {
        key: pixel_values(value) if "pixel" in key else value for key, value in inputs.items()
    }
    embeddings = []
    with Recorder() as recorder, torch.no_grad():
        for index, layer in enumerate(decoder.layers):
            recorder.watch(f"layer.{index}", layer)
        recorder.watch("norm", decoder.norm)
        handle = decoder.layers[0].register_forward_pre_hook(
            lambda _, given: embeddings.append(given[0])
        )
        output = model(**inputs, use_cache=False)
        handle.remove()
    return {"inputs_embeds": embeddings[0], **recorder.outputs, "logits": output.logits}


def positions_of(model, inputs):
    names = (
        "input_ids",
        "image_grid_thw",
        "video_grid_thw",
        "second_per_grid_ts",
        "attention_mask",
    )
    positions, deltas = model.model.get_rope_index(
        **{key: inputs[key] for key in names if key in inputs}
    )
    return {"position_ids": positions, "rope_deltas": deltas.flatten()}


def make_decoder():
    report = {}
    for name in MODELS:
        models = [load_model(name), load_model(name, "bf16"), load_model(name, "bf16", "eager")]
        for case, rows in DECODER_CASES.items():
            inputs = decoder_inputs(name, case, rows)
            exact, sdpa, eager = (run_decoder(model, inputs) for model in models)
            stored = {
                key.replace("pixel_values", "pixel_bytes"): value for key, value in inputs.items()
            }
            kept = dict(exact)
            if case == "batch":  # the rows' last positions are enough and logits are wide
                kept["logits"] = exact["logits"][:, -1:]
            write_tensors(
                f"decoder_{name}_{case}_f32.safetensors",
                {**stored, **positions_of(models[0], inputs), **kept},
            )
            if case in DECODER_BF16:
                low = dict(
                    sdpa, logits=sdpa["logits"][:, -1:], logits_eager=eager["logits"][:, -1:]
                )
                write_tensors(f"decoder_{name}_{case}_bf16.safetensors", low)
            mask = inputs["attention_mask"].bool()  # padded positions mean nothing
            runs = [
                {key: value[mask] for key, value in run.items()} for run in (exact, sdpa, eager)
            ]
            report[f"decoder_{name}_{case}"] = errors(*runs, "inputs_embeds")
    return report


def make_activations():
    report = {**make_tower(), **make_decoder()}
    text = json.dumps(report, indent=1) + "\n"
    (OUT / "bf16_errors.json").write_text(text, encoding="utf-8")
    print(f"activations: {len(report)} cases")
