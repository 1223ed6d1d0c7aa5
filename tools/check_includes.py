#!/usr/bin/env python3
"""Checks the include rule of ARCHITECTURE.md. Usage: check_includes.py [ROOT]

The table says which folders of src/ each folder may include besides itself. The public headers
(include/qwenvl) are the common vocabulary: every folder may use them, apps nothing else.
"""
import pathlib
import re
import sys

ALLOWED = {
    "core": [],
    "formats": ["core"],
    "backend": ["core", "formats"],
    "checkpoint": ["core"],
    "text": ["core"],
    "media": ["core"],
    "models": ["core", "formats", "backend", "checkpoint", "text", "media"],
    "engine": ["core", "formats", "backend", "checkpoint", "text", "media", "models"],
}
# Headers bound to places: pattern of the include → pattern of the files that may use it, and why.
BOUND = [
    (r"(\w*mmintrin|arm_neon|arm_sve)\.h", r"src/(backend/cpu/.*|formats/.*_unpack\.inl)",
     "intrinsics belong in src/backend/cpu or src/formats/*_unpack.inl"),
    (r"cuda.*\.h|cublas.*", r"src/backend/cuda/.*", "CUDA belongs in src/backend/cuda"),
    (r"lib(av|sw)\w*/.*", r"src/media/video/ffmpeg/functions\.inl",
     "FFmpeg is loaded late: its functions are listed in media/video/ffmpeg/functions.inl, include that"),
    (r"nlohmann/.*", r"src/.*\.cpp|apps/.*", "JSON types stay out of headers"),
    (r"fmt/.*", r"src/core/(check|log)\.h|src/.*\.cpp|apps/.*", "only core/check.h and core/log.h expose fmt"),
]
STANDARD = re.compile(r"[a-z_]+")  # <vector>, <cstdint>: standard headers have neither dot nor slash
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def fault(root, path, kind, header):
    """Why `path` (relative to root) must not include `header`; None when it may."""
    for pattern, place, why in BOUND:
        if re.fullmatch(pattern, header) and not re.fullmatch(place, path):
            return why
        if re.fullmatch(pattern, header):
            return None
    top, folder = path.split("/")[:2]
    if kind == "<":
        is_private = path.endswith((".cpp", ".cu")) or top == "apps"
        if is_private or STANDARD.fullmatch(header) or (top == "apps" and header.startswith("qwenvl/")):
            return None
        return "headers include only the standard library and the project; move it into the .cpp"
    if header.startswith("qwenvl/") or (root / path).parent.joinpath(header).exists() and top == "apps":
        return None
    if top != "src":
        return f"{top} may include only include/qwenvl" + (" and files beside it" if top == "apps" else "")
    target = header.split("/")[0]
    if folder not in ALLOWED:
        return f"src/{folder} is not in the table of tools/check_includes.py"
    if target == folder or target in ALLOWED[folder]:
        return None
    return f"src/{folder} may include {', '.join(ALLOWED[folder]) or 'nothing'} and itself, not '{target}'"


def main(root):
    files = [file for top in ("src", "include", "apps") for file in sorted((root / top).rglob("*"))
             if file.suffix in (".h", ".cpp", ".inl", ".cu", ".cuh")]
    n_faults = 0
    for file in files:
        path = file.relative_to(root).as_posix()
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            match = INCLUDE.match(line)
            why = match and fault(root, path, *match.groups())
            if why:
                print(f"{path}:{number}: {line.strip()}: {why}")
                n_faults += 1
    print(f"include rule: {len(files)} files, {n_faults} violations")
    return 1 if n_faults or not files else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent)))
