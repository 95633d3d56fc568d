"""Many clients of mixed manners for a short while: tools/load_test.py says what is checked."""

import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

from lyre_program import PATIENCE_S, PROGRAM

TOOL = pathlib.Path(__file__).resolve().parents[2] / "tools" / "load_test.py"


class Load(unittest.TestCase):
    def run_tool(self, *arguments):
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder, "load.json")
            result = subprocess.run([sys.executable, TOOL, PROGRAM, "--json", file, *arguments],
                                    capture_output=True, text=True, timeout=PATIENCE_S)
            self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
            return json.loads(file.read_text())

    def test_everybody_gets_what_is_right(self):
        # Within seconds the process still grows by the keys and values of sequences that none has used before; whether
        # it stays flat is for a run of minutes (docs/benchmarks).
        found = self.run_tool("--connections", "40", "--seconds", "8", "--growth-mib", "64")
        self.assertGreater(found["completed"], 0)
        self.assertGreater(found["left"], 0)
        self.assertGreater(found["slow"], 0)

    def test_more_than_the_queue_takes(self):
        found = self.run_tool("--connections", "60", "--rate", "1000", "--seconds", "3", "--only-pcm", "--leave", "0",
                              "--", "--max-batch", "2", "--max-queue", "2")
        self.assertGreater(found["completed"], 0)
        self.assertGreater(found["busy"], 0)


if __name__ == "__main__":
    unittest.main()
