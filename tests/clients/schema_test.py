"""Requests made up by schemathesis from the server's own description: no failure of the server, every answer as described."""

import pathlib
import subprocess
import sys
import unittest

from served import PATIENCE_S, ServedTestCase

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


class Schema(ServedTestCase):
    # Short speech: it is the answers' form that is looked at.
    FLAGS = ("--max-sequence-tokens", 256, "--max-text-bytes", 200)

    def test_every_operation(self):
        program = pathlib.Path(sys.executable).with_name("schemathesis")
        result = subprocess.run(
            [program, "run", self.server.url("/openapi.json"), "--checks", CHECKS, "--max-examples", "20", "--seed", "1",
             "--generation-deterministic", "--phases", "fuzzing", "--no-color"],
            capture_output=True, text=True, timeout=PATIENCE_S)
        self.assertEqual(result.returncode, 0, result.stdout[-8000:] + result.stderr[-2000:])
        self.assert_idle_again()


if __name__ == "__main__":
    unittest.main()
