#!/usr/bin/env python3
"""The rules of the tree that no compiler knows (ARCHITECTURE.md, CONTRIBUTING.md).

  lint.py [ROOT]       checks the tree; prints FILE:LINE: rule: problem; exit status 1 if there is any
  lint.py --self-test  plants a violation of every rule in a temporary tree; each must be found, and nothing else

Only the standard library. Formatting is checked with clang-format 14, the version of the reference system: others
format differently. Where it is absent that rule says that it is skipped.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path, PurePosixPath

MAY_INCLUDE = {
    "base": set(),
    "tensor": {"base"},
    "text": {"base"},
    "lm": {"base", "tensor"},
    "codec": {"base", "tensor"},
    "audio": {"base"},
    "engine": {"base", "tensor", "text", "lm", "codec", "audio"},
    "server": {"base", "audio", "engine"},
    "apps": {"base", "audio", "engine", "server"},
}

# What programs include: all installed headers. Within the tree nothing may.
UMBRELLA = "src/lyre/lyre.h"

# Library headers: pattern, what it is, the folders that may include it (a folder stands for all below).
LIBRARIES = [
    (r"spdlog/", "the logging library", ["src/lyre/base"]),
    (r"boost/(asio|beast)\b", "Asio and Beast", ["src/lyre/server"]),
    (r"boost/json\b", "JSON", ["src/lyre/server", "src/lyre/text", "src/lyre/tensor", "src/lyre/lm", "src/lyre/codec",
                               "src/lyre/engine", "apps"]),
    (r"(libav\w*|libsw\w*)/", "FFmpeg", ["src/lyre/audio"]),
    (r"hwy/", "Highway", ["src/lyre/lm", "src/lyre/codec"]),
    (r"unicode/", "ICU", ["src/lyre/text"]),
    (r"pcre2\.h", "PCRE2", ["src/lyre/text"]),
    (r"prometheus/", "the metrics library", ["src/lyre/server"]),
    (r"CLI/", "the command line parser", ["apps"]),
]
CUDA_HEADER = re.compile(r"(cuda|cublas|cudnn|nvrtc|nvml|nvtx|cooperative_groups|cub/|thrust/|cutlass/|mma\.h)")
NOT_IN_HEADERS = re.compile(r"(boost/json\b|spdlog/|prometheus/)")

VAGUE_FOLDERS = {"utils", "util", "common", "helpers", "helper", "misc"}
SOURCES = {".h", ".cc", ".cu", ".cuh"}
HEADERS = {".h", ".cuh"}
FORMATTED = ("src/", "apps/", "examples/", "tests/", "bench/")
MACHINE_PATH = re.compile(r"(?<![\w.$}])/(?:home|root|work|Users|mnt)/\w")
MOST_TEXT_BYTES = 4 << 20

# In this order, so that a comment sign within a string is none, and the other way round.
LEXEMES = re.compile(r"""(?P<comment>//[^\n]*|/\*.*?\*/)|(?P<string>R"(\w*)\(.*?\)\3"|"(?:\\.|[^"\\\n])*"
                         |(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+')""", re.S | re.X)
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*[<"]([^>"]+)[>"]', re.M)
BUILD_FLAG = re.compile(r"^[ \t]*#[ \t]*(?:if|ifdef|ifndef|elif)\b.*\bLYRE_.*$", re.M)
PRINTS = re.compile(r"\bstd::(?:cout|cerr|clog|exit|abort|terminate|printf|fprintf|puts)\b|\bthrow\b|"
                    r"(?<![\w.:>])(?:printf|puts|exit|_exit)\(")

RULES = {}


def rule(function):
    RULES[function.__name__.replace("_", "-")] = function
    return function


class Tree:
    def __init__(self, root):
        self.root = Path(root).resolve()
        self.files = sorted(self._list())
        self.violations = []
        self.notes = []

    def _list(self):
        """Files of the repository: what git knows or would take, or all but build folders where there is no git."""
        if (self.root / ".git").exists():
            out = subprocess.run(["git", "-C", str(self.root), "ls-files", "-z", "--cached", "--others",
                                  "--exclude-standard"], capture_output=True, check=False)
            if out.returncode == 0:
                names = out.stdout.decode("utf-8", "surrogateescape").split("\0")
                return [PurePosixPath(name) for name in names if name and (self.root / name).is_file()]
        found = []
        for folder, folders, names in os.walk(self.root):
            folders[:] = [name for name in folders if name != ".git" and not name.startswith("build")]
            found += [PurePosixPath((Path(folder) / name).relative_to(self.root)) for name in names]
        return found

    def text(self, file):
        """Contents of a text file; nothing for a binary one."""
        data = (self.root / file).read_bytes()
        if b"\0" in data or len(data) > MOST_TEXT_BYTES:
            return ""
        return data.decode("utf-8", "replace")

    def sources(self, *folders, suffixes=SOURCES):
        for file in self.files:
            if file.suffix in suffixes and (not folders or str(file).startswith(folders)):
                yield file, self.text(file)

    def report(self, name, file, line, problem):
        self.violations.append((name, str(file), line, problem))


def line_of(text, at):
    return text.count("\n", 0, at) + 1


def blank(match):
    return re.sub(r"[^\n]", " ", match.group(0))


def without_comments(text):
    return LEXEMES.sub(lambda m: blank(m) if m.group("comment") else m.group(0), text)


def code_only(text):
    return LEXEMES.sub(blank, text)


def layer_of(file):
    """Row of the include table: the folder below src/lyre, or apps."""
    parts = file.parts
    if parts[0] == "apps":
        return "apps"
    return parts[2] if parts[:2] == ("src", "lyre") and len(parts) > 3 else None


def includes(text):
    text = without_comments(text)
    for match in INCLUDE.finditer(text):
        yield match.group(1), line_of(text, match.start(1))


@rule
def include_rule(tree, name):
    for file, text in tree.sources("src/", "apps/"):
        if str(file) == UMBRELLA:
            continue
        layer = layer_of(file)
        if layer not in MAY_INCLUDE:
            tree.report(name, file, 1, f"'{layer}' is not a folder of the include table")
            continue
        for header, line in includes(text):
            if not header.startswith("lyre/"):
                continue
            parts = header.split("/")
            target = parts[1] if len(parts) > 2 else "apps"  # the program's own headers: "lyre/settings.h"
            if target != layer and target not in MAY_INCLUDE[layer]:
                allowed = ", ".join(sorted(MAY_INCLUDE[layer])) or "nothing of ours"
                tree.report(name, file, line, f"{layer} includes {header}; it may include {allowed}")


@rule
def full_include_path(tree, name):
    for file, text in tree.sources("src/"):
        for header, line in includes(text):
            foreign = any(re.match(pattern, header) for pattern, _, _ in LIBRARIES)  # Highway's are quoted
            if f'"{header}"' in text and not header.startswith("lyre/") and not foreign:
                tree.report(name, file, line, f'"{header}": our headers are included as "lyre/FOLDER/FILE"')


@rule
def library_in_its_folder(tree, name):
    for file, text in tree.sources("src/", "apps/"):
        for header, line in includes(text):
            for pattern, what, folders in LIBRARIES:
                if re.match(pattern, header) and not str(file).startswith(tuple(f + "/" for f in folders)):
                    tree.report(name, file, line, f"{what} ({header}) belongs to {', '.join(folders)}")
            if CUDA_HEADER.match(header) and "cuda" not in file.parts[:-1]:
                tree.report(name, file, line, f"CUDA ({header}) belongs to a folder named cuda")


@rule
def library_not_in_header(tree, name):
    for file, text in tree.sources("src/", "apps/", suffixes=HEADERS):
        for header, line in includes(text):
            if NOT_IN_HEADERS.match(header):
                tree.report(name, file, line, f"{header} in a header: only .cc files may include it")


@rule
def no_build_flag_in_header(tree, name):
    for file, text in tree.sources("src/", "apps/", suffixes=HEADERS):
        code = without_comments(text)
        for match in BUILD_FLAG.finditer(code):
            # Highway compiles its -inl.h files once a target; their guard is no build flag.
            guard = str(file).endswith("-inl.h") and re.search(r"_INL_H_\b", match.group(0))
            if not guard:
                tree.report(name, file, line_of(code, match.start()), f"build flag in a header: {match.group(0).strip()}")


@rule
def launch_only_in_launch(tree, name):
    for file, text in tree.sources("src/", "apps/", "bench/", "tests/"):
        if file.stem == "launch":
            continue
        code = code_only(text)
        for match in re.finditer("<<<", code):
            tree.report(name, file, line_of(code, match.start()), "kernel launch outside launch()")


@rule
def library_does_not_print_exit_or_throw(tree, name):
    for file, text in tree.sources("src/"):
        if str(file) == "src/lyre/base/check.cc":  # the one place that may end the program
            continue
        code = code_only(text)
        for match in PRINTS.finditer(code):
            tree.report(name, file, line_of(code, match.start()), f"{match.group(0)} in the library")


@rule
def folder_has_a_purpose(tree, name):
    seen = set()
    for file in tree.files:
        for depth, part in enumerate(file.parts[:-1]):
            folder = PurePosixPath(*file.parts[:depth + 1])
            if part.lower() in VAGUE_FOLDERS and folder not in seen:
                seen.add(folder)
                tree.report(name, folder, 1, f"folder '{part}': a thing belongs to a stage or to base")


@rule
def pragma_once(tree, name):
    for file, text in tree.sources(suffixes=HEADERS):
        if str(file).endswith("-inl.h") and "HWY_TARGET_TOGGLE" in text:
            continue
        if not re.search(r"^#pragma once$", text, re.M):
            tree.report(name, file, 1, "#pragma once is missing")


@rule
def no_machine_path(tree, name):
    for file in tree.files:
        text = tree.text(file)
        for match in MACHINE_PATH.finditer(text):
            line = text[text.rfind("\n", 0, match.start()) + 1:].split("\n", 1)[0].strip()
            tree.report(name, file, line_of(text, match.start()), f"path of one machine: {line[:80]}")


def clang_format_14():
    for program in ("clang-format-14", "clang-format"):
        if shutil.which(program):
            out = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
            if re.search(r"version 14\.", out):
                return program
    return None


@rule
def clang_format(tree, name):
    program = clang_format_14()
    if program is None:
        tree.notes.append("clang-format: skipped, no version 14 is installed")
        return
    files = [str(file) for file, _ in tree.sources(*FORMATTED)]
    if not files:
        return
    out = subprocess.run([program, "--dry-run", "--style=file", *files], cwd=tree.root, capture_output=True, text=True,
                         check=False).stderr
    seen = set()
    for file, line in re.findall(r"^([^:\n]+):(\d+):\d+: warning: code should be clang-formatted", out, re.M):
        if file not in seen:  # the first place a file
            seen.add(file)
            tree.report(name, file, int(line), "not formatted: clang-format -i")


def check(root):
    tree = Tree(root)
    for name, function in RULES.items():
        function(tree, name)
    return tree


# --- self-test ---

HEADER = "#pragma once\n\n"
# Files that break no rule, though some look like it.
CLEAN = {
    "src/lyre/base/a.h": HEADER + "#include <string>\n",
    "src/lyre/lyre.h": HEADER + "#include \"lyre/engine/engine.h\"\n",
    "src/lyre/base/log.cc": "#include <spdlog/logger.h>\n\n#include \"lyre/base/a.h\"\n",
    "src/lyre/base/check.cc": "#include <cstdlib>\n\nvoid f() { std::abort(); }\n",
    "src/lyre/lm/b.cc": "#include <boost/json/value.hpp>\n\n#include \"lyre/lm/b.h\"\n#include \"lyre/tensor/c.h\"\n",
    "src/lyre/lm/b.h": HEADER + "// #include \"lyre/codec/d.h\": a comment; <<< too, and throw.\n"
                                "inline const char* f() { return \"<<< throw std::cout\"; }\n",
    "src/lyre/tensor/c.h": HEADER + "#include \"lyre/base/a.h\"\n",
    "src/lyre/codec/cpu/d-inl.h": "#if defined(LYRE_CODEC_CPU_D_INL_H_) == defined(HWY_TARGET_TOGGLE)\n"
                                  "#ifdef LYRE_CODEC_CPU_D_INL_H_\n#undef LYRE_CODEC_CPU_D_INL_H_\n#else\n"
                                  "#define LYRE_CODEC_CPU_D_INL_H_\n#endif\n#endif\n",
    "src/lyre/codec/cuda/launch.cu": "#include <cuda_runtime.h>\n\nvoid f() { g<<<1, 1>>>(); }\n",
    "src/lyre/server/e.cc": "#include <boost/asio/ip/tcp.hpp>\n\n#include \"lyre/engine/engine.h\"\n",
    "apps/lyre/main.cc": "#include <cstdio>\n\n#include \"lyre/server/server.h\"\n#include \"lyre/settings.h\"\n\n"
                         "int main() { std::puts(\"x\"); }\n",
    "tests/lm/b_test.cc": "#include \"lyre/codec/d.h\"\n#include \"support/compare.h\"\n",
    "docs/guide.md": "See /usr/share/lyre and http://host/home/page, or $HOME/work/x.\n",
}
MACHINE = "/".join(["", "home", "someone", "lyre"])
# Rule, file, contents.
PLANTED = [
    ("include-rule", "src/lyre/base/x.cc", "#include \"lyre/tensor/c.h\"\n"),
    ("include-rule", "src/lyre/text/x.cc", "#include \"lyre/tensor/c.h\"\n"),
    ("include-rule", "src/lyre/lm/x.cc", "#include \"lyre/codec/codec.h\"\n"),
    ("include-rule", "src/lyre/codec/cpu/x.cc", "#include \"lyre/lm/b.h\"\n"),
    ("include-rule", "src/lyre/audio/x.cc", "#include <lyre/engine/engine.h>\n"),
    ("include-rule", "src/lyre/engine/x.cc", "#include \"lyre/server/server.h\"\n"),
    ("include-rule", "src/lyre/server/x.cc", "#include \"lyre/lm/b.h\"\n"),
    ("include-rule", "apps/lyre/x.cc", "#include \"lyre/lm/b.h\"\n"),
    ("include-rule", "src/lyre/server/x.cc", "#include \"lyre/settings.h\"\n"),
    ("include-rule", "src/lyre/speech/x.cc", "int x;\n"),
    ("full-include-path", "src/lyre/lm/x.cc", "#include \"b.h\"\n"),
    ("library-in-its-folder", "src/lyre/lm/x.cc", "#include <cuda_runtime.h>\n"),
    ("library-in-its-folder", "src/lyre/lm/cuda.cc", "#include <cublasLt.h>\n"),
    ("library-in-its-folder", "src/lyre/engine/x.cc", "#include <boost/asio.hpp>\n"),
    ("library-in-its-folder", "apps/lyre/x.cc", "#include <boost/beast/http.hpp>\n"),
    ("library-in-its-folder", "src/lyre/server/x.cc", "#include <libavcodec/avcodec.h>\n"),
    ("library-in-its-folder", "src/lyre/audio/x.cc", "#include <boost/json.hpp>\n"),
    ("library-in-its-folder", "src/lyre/base/x.cc", "#include <boost/json.hpp>\n"),
    ("library-in-its-folder", "src/lyre/engine/x.cc", "#include <spdlog/spdlog.h>\n"),
    ("library-in-its-folder", "src/lyre/server/x.cc", "#include <CLI/CLI.hpp>\n"),
    ("library-not-in-header", "src/lyre/text/x.h", HEADER + "#include <boost/json/value.hpp>\n"),
    ("library-in-its-folder", "src/lyre/engine/x.cc", "#include <prometheus/gauge.h>\n"),
    ("library-not-in-header", "src/lyre/server/x.h", HEADER + "#include <prometheus/gauge.h>\n"),
    ("library-not-in-header", "src/lyre/base/x.h", HEADER + "#include <spdlog/logger.h>\n"),
    ("no-build-flag-in-header", "src/lyre/lm/x.h", HEADER + "#ifdef LYRE_HAVE_CUDA\nint x();\n#endif\n"),
    ("no-build-flag-in-header", "src/lyre/lm/x.h", HEADER + "#if defined(A) && LYRE_CUDA\nint x();\n#endif\n"),
    ("launch-only-in-launch", "src/lyre/lm/cuda/x.cu", "void f() { g<<<1, 2>>>(); }\n"),
    ("library-does-not-print-exit-or-throw", "src/lyre/lm/x.cc", "void f() { std::cout << 1; }\n"),
    ("library-does-not-print-exit-or-throw", "src/lyre/lm/x.cc", "void f() { exit(1); }\n"),
    ("library-does-not-print-exit-or-throw", "src/lyre/lm/x.cc", "void f() { throw 1; }\n"),
    ("folder-has-a-purpose", "src/lyre/base/utils/x.cc", "int x;\n"),
    ("folder-has-a-purpose", "tests/common/x.py", "x = 1\n"),
    ("folder-has-a-purpose", "tools/Helpers/x.py", "x = 1\n"),
    ("pragma-once", "src/lyre/lm/x.h", "#ifndef X\n#define X\n#endif\n"),
    ("pragma-once", "tests/support/x.h", "int x;\n"),
    ("no-machine-path", "tools/x.py", f"path = '{MACHINE}'\n"),
    ("no-machine-path", "src/lyre/lm/x.cc", f"// see {MACHINE}\n"),
    ("clang-format", "src/lyre/lm/x.cc", "int   x;\n"),
    ("clang-format", "tests/lm/x_test.cc", "int f( ) { return 1; }\n"),
]


def write(root, files):
    for name, contents in files.items():
        path = Path(root) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(contents, encoding="utf-8")


def self_test():
    failures = []
    style = (Path(__file__).resolve().parents[2] / ".clang-format").read_text(encoding="utf-8")
    can_format = clang_format_14() is not None
    with tempfile.TemporaryDirectory() as root:
        write(root, {**CLEAN, ".clang-format": style})
        for violation in check(root).violations:
            failures.append(f"the clean tree has a violation: {violation}")
    for expected, file, contents in PLANTED:
        if expected == "clang-format" and not can_format:
            continue
        with tempfile.TemporaryDirectory() as root:
            write(root, {**CLEAN, file: contents, ".clang-format": style})
            found = [violation[0] for violation in check(root).violations]
            if found != [expected]:
                failures.append(f"{file} with {contents!r}: expected [{expected}], found {found}")
    for name in RULES.keys() - {planted[0] for planted in PLANTED}:
        failures.append(f"no violation of {name} is planted")
    for failure in failures:
        print(failure)
    if not can_format:
        print("clang-format: not tested, no version 14 is installed")
    print(f"{len(PLANTED)} planted violations of {len(RULES)} rules: {'FAILED' if failures else 'all found'}")
    return 1 if failures else 0


def main(arguments):
    if arguments == ["--self-test"]:
        return self_test()
    tree = check(arguments[0] if arguments else Path(__file__).resolve().parents[2])
    for name, file, line, problem in tree.violations:
        print(f"{file}:{line}: {name}: {problem}")
    for note in tree.notes:
        print(note)
    print(f"{len(tree.files)} files, {len(tree.violations)} violations")
    return 1 if tree.violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
