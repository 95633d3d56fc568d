"""Times the public PyTorch SNAC: whole decode of random codes, float32 on the CPU, weight norm removed, noise on.

    taskset -c 0,1 python3 bench_pytorch_snac.py CODEC_DIR --threads 2 --frames 40,1 --json OUT

CODEC_DIR is a SNAC folder, e.g. of make_random_voice.py. Needs requirements-golden.txt. Loading is not timed.
"""
import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import time
from pathlib import Path

import torch
from snac import SNAC
from torch.nn.utils import parametrize


def cpu_model():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def load(folder):
    codec = SNAC.from_pretrained(folder)
    for module in codec.modules():
        if parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)
    return codec.float().eval()


def measure(codec, frames, most_s):
    """Wall seconds of each decode, after a warm-up of three."""
    codes = [torch.randint(codec.codebook_size, (1, frames * k)) for k in (1, 2, 4)]
    seconds = []
    with torch.inference_mode():
        for _ in range(3):
            codec.decode(codes)
        start = time.perf_counter()
        while len(seconds) < 10 or (time.perf_counter() - start < most_s and len(seconds) < 100):
            before = time.perf_counter()
            pcm = codec.decode(codes)
            seconds.append(time.perf_counter() - before)
    audio_s = pcm.shape[-1] / codec.sampling_rate
    median = statistics.median(seconds)
    return {"frames": frames, "audio_s": audio_s, "runs": len(seconds), "median_s": median, "min_s": min(seconds),
            "p90_s": sorted(seconds)[int(0.9 * (len(seconds) - 1))], "ms_per_frame": 1e3 * median / frames,
            "real_time_factor": median / audio_s}


def main():
    a = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    a.add_argument("codec")
    a.add_argument("--threads", type=int, default=2)
    a.add_argument("--frames", default="40,1")
    a.add_argument("--seconds", type=float, default=20, help="at most this long a length, at least ten runs")
    a.add_argument("--json", type=Path)
    o = a.parse_args()
    torch.set_num_threads(o.threads)
    torch.manual_seed(0)
    codec = load(o.codec)
    report = {"what": "PyTorch snac whole decode, float32, CPU, weight norm removed, noise on",
              "command": f"taskset -c ... python3 bench_pytorch_snac.py CODEC_DIR --threads {o.threads} --frames {o.frames}",
              "machine": {"cpu": cpu_model(), "cores_allowed": len(os.sched_getaffinity(0)),
                          "cpu_capability": torch.backends.cpu.get_cpu_capability()},
              "threads": torch.get_num_threads(),
              "versions": {"python": platform.python_version(), **{p: importlib.metadata.version(p) for p in ("torch", "snac", "numpy")}},
              "codec": {k: getattr(codec, k) for k in ("decoder_dim", "latent_dim", "codebook_size", "vq_strides")},
              "results": [measure(codec, int(f), o.seconds) for f in o.frames.split(",")]}
    text = json.dumps(report, indent=1)
    print(text)
    if o.json:
        o.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
