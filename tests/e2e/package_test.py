"""The installed package: its headers, its symbols, and the examples built with nothing but it, wherever it lies.

Environment: LYRE_BUILD_DIR, the build folder that is installed.
"""

import array
import math
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
import wave

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ["LYRE_BUILD_DIR"])
PATIENCE_S = 300  # reached by a failing test only
RATE_HZ = 24000


def cached(name):
    """A value of the build's cache."""
    text = (BUILD / "CMakeCache.txt").read_text()
    return re.search(r"^%s:\w+=(.*)$" % name, text, re.MULTILINE).group(1)


def run(*command, **options):
    result = subprocess.run([str(word) for word in command], capture_output=True, timeout=PATIENCE_S, **options)
    if result.returncode != 0:
        raise AssertionError("%s\n%s\n%s" % (command, result.stdout.decode(), result.stderr.decode()))
    return result


def levels(samples):
    """Peak and root mean square, of full scale."""
    return max(map(abs, samples)), math.sqrt(sum(x * x for x in samples) / len(samples))


class Package(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.path = pathlib.Path(cls.folder.name)
        run("cmake", "--install", BUILD, "--prefix", cls.path / "installed")
        cls.prefix = cls.path / "moved"  # no path of the installation may be kept anywhere
        (cls.path / "installed").rename(cls.prefix)
        # What the examples are built with: the package, a compiler, and no development package of anything else.
        shutil.copytree(ROOT / "examples", cls.path / "examples")
        cls.compiler = cached("CMAKE_CXX_COMPILER")
        absent = ["-DCMAKE_DISABLE_FIND_PACKAGE_%s=ON" % name for name in ("Boost", "ICU", "spdlog", "fmt", "PkgConfig")]
        run("cmake", "-G", "Ninja", "-S", cls.path / "examples", "-B", cls.path / "build",
            "-DCMAKE_CXX_COMPILER=%s" % cls.compiler, "-DCMAKE_PREFIX_PATH=%s" % cls.prefix,
            "-DCMAKE_FIND_USE_PACKAGE_REGISTRY=OFF", "-DCMAKE_CXX_FLAGS=-O0 -Wall -Wextra -Werror", *absent)
        run("cmake", "--build", cls.path / "build")

    def setUp(self):
        # Only what the programs find by themselves.
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("LYRE_")}
        work = tempfile.TemporaryDirectory()
        self.addCleanup(work.cleanup)
        self.work = pathlib.Path(work.name)

    def example(self, name, *arguments, **environment):
        return run(self.path / "build" / name, *arguments, cwd=self.work, env=dict(self.environment, **environment))

    def assert_speech(self, samples, most_s):
        self.assertGreater(len(samples) / RATE_HZ, 0.4)
        self.assertLess(len(samples) / RATE_HZ, most_s)
        peak, rms = levels(samples)
        self.assertLess(peak, 1)
        self.assertGreater(peak, 0.05)
        self.assertGreater(rms, 0.005)

    def samples(self, name):
        with wave.open(str(self.work / name)) as file:
            self.assertEqual((file.getframerate(), file.getnchannels(), file.getsampwidth()), (RATE_HZ, 1, 2))
            samples = array.array("h", file.readframes(file.getnframes()))
        self.assertEqual(len(samples) % 2048, 0)
        return [x / 32768 for x in samples]

    def test_what_is_installed(self):
        files = {str(file.relative_to(self.prefix)) for file in self.prefix.rglob("*")}
        for file in ("bin/lyre", "lib/liblyre.so", "lib/cmake/lyre/lyreConfig.cmake", "lib/cmake/lyre/lyreTargets.cmake",
                     "lib/cmake/lyre/lyreConfigVersion.cmake", "lib/pkgconfig/lyre.pc", "include/lyre/lyre.h",
                     "share/lyre/voices/demo/lm", "share/lyre/voices/demo/codec"):
            self.assertIn(file, files)
        self.assertEqual([file for file in files if file.endswith((".a", ".cc"))], [])
        for file in (self.prefix / "lib/cmake/lyre").iterdir():
            self.assertNotIn(str(ROOT), file.read_text(), file)
            self.assertNotIn(str(self.path), file.read_text(), file)

    def test_the_program_finds_its_voice(self):
        run(self.prefix / "bin/lyre", "say", "Hello.", "-o", "a.wav", cwd=self.work, env=self.environment)
        self.assert_speech(self.samples("a.wav"), 5)

    def test_each_header_stands_alone(self):
        include = self.prefix / "include"
        headers = sorted(str(header.relative_to(include)) for header in include.rglob("*.h"))
        self.assertGreater(len(headers), 9)
        for header in headers:
            for mark, name in re.findall(r'^\s*#\s*include\s*([<"])(.+)[>"]', (include / header).read_text(), re.MULTILINE):
                # "lyre/..." or the standard library, whose names have no dot.
                self.assertIn(name, headers) if mark == '"' else self.assertNotIn(".", name, header)
        # Two at a time: that is as many cores as there may be.
        checks = []
        for header in headers + [None]:
            if header is not None:
                checks.append((header, subprocess.Popen(
                    [self.compiler, "-std=c++20", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-I", str(include),
                     "-x", "c++", "-"], stdin=subprocess.PIPE, stderr=subprocess.PIPE)))
                checks[-1][1].stdin.write(("#include <%s>\n" % header).encode())
                checks[-1][1].stdin.close()
            while len(checks) > (1 if header is not None else 0):
                name, process = checks.pop(0)
                errors = process.stderr.read().decode()
                process.stderr.close()
                self.assertEqual(process.wait(), 0, (name, errors))

    def test_the_library_shows_its_own_names_only(self):
        library = self.prefix / "lib/liblyre.so"
        names = run("nm", "-D", "--defined-only", "-C", library).stdout.decode().splitlines()
        names = [line.split(" ", 2)[2] for line in names]
        self.assertIn("lyre::Engine::submit(lyre::SynthesisRequest)", names)
        for name in names:
            self.assertRegex(name, r"^((vtable|typeinfo|typeinfo name) for )?lyre::")
            self.assertNotRegex(name, r"boost|spdlog|fmt::|hwy|LanguageModel|ThreadPool")
        self.assertLess(len(names), 150)
        dynamic = run("readelf", "-d", library).stdout.decode()
        self.assertRegex(dynamic, r"SONAME.*\[liblyre\.so\.\d+\.\d+\]")
        self.assertNotRegex(dynamic, r"R(UN)?PATH")

    def test_pkg_config(self):
        environment = dict(self.environment, PKG_CONFIG_PATH=str(self.prefix / "lib/pkgconfig"))
        flags = run("pkg-config", "--cflags", "--libs", "lyre", env=environment).stdout.decode().split()
        include, folder = (str(pathlib.Path(flag[2:]).resolve()) for flag in flags if flag[:2] in ("-I", "-L"))
        self.assertEqual((include, folder), (str((self.prefix / "include").resolve()), str((self.prefix / "lib").resolve())))
        self.assertIn("-llyre", flags)

    def test_automatic_warmup(self):
        result = self.example("automatic_warmup")
        self.assertIn("SNAC model warmup completed in", result.stderr.decode())
        self.assertRegex(result.stdout.decode(), r"first\.wav: first audio after [\d.]+ ms\nsecond\.wav: ")
        for name in ("first.wav", "second.wav"):
            self.assert_speech(self.samples(name), 5)
        off = self.example("automatic_warmup", ENABLE_SNAC_WARMUP="false")
        self.assertNotIn("SNAC model warmup completed in", off.stderr.decode())

    def test_manual_warmup(self):
        lines = self.example("manual_warmup").stdout.decode().splitlines()
        steps = dict(re.match(r"([\w.]+): (\w+) after ", line).groups() for line in lines[:-1])
        self.assertEqual(set(steps.values()), {"ok"}, lines)
        for part in ("lm", "codec", "text", "engine"):
            self.assertTrue(any(name.startswith(part + ".") for name in steps), (part, steps))
        self.assertRegex(lines[-1], r"^warm after [\d.]+ ms$")

    def test_speak_to_file(self):
        text = "It was raining when we came to the small house by the river."
        for name in ("a.wav", "b.wav"):
            self.example("speak_to_file", text, name)
        self.assert_speech(self.samples("a.wav"), 15)
        self.assertEqual(self.samples("a.wav"), self.samples("b.wav"))
        # The program says the same, bit by bit.
        run(self.prefix / "bin/lyre", "say", text, "--seed", 7, "-o", "c.wav", cwd=self.work, env=self.environment)
        self.assertEqual(self.samples("a.wav"), self.samples("c.wav"))
        self.assertNotEqual(subprocess.run([self.path / "build/speak_to_file", text, "/nowhere/a.wav"],
                                           capture_output=True).returncode, 0)

    def test_stream_with_callback(self):
        samples = array.array("f", self.example("stream_with_callback", "Hello there.").stdout)
        self.assert_speech(samples, 5)


if __name__ == "__main__":
    sys.exit(unittest.main())
