# Runs in the formats of other tools, read back by a few lines of Python. check/cli/export_tools.sh has the tools themselves
# read them.

cat > tiny.yaml <<YAML
inherit: quick/resnet20.yaml
name: tiny
model: {depth: 8}
training: {steps: 4, batch_size: 16, schedule: {drop_epochs: []}}
targets: []
YAML
expect 0 "a run" train tiny.yaml --runs runs
published=published/quick/quick-resnet20-seed1

# ---- mistakes ----

expect 2 "no format" export tiny-seed1 --out x
says "needs --format"
expect 2 "a format that is not there" export tiny-seed1 --format tensorbord --out x
expect 2 "no output" export tiny-seed1 --format tensorboard
says "export --format tensorboard needs --out FOLDER"
expect 2 "no such run" export none --format tensorboard --out x
cp -r runs/tiny-seed1 other
mkdir twice && cp -r runs/tiny-seed1 twice/
expect 2 "two runs of one name" export tiny-seed1 twice/tiny-seed1 --format tensorboard --out x
says "have one name, tiny-seed1"
if [ -e x ]; then fail "  something was written"; else pass "  nothing was written"; fi

# ---- TensorBoard ----

expect 0 "TensorBoard" export tiny-seed1 $published --format tensorboard --out logs
prints "^wrote: logs/tiny-seed1/events.out.tfevents.[0-9]*.selfsame.0.0"
expect 2 "  a file that exists is kept" export tiny-seed1 --format tensorboard --out logs
says "exists: give another name, or --force"
cp -r logs before
expect 0 "  or replaced" export tiny-seed1 --format tensorboard --out logs --force
if diff -r before logs > stdout; then pass "  by the same bytes"; else fail "  by other bytes"; fi
# Framing and messages, from the format's description alone.
cat > events.py <<'PY'
import glob, json, struct, sys
def crc(data):
    c = 0xffffffff
    for b in data:
        c ^= b
        for _ in range(8): c = c >> 1 ^ (0x82F63B78 if c & 1 else 0)
    c ^= 0xffffffff
    return ((c >> 15 | c << 17) + 0xA282EAD8) & 0xffffffff
def varint(data, at):
    value = shift = 0
    while True:
        b = data[at]; at += 1
        value |= (b & 127) << shift; shift += 7
        if b < 128: return value, at
def fields(data):
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        if key & 7 == 0: value, at = varint(data, at)
        elif key & 7 == 1: value, at = data[at:at + 8], at + 8
        elif key & 7 == 5: value, at = data[at:at + 4], at + 4
        else:
            assert key & 7 == 2
            n, at = varint(data, at); value, at = data[at:at + n], at + n
            assert len(value) == n
        yield key >> 3, value
run, record = sys.argv[1:]
[name] = glob.glob(run + '/*tfevents*')
data = open(name, 'rb').read()
at, events = 0, []
while at < len(data):
    n, c = struct.unpack_from('<QI', data, at)
    assert c == crc(data[at:at + 8])
    events.append(data[at + 12:at + 12 + n])
    assert struct.unpack_from('<I', data, at + 12 + n)[0] == crc(events[-1])
    at += 16 + n
assert dict(fields(events[0]))[3] == b'brain.Event:2'
scalars, times = {}, []
for event in map(lambda e: dict(fields(e)), events):
    times.append(struct.unpack('<d', event[1])[0])
    for number, value in fields(event.get(5, b'')):
        value = dict(fields(value))
        if 2 in value: scalars.setdefault(value[1].decode(), []).append((event.get(2, 0), struct.unpack('<f', value[2])[0]))
assert times[:-1] == sorted(times[:-1])
f32 = lambda x: struct.unpack('<f', struct.pack('<f', x))[0]
rows = [json.loads(line) for line in open(record + '/metrics.jsonl')]
for key in ('training_loss', 'training_error', 'validation_loss', 'validation_error', 'learning_rate', 'images_per_second', 'end_step'):
    assert scalars['epoch/' + key] == [(r['epoch'] + 1, f32(r[key])) for r in rows], key
import gzip, os
ledger = (open(record + '/ledger.txt') if os.path.exists(record + '/ledger.txt') else gzip.open(record + '/ledger.txt.gz', 'rt')).read().split('\n')[1:-1]
assert scalars['step/loss'] == [(int(l.split()[0]), f32(float(l.split()[1]))) for l in ledger]
assert scalars['step/errors'] == [(int(l.split()[0]), float(l.split()[2])) for l in ledger]
print(len(rows), len(ledger))
PY
if python3 events.py logs/tiny-seed1 runs/tiny-seed1 > stdout 2> stderr; then pass "  the events are those of the record: $(cat stdout)"; else fail "  other events"; fi
if python3 events.py logs/quick-resnet20-seed1 "$TOP/results/$published" > stdout 2> stderr; then pass "  of a published run, too: $(cat stdout)"; else fail "  other events"; fi
