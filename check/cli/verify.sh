# Epochs that are computed again: what agrees and what does not, from every place that an epoch can begin at, and a choice that others can repeat.

tiny 'steps: 16, batch_size: 400, schedule: {drop_epochs: []}'
expect 2 "a number of checkpoints that is none" train tiny.yaml --runs runs --keep-checkpoints 0
says "neither all nor a number"
expect 0 "a run with all checkpoints" train tiny.yaml --runs runs --name all --keep-checkpoints all
run=runs/all
ends=$(python3 -c 'import json; print(*[json.loads(l)["end_step"] for l in open("runs/all/metrics.jsonl")])')
epochs=$(printf '%s\n' "$ends" | wc -w)
if [ "$(find $run/checkpoints -name '*.safetensors' | wc -l)" -eq "$epochs" ] && [ "$epochs" -ge 4 ]; then pass "  $epochs epochs, $epochs checkpoints"; else fail "  $epochs epochs, $(find $run/checkpoints -name '*.safetensors' | wc -l) checkpoints"; fi

# ---- what agrees ----

for epoch in 1 2 "$epochs"; do
    expect 0 "epoch $epoch" verify $run --epoch "$epoch"
    prints "^epoch $epoch: the same "
done
expect 0 "  on one thread, without vector instructions" verify $run --epoch 2 --threads 1 --isa scalar
cp -r $run few
rm few/checkpoints/*
expect 0 "without checkpoints, from the start" verify few --epoch 3
prints "^epoch 3: the same .* from step 0 on"
expect 0 "all of them" verify few --sample "$epochs" --beacon x
if [ "$(grep -c '^epoch .*: the same' stdout)" -eq "$epochs" ]; then pass "  each once"; else fail "  not each once"; fi
expect 2 "an epoch that it has not" verify $run --epoch 99
expect 2 "nothing to verify" verify $run
says "say one thing to verify"
expect 2 "a beacon without a sample" verify $run --epoch 1 --beacon x
expect 0 "packed" pack $run
expect 0 "  and verified" verify all.tar --epoch 2

# ---- which ones ----

expect 0 "a sample by a beacon" verify $run --sample 2 --beacon "round 1" --format json
cp stdout first.json
printf 'round 1' > round
expect 0 "  the same from a file" verify $run --sample 2 --beacon round --format json
same stdout first.json "  to the same epochs"
if python3 - <<'PY'
import hashlib, json
metrics = [json.loads(line) for line in open("runs/all/metrics.jsonl")]
chain, seed, count = bytes.fromhex(metrics[-1]["chain_sha256"]), hashlib.sha256(b"round 1").digest(), len(metrics)
chosen, i = [], 0
while len(chosen) < 2:
    x = int.from_bytes(hashlib.sha256(chain + seed + i.to_bytes(8, "little")).digest()[:8], "little")
    i += 1
    if x < 2**64 // count * count and x % count not in chosen:
        chosen.append(x % count)
assert sorted(chosen) == json.load(open("first.json"))["epochs"]
PY
then pass "  which others choose by the page alone"; else fail "  which others do not choose"; fi
expect 0 "a sample by chance" verify $run --sample 1
beacon=$(sed -n 's/^beacon: \([0-9a-f]*\).*/\1/p' stdout)
grep '^epoch' stdout > chance
expect 0 "  can be repeated" verify $run --sample 1 --beacon "$beacon"
grep '^epoch' stdout > again
same chance again "  with the same epochs"

# ---- what does not agree ----

# A record that agrees with itself, of which one step of epoch 3 was changed, with the means and the chain that follow.
cat > forge.py <<'PY'
import hashlib, json, os, struct, sys
folder, step = sys.argv[1], int(sys.argv[2])
metrics = [json.loads(line) for line in open(folder + "/metrics.jsonl")]
record = json.load(open(folder + "/record.json"))
lines = open(folder + "/ledger.txt").read().splitlines(True)
lines[step + 1] = lines[step + 1][:-2] + ("0" if lines[step + 1][-2] != "0" else "1") + "\n"
open(folder + "/ledger.txt", "w").write("".join(lines))
chain, first = bytes.fromhex(record["experiment"]["sha256"]), 0
for row in metrics:
    entries = b""
    for s in range(first, row["end_step"]):
        number, loss, errors, digest = lines[s + 1].split()
        entries += struct.pack("<QfIQQ", s, float(loss), int(errors), int(digest[:16], 16), int(digest[16:], 16))
    chain = hashlib.sha256(chain + bytes.fromhex(row["weights_sha256"]) + entries).digest()
    if row["chain_sha256"] != chain.hex():
        row["chain_sha256"] = chain.hex()
        path = folder + "/checkpoints/step-%08d.safetensors" % row["end_step"]
        os.path.exists(path) and os.remove(path)
    first = row["end_step"]
text = "".join(json.dumps(row) + "\n" for row in metrics)
open(folder + "/metrics.jsonl", "w").write(text)
record["result"]["chain_sha256"] = chain.hex()
record["result"]["metrics_sha256"] = hashlib.sha256(text.encode()).hexdigest()
del record["record_sha256"]
text = json.dumps(record, indent=2) + "\n"
open(folder + "/record.json", "w").write("{\n  \"record_sha256\": \"%s\",\n" % hashlib.sha256(text.encode()).hexdigest() + text[2:])
PY
cp -r $run forged
# shellcheck disable=SC2086 # a list of numbers
set -- $ends
step=$(($2 + 1))
python3 forge.py forged "$step"
expect 0 "a forged record agrees with itself" check forged
expect 1 "  but with no other" compare forged $run
prints "^differs: the bits part at step $((step + 1)) "
expect 0 "  its first epochs follow" verify forged --epoch 1
expect 1 "  the forged one does not" verify forged --epoch 3
says "step $((step + 1)) (from 1) of epoch 3 comes out otherwise: weights after it"
expect 1 "  and a sample of all finds it" verify forged --sample "$epochs" --beacon x
# A checkpoint whose momentum was changed and sealed again: no digest of the record covers it.
cp -r $run bent
python3 - "$2" <<'PY'
import hashlib, re, sys
path = "bent/checkpoints/step-%08d.safetensors" % int(sys.argv[1])
data = bytearray(open(path, "rb").read())
data[-3] ^= 1
at = re.search(rb'"selfsame_seal":"([0-9a-f]{64})', data).start(1)
data[at : at + 64] = b"0" * 64
data[at : at + 64] = hashlib.sha256(data).hexdigest().encode()
open(path, "wb").write(data)
PY
expect 0 "another momentum in a checkpoint: the record cannot know" check bent
expect 1 "  the epoch after it does not follow" verify bent --epoch 3
says "step .* of epoch 3 comes out otherwise"
expect 1 "  nor does it follow from the epoch before" verify bent --epoch 2
says "its checkpoint of step $2 is not the state after that step"
printf 'x' | dd of=bent/ledger.txt bs=1 seek=300 conv=notrunc 2> /dev/null
expect 2 "a damaged record is not computed at all" verify bent --epoch 1
