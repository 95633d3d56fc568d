#!/usr/bin/env python3
"""Sums up `ncu --csv --page raw` by kernel and grid: python3 tools/gpu/profile_table.py FILE.csv"""
import csv
import sys
from collections import defaultdict

FIELDS = {"us": "gpu__time_duration.sum", "dram_percent": "dram__throughput.avg.pct_of_peak_sustained_elapsed",
          "dram_bytes": "dram__bytes_read.sum", "sm_percent": "sm__throughput.avg.pct_of_peak_sustained_elapsed",
          "registers": "launch__registers_per_thread"}
TIME_SCALE = {"ns": 1e-3, "nsecond": 1e-3, "us": 1, "usecond": 1, "ms": 1e3, "msecond": 1e3, "s": 1e6, "second": 1e6}
BYTE_SCALE = {"byte": 1, "Kbyte": 1e3, "Mbyte": 1e6, "Gbyte": 1e9}


def number(text):
    try:
        return float(text.replace(",", ""))
    except ValueError:
        return 0.0


def main():
    lines = [line for line in open(sys.argv[1], encoding="utf-8", errors="replace") if line.startswith('"')]
    rows = list(csv.DictReader(lines))
    if len(rows) < 2:
        sys.exit("no kernels in " + sys.argv[1])
    units, rows = rows[0], rows[1:]
    groups = defaultdict(list)
    for row in rows:
        name = row.get("Kernel Name", "?").split("(")[0].replace("void ", "").replace("lyre::cuda::", "")
        groups[name[:70], row.get("Grid Size", "")].append(row)
    scale = TIME_SCALE.get(units.get(FIELDS["us"], "us"), 1)
    byte_scale = BYTE_SCALE.get(units.get(FIELDS["dram_bytes"], "byte"), 1)
    total = sum(number(row.get(FIELDS["us"], "0")) for row in rows) * scale
    print("%-72s %-16s %6s %9s %7s %7s %7s %8s %4s" % ("kernel", "grid", "times", "us each", "% time", "% dram", "% sm", "MB read", "regs"))
    for (name, grid), members in sorted(groups.items(), key=lambda item: -sum(number(r.get(FIELDS["us"], "0")) for r in item[1]))[:40]:
        mean = lambda key: sum(number(r.get(FIELDS[key], "0")) for r in members) / len(members)
        us = mean("us") * scale
        print("%-72s %-16s %6d %9.2f %7.1f %7.1f %7.1f %8.2f %4.0f" % (name, grid, len(members), us, 100 * us * len(members) / total,
              mean("dram_percent"), mean("sm_percent"), mean("dram_bytes") * byte_scale / 1e6, mean("registers")))


if __name__ == "__main__":
    main()
