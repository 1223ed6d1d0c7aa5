"""check_baseline.py finds each way out of a kernel's file. Usage: check_baseline_test.py COMPILER NM OBJDUMP"""
import pathlib
import subprocess
import sys
import tempfile
import unittest

CHECK = pathlib.Path(__file__).resolve().parents[2] / "tools" / "check_baseline.py"
COMPILER, NM, OBJDUMP = sys.argv[1:4]

WIDE = '__attribute__((target("avx2,fma"))) '
BODY = "(float* x) { for (int i = 0; i < 64; ++i) x[i] = x[i] * 3.0f + 1.0f; }\n"
TABLE = "extern void (*const table)(float*);\nvoid (*const table)(float*) = work;\n"
GOOD = "namespace { " + WIDE + "void work" + BODY + "}\n" + TABLE


class CheckBaseline(unittest.TestCase):
    def check(self, **sources):
        """Exit code and output for object files compiled from sources."""
        with tempfile.TemporaryDirectory() as folder:
            objects = []
            for name, text in sources.items():
                source = pathlib.Path(folder) / f"{name}.cpp"
                source.write_text(text)
                objects.append(str(source.with_suffix(".o")))
                subprocess.run([COMPILER, "-O2", "-ftree-vectorize", "-c", str(source), "-o", objects[-1]],
                               check=True)
            run = subprocess.run([sys.executable, CHECK, "--nm", NM, "--objdump", OBJDUMP, *objects],
                                 capture_output=True, text=True)
            return run.returncode, run.stdout

    def test_a_kernel_that_keeps_to_itself_passes(self):
        self.assertEqual(self.check(kernels_good=GOOD, other="int other() { return 1; }\n"), (0, ""))

    def test_a_second_exported_symbol_is_found(self):
        code, text = self.check(kernels_two=GOOD + "int second() { return 1; }\n")
        self.assertEqual(code, 1)
        self.assertIn("exports 2 symbols", text)

    def test_a_weak_wide_function_is_found_in_any_object(self):
        weak = WIDE + "inline void leaks" + BODY + "void (*use)(float*) = leaks;\n"
        code, text = self.check(kernels_good=GOOD, other=weak)
        self.assertEqual(code, 1)
        self.assertIn("the weak function _Z5leaksPf holds 'v", text)

    def test_a_kernel_compiled_for_the_baseline_is_found(self):
        code, text = self.check(kernels_plain=GOOD.replace(WIDE, ""), other="int other() { return 1; }\n")
        self.assertEqual(code, 1)
        self.assertIn("no wide instruction, expected", text)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
