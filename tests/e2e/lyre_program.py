"""The program under test, and a server of it, for the end-to-end tests.

Environment: LYRE_PROGRAM, path of the program; LYRE_VOICE_DIR, the demo voice.
"""

import http.client
import json
import os
import socket
import subprocess
import threading
import time

PROGRAM = os.environ["LYRE_PROGRAM"]
VOICE = os.environ["LYRE_VOICE_DIR"]
PATIENCE_S = 300  # reached by a failing test only

# More than twenty seconds of speech, far more than the engine may be ahead of its reader.
LONG_TEXT = " ".join(
    "This is sentence number %s of a text that takes a while to speak aloud." % name
    for name in "one two three four five six seven eight".split())


def lyre(*arguments, **options):
    """Runs the program to its end."""
    options.setdefault("timeout", PATIENCE_S)
    return subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, **options)


def eventually(condition):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


class Server:
    """`lyre serve` on a free port or on `port`; its log is read line by line. Not `ready`: it only listens yet."""

    def __init__(self, *flags, ready=True, environment=None, port=0):
        self.flags = [str(flag) for flag in flags]
        self._first_line = "ready" if ready else "listening"
        self._environment = environment
        self.port = port
        self.log = []
        self._open = []  # connections and responses
        self._ended = False  # no line of the log will follow
        self._changed = threading.Condition()

    def __enter__(self):
        self.process = subprocess.Popen(
            [PROGRAM, "serve", "--port", str(self.port), "--log-format", "json", *self.flags],
            stderr=subprocess.PIPE, text=True, env=self._environment)
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        url = self.wait_for(self._first_line)["url"]
        self.port = int(url.rsplit(":", 1)[1])
        return self

    def __exit__(self, *unused):
        for thing in reversed(self._open):
            thing.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join()
        self.process.stderr.close()

    def _read_log(self):
        for line in self.process.stderr:
            with self._changed:
                try:
                    self.log.append(json.loads(line))
                except ValueError:
                    self.log.append({"message": line.strip()})
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def wait_for(self, message, **fields):
        """The first line of the log with this message and these fields."""
        def found():
            for line in self.log:
                if line["message"] == message and all(line.get(k) == v for k, v in fields.items()):
                    return line
            return None

        with self._changed:
            self._changed.wait_for(lambda: found() or self._ended, timeout=PATIENCE_S)
            if not found():
                raise AssertionError("the log never said %r %r: %r" % (message, fields, self.log))
            return found()

    def connect(self):
        self._open.append(http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S))
        return self._open[-1]

    def speak(self, connection=None, path="/v1/audio/speech", **fields):
        """Starts a request, for wav unless told otherwise; the body of the response has not been read."""
        fields.setdefault("response_format", "wav")
        connection = connection or self.connect()
        connection.request("POST", path, json.dumps(fields),
                           {"Content-Type": "application/json"})
        self._open.append(connection.getresponse())
        return self._open[-1]

    def get(self, path):
        connection = self.connect()
        connection.request("GET", path)
        response = connection.getresponse()
        body = json.loads(response.read())
        connection.close()
        return response.status, body

    def url(self, path):
        return "http://127.0.0.1:%d%s" % (self.port, path)


def reset(connection):
    """Closes a connection as a killed program does."""
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.sock.close()
    connection.close()
