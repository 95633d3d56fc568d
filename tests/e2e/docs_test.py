"""The examples of the documentation do what it says: every ```sh block of a page runs, in order, in one folder."""

import os
import pathlib
import re
import subprocess
import tempfile
import unittest

from lyre_program import LONG_TEXT, PATIENCE_S, PROGRAM, Server

DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs"


class Examples(unittest.TestCase):
    def blocks(self, page):
        return re.findall(r"^```sh\n(.*?)^```", (DOCS / page).read_text(encoding="utf-8"),
                          re.MULTILINE | re.DOTALL)

    def run_page(self, page, port=None):
        blocks = self.blocks(page)
        self.assertGreater(len(blocks), 3)
        path = os.path.dirname(PROGRAM) + os.pathsep + os.environ["PATH"]
        with tempfile.TemporaryDirectory() as folder:
            pathlib.Path(folder, "chapter.txt").write_text(LONG_TEXT)
            for block in blocks:
                if port is not None:
                    self.assertIn("127.0.0.1:9090", block)
                    block = block.replace("127.0.0.1:9090", "127.0.0.1:%d" % port)
                result = subprocess.run(["bash", "-euo", "pipefail", "-c", block], cwd=folder,
                                        env=dict(os.environ, PATH=path), capture_output=True,
                                        timeout=PATIENCE_S)
                self.assertEqual(result.returncode, 0, (block, result.stdout, result.stderr))
            files = {file.name: file.stat().st_size for file in pathlib.Path(folder).iterdir()}
        return files

    def test_command(self):
        files = self.run_page("command.md")
        for name in ("hello.wav", "chapter.wav", "piped.wav", "samples.pcm", "report.json",
                     "again.wav", "bench.json", "warmup-demo.json"):
            self.assertGreater(files[name], 200, name)

    def test_http(self):
        with Server() as server:
            files = self.run_page("http.md", server.port)
            status, description = server.get("/openapi.json")
        for name in ("a.pcm", "max.pcm", "slow.wav", "events.txt", "together.txt", "fast.pcm", "lines.json",
                     "predicted.pcm"):
            self.assertGreater(files[name], 10000, name)
        for name in ("hello.mp3", "eleven.mp3"):
            self.assertGreater(files[name], 2000, name)
        # Every endpoint but the other names of some and the WebSockets has an example.
        self.assertEqual(status, 200)
        examples = "".join(self.blocks("http.md"))
        for path, item in description["paths"].items():
            if "$ref" in item or any("WebSocket" in operation["tags"] for operation in item.values()):
                continue
            form = re.sub(r"\\{\w+\\}", r"[^/ ]+", re.escape(path))
            self.assertRegex(examples, r"127\.0\.0\.1:9090" + form + r"[?\" \n]")

    def test_library_shows_the_examples_as_they_are(self):
        page = (DOCS / "library.md").read_text(encoding="utf-8")
        shown = dict(re.findall(r"^\[[\w.]+\]\(\.\./examples/([\w.]+)\)[^\n]*\n\n```\w+\n(.*?)^```$", page,
                                re.MULTILINE | re.DOTALL))
        files = {file.name: file.read_text(encoding="utf-8") for file in (DOCS.parent / "examples").iterdir()}
        self.assertEqual(shown, files)


if __name__ == "__main__":
    unittest.main()
