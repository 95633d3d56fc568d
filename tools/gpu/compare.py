#!/usr/bin/env python3
"""One Markdown table out of the JSON of cuda_bench and of bench_pytorch.py: lyre's rows, PyTorch's of the same size, ratios.

    python3 tools/gpu/compare.py LYRE.json [LYRE_FP8.json ...] PYTORCH.json

A ratio above 1 says how many times faster lyre is. Only the standard library.
"""
import json
import sys
from pathlib import Path


def ms(value):
    return "" if value is None else f"{value:.3f}" if value < 100 else f"{value:.0f}"


def size_of(row):
    return {key: row[key] for key in ("batch", "tokens", "frames", "what") if key in row}


def rows_of(reports, name, **wanted):
    """[(how, row)] in the order of the reports."""
    found = []
    for report in reports:
        for row in report["results"]:
            if row["name"] == name and all(row.get(key) == value for key, value in wanted.items()):
                found.append((label(report, row), row))
    return found


def label(report, row):
    if report["bench"] == "pytorch":
        return "PyTorch " + row.get("how", "eager")
    if row["name"].startswith("codec"):
        return "lyre"
    weights = "bf16" if report["weights"] == "stored" else report["weights"]
    return f"lyre {weights}" + (", fp8 KV" if report["kv"] == "fp8" else "")


def table(head, rows):
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head)] + rows)


TITLES = {"decode": "Language model, one step", "prefill": "Language model, prompt to first token",
          "codec": "Codec, one push", "codec_preview": "Codec, first frame with its preview",
          "codec_first": "Codec, first calls of a fresh process", "first": "First request of a fresh process",
          "start": "Start", "both": "Both together, one frame of each stream (85.3 ms of audio)"}


def section(name, lyre, torch):
    sizes = []
    for report in lyre + torch:
        for row in report["results"]:
            if row["name"] == name and size_of(row) not in sizes:
                sizes.append(size_of(row))
    rows = []
    for size in sizes:
        ours, theirs = rows_of(lyre, name, **size), rows_of(torch, name, **size)
        if name.startswith("codec") and ours:
            ours = ours[:1]  # the language model's format says nothing about the codec
        title = ", ".join(value if key == "what" else f"{key} {value}" for key, value in size.items())
        best = min((row["ms_p50"] for _, row in ours if "ms_p50" in row), default=None)
        for how, row in ours + theirs:
            extra = []
            if "gb_per_s" in row:
                extra.append(f"{row['gb_per_s']:.0f} GB/s")
            if "percent_of_read_bandwidth" in row:
                extra.append(f"{row['percent_of_read_bandwidth']:.0f} % of reading")
            if "real_time_factor" in row:
                extra.append(f"RTF {row['real_time_factor']:.4f}")
            if "tflop_per_s" in row:
                extra.append(f"{row['tflop_per_s']:.0f} TFLOP/s")
            if "first_ms" in row:
                extra.append(f"first {row['first_ms']:.2f} ms, {row['first_over_steady']:.2f} times the median")
            extra += [f"{key[:-3].replace('_', ' ')} {row[key]:.0f} ms" for key in row if name == "start" and key.endswith("_ms")]
            ratio = ""
            if how.startswith("PyTorch") and best and "ms_p50" in row:
                ratio = f"{row['ms_p50'] / best:.2f}"
            rows.append([title, how, ms(row.get("ms_p50")), ms(row.get("ms_p90")), ratio, ", ".join(extra)])
    if not rows:
        return ""
    head = ["size", "program", "ms, p50", "ms, p90", "times lyre's best", "further"]
    return f"### {TITLES.get(name, name)}\n\n{table(head, rows)}"


def main():
    reports = [json.loads(Path(path).read_text()) for path in sys.argv[1:]]
    if not reports:
        sys.exit(__doc__)
    lyre = [report for report in reports if report["bench"] == "lyre"]
    torch = [report for report in reports if report["bench"] == "pytorch"]
    head = [f"GPU: {reports[0]['gpu']}."]
    for report in lyre[:1]:
        head.append(f"Measured: read {report['read_gb_per_s']:.0f}, copy {report['copy_gb_per_s']:.0f}, upload "
                    f"{report['upload_gb_per_s']:.1f} GB/s.")
    for report in torch[:1]:
        head.append(" ".join(f"{name} {version}" for name, version in report["versions"].items()) + ".")
    parts = [" ".join(head)] + [section(name, lyre, torch) for name in TITLES]
    print("\n\n".join(part for part in parts if part))


if __name__ == "__main__":
    main()
