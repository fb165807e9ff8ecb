#!/usr/bin/env python3
"""Plants a fault in the PTX of one kernel after the other, and says whether the interpreter or the bits tell of it.

faults.py PTX-FOLDER PATTERN [REPLACEMENT] -- COMMAND ...
Of every line that matches PATTERN, in turn, the match becomes REPLACEMENT (nothing: the line is dropped). COMMAND runs
with SELFSAME_CUDA_HOST_PTX set, and is to end with 0 if the bits are right; 99 is the interpreter's. Prints a line for
each fault, and a sum. The exit status is 1 if a fault goes unseen that --unseen=N does not allow for."""
import glob
import os
import re
import subprocess
import sys
import tempfile


def faults(path, pattern):
    """Each line that matches: its number, its place in the source, its kernel."""
    kernel, place, files = "", "", {}
    for number, line in enumerate(open(path, encoding="utf-8").read().split("\n")):
        if match := re.match(r'\s*\.file\s+(\d+) "(.*)"', line):
            files[match[1]] = os.path.basename(match[2])
        if match := re.search(r"\.entry (\w+)", line):
            kernel = match[1]
        if match := re.match(r"\s*\.loc\s+(\d+) (\d+)", line):
            place = f"{files.get(match[1], '?')}:{match[2]}"
        if re.search(pattern, line):
            yield number, place, kernel


def verdict_of(paths, path, number, pattern, replacement, command):
    """Runs the command with one line changed."""
    lines = open(path, encoding="utf-8").read().split("\n")
    lines[number] = re.sub(pattern, replacement, lines[number]) if replacement else ""
    with tempfile.NamedTemporaryFile("w", suffix=".ptx") as changed:
        changed.write("\n".join(lines))
        changed.flush()
        modules = ":".join(changed.name if p == path else p for p in paths)
        result = subprocess.run(command, env=dict(os.environ, SELFSAME_CUDA_HOST_PTX=modules), stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
    kinds = sorted(set(re.findall(r"^ptx: ((?!note)[a-z ]+): ", result.stdout, re.M)))
    if kinds:
        return "reported", kinds
    return ("UNSEEN" if result.returncode == 0 else "bits"), kinds


def main():
    allowed = 0
    words = sys.argv[1:]
    if words and words[0].startswith("--unseen="):
        allowed = int(words.pop(0).split("=")[1])
    split = words.index("--")
    folder, pattern, replacement = (words[:split] + [""])[:3]
    command = words[split + 1:]
    paths = sorted(glob.glob(os.path.join(folder, "*.ptx")))
    counts = {}
    for path in paths:
        for number, place, kernel in faults(path, pattern):
            verdict, kinds = verdict_of(paths, path, number, pattern, replacement, command)
            counts[verdict] = counts.get(verdict, 0) + 1
            print(f"{verdict:8} {os.path.basename(path)}:{number + 1} {place} {kernel[:70]} {kinds}", flush=True)
    print(counts)
    return counts.get("UNSEEN", 0) > allowed or not counts


if __name__ == "__main__":
    sys.exit(main())
