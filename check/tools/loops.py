#!/usr/bin/env python3
"""Looks at the innermost loops of the fused engine's kernels in machine code: usage: loops.py OBJECT [--all]

Prints each loop that is mostly fused multiply-adds, with its instructions, FMAs, broadcasts, and the chains that it keeps on
the stack: places there that a turn reads before it writes them. Such a chain waits for a store and a load in every turn,
which costs 15 to 20 % of a layer, and no test of bits can see it. (A value that a turn writes and reads again costs little.)
Exit status: 0 no loop has such a chain; 1 one has; 2 no loops were found at all.
"""
import re
import subprocess
import sys

KERNEL = re.compile(r'(direct|winograd)_(forward|data|weight)_')
SLOT = re.compile(r'(-?0x[0-9a-f]+|)\(%r[sb]p\)')
STORE = re.compile(r'\tvmov[au]p[sd]\s+%[xyz]mm\d+,(.*)$')
LEAST_SHARE = 0.35  # of FMAs in a loop of products; transforms and sinks have fewer, and may use the stack


def functions(path):
    text = subprocess.run(['objdump', '-d', '--no-show-raw-insn', path], capture_output=True, text=True, check=True).stdout
    name, body = None, []
    for line in text.split('\n'):
        label = re.match(r'[0-9a-f]+ <(.*)>:', line)
        if label:
            if name:
                yield name, body
            name, body = label.group(1), []
        elif name and ':\t' in line:
            body.append(line.strip())
    if name:
        yield name, body


def innermost_loops(body):
    place = {int(line.split(':')[0], 16): i for i, line in enumerate(body)}
    loops = []
    for i, line in enumerate(body):
        jump = re.search(r'\tj\w+\s+([0-9a-f]+)', line)
        if jump and place.get(int(jump.group(1), 16), i) < i:
            loops.append((place[int(jump.group(1), 16)], i))
    return [body[a:b + 1] for a, b in loops if not any(a <= c and d <= b and (c, d) != (a, b) for c, d in loops)]


def chains_on_stack(loop):
    read, carried = set(), set()
    written = set()
    for line in loop:
        if not re.search('%[xyz]mm', line):
            continue
        store = STORE.search(line)
        slot = SLOT.search(store.group(1) if store else line)
        if not slot:
            continue
        if store and slot.group(0) in read:
            carried.add(slot.group(0))
        elif store:
            written.add(slot.group(0))
        elif slot.group(0) not in written:
            read.add(slot.group(0))
    return len(carried)


def main():
    found = spilled = 0
    for name, body in functions(sys.argv[1]):
        if not KERNEL.match(name):
            continue
        for loop in innermost_loops(body):
            fmas = sum('vfmadd' in line or 'vfnmadd' in line for line in loop)
            if fmas < 8 or fmas < LEAST_SHARE * len(loop):
                continue
            spills = chains_on_stack(loop)
            found += 1
            spilled += spills > 0
            if spills > 0 or '--all' in sys.argv:
                broadcasts = sum('vbroadcastss' in line for line in loop)
                print(f'{name}: {len(loop)} instructions, {fmas} FMAs, {broadcasts} broadcasts, {spills} chains on the stack')
    print(f'{found} loops of products, {spilled} with chains on the stack')
    return 2 if found == 0 else 1 if spilled > 0 else 0


sys.exit(main())
