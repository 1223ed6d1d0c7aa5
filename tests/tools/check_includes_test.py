"""tools/check_includes.py must find each kind of violation, and nothing in a tree that has none."""
import pathlib
import subprocess
import sys
import tempfile

TOOL = pathlib.Path(__file__).parents[2] / "tools" / "check_includes.py"
# path of the file, its include, whether it is allowed
CASES = [
    ("src/core/a.cpp", '"core/b.h"', True),
    ("src/core/a.cpp", '"media/image.h"', False),
    ("src/text/a.cpp", '"checkpoint/checkpoint.h"', False),
    ("src/media/a.cpp", '"core/check.h"', True),
    ("src/media/a.cpp", '"models/model.h"', False),
    ("src/models/qwen2_5_vl/a.cpp", '"media/image.h"', True),
    ("src/models/qwen2_5_vl/a.h", '"engine/generation/sampler.h"', False),
    ("src/engine/a.cpp", '"qwenvl/engine.h"', True),
    ("src/kernels/a.cpp", '"core/check.h"', False),
    ("src/media/a.cpp", "<jpeglib.h>", True),
    ("src/media/a.h", "<jpeglib.h>", False),
    ("src/media/a.h", "<vector>", True),
    ("src/media/a.h", "<cstdint>", True),
    ("src/core/check.h", "<fmt/format.h>", True),
    ("src/core/a.h", "<fmt/format.h>", False),
    ("src/media/video/ffmpeg/functions.inl", "<libavcodec/avcodec.h>", True),
    ("src/media/video/a.cpp", "<libavcodec/avcodec.h>", False),
    ("src/media/video/a.cpp", "<libswscale/swscale.h>", False),
    ("src/checkpoint/a.h", "<nlohmann/json.hpp>", False),
    ("src/checkpoint/a.cpp", "<nlohmann/json.hpp>", True),
    ("src/media/a.cpp", "<immintrin.h>", False),
    ("src/backend/cpu/a.cpp", "<immintrin.h>", True),
    ("src/formats/int4_unpack.inl", "<immintrin.h>", True),
    ("src/formats/int4.h", "<immintrin.h>", False),
    ("src/engine/a.cpp", "<cuda_runtime.h>", False),
    ("include/qwenvl/a.h", '"core/check.h"', False),
    ("include/qwenvl/a.h", '"qwenvl/error.h"', True),
    ("apps/cli/a.cpp", '"core/check.h"', False),
    ("apps/cli/a.cpp", '"qwenvl/engine.h"', True),
    ("apps/cli/a.cpp", "<CLI/CLI.hpp>", True),
]


def main():
    failures = 0
    for path, include, allowed in CASES:
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder, path)
            file.parent.mkdir(parents=True)
            file.write_text(f"#include {include}\n", encoding="utf-8")
            run = subprocess.run([sys.executable, TOOL, folder], capture_output=True, text=True, check=False)
            if (run.returncode == 0) != allowed:
                failures += 1
                print(f"{path} with {include}: should be {'allowed' if allowed else 'refused'}\n{run.stdout}")
    print(f"{len(CASES)} cases, {failures} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
