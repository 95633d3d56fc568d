"""Keys, turns and reloads of lyre serve."""

import os
import pathlib
import signal
import tempfile
import unittest

from lyre_program import LONG_TEXT, Server, lyre


class Gate(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.keys = pathlib.Path(folder.name) / "keys"
        self.write_keys("anna key-of-anna\n")

    def write_keys(self, text):
        self.keys.write_text(text)
        self.keys.chmod(0o600)

    def status(self, server, key, path="/v1/models"):
        connection = server.connect()
        connection.request("GET", path, headers={"Authorization": "Bearer " + key})
        response = connection.getresponse()
        response.read()
        connection.close()
        return response.status

    def test_keys_are_asked_for_and_read_again(self):
        with Server("--api-keys-file", self.keys) as server:  # warm: its own requests need none
            self.assertEqual(self.status(server, "key-of-anna"), 200)
            self.assertEqual(self.status(server, "key-of-bert"), 401)
            self.assertEqual(server.get("/readyz")[0], 200)
            self.write_keys("bert key-of-bert\n")
            server.process.send_signal(signal.SIGHUP)
            server.wait_for("reloaded", what="api keys")
            self.assertEqual(self.status(server, "key-of-anna"), 401)
            self.assertEqual(self.status(server, "key-of-bert"), 200)
            self.write_keys("short\n")
            server.process.send_signal(signal.SIGHUP)
            self.assertIn("keys:1", server.wait_for("not reloaded", what="api keys")["error"])
            self.assertEqual(self.status(server, "key-of-bert"), 200)
            for line in server.log:
                self.assertNotIn("key-of-", str(line))

    def test_a_bad_file_of_keys_ends_the_start(self):
        result = lyre("serve", "--port", 0, "--api-keys-file", self.keys.parent / "none")
        self.assertEqual(result.returncode, 2, result.stderr)
        self.assertIn(b"API keys", result.stderr)

    def test_names_for_voices_are_read_again(self):
        settings = self.keys.parent / "lyre.toml"
        settings.write_text('[voice_aliases]\nnarrator = "ada"\n')
        with Server("--config", settings) as server:
            self.assertEqual(server.speak(input="Hi.", voice="teller", max_tokens=7).status, 400)
            settings.write_text('[voice_aliases]\nteller = "ada"\n')
            server.process.send_signal(signal.SIGHUP)
            server.wait_for("reloaded", what="voice aliases")
            self.assertEqual(server.speak(input="Hi.", voice="teller", max_tokens=7).status, 200)
            self.assertEqual(server.speak(input="Hi.", voice="narrator", max_tokens=7).status, 400)

    def test_what_has_no_effect_is_told(self):
        environment = dict(os.environ, TRT_DTYPE="float16", LYRE_PROT="80", TRT_MAX_TOKENS="14")
        with Server(environment=environment) as server:
            for name in ("TRT_DTYPE", "LYRE_PROT"):
                server.wait_for("a variable of the environment has no effect", name=name)
            # And what has one has it: two frames.
            response = server.speak(input=LONG_TEXT, response_format="pcm")
            self.assertEqual(response.status, 200)
            response.read()
            self.assertEqual(server.wait_for("speech", status=200)["finish"], "length")


if __name__ == "__main__":
    unittest.main()
