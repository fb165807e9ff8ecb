# What a record says about where it was computed: what the system says, of every session, and no secret.

cat > tiny.yaml <<YAML
inherit: quick/resnet56.yaml
name: tiny
model: {depth: 8}
training: {steps: 4, batch_size: 500, schedule: {drop_epochs: []}}
targets: []
YAML
# field PATH: a field of the run's record as JSON, "null" if it is not there.
field() {
    python3 - "$1" <<'PY'
import json, sys
value = json.load(open("runs/tiny-seed1/record.json"))
for key in sys.argv[1].split("."):
    value = value.get(key) if isinstance(value, dict) else None
print(json.dumps(value))
PY
}
# is PATH VALUE
is() { if [ "$(field "$1")" = "$2" ]; then pass "$1 is $2"; else fail "$1 is $(field "$1"), not $2"; fi; }
needs python3

unset CUDA_VISIBLE_DEVICES LD_LIBRARY_PATH OMP_NUM_THREADS SLURM_JOB_ID
export MLFLOW_TRACKING_PASSWORD=hunter2
CUDA_DEVICE_ORDER=PCI_BUS_ID "$SELFSAME" train tiny.yaml --runs runs --epochs 1 > stdout 2> stderr || fail "the first epoch"
case $(field environment.variables) in
*'"CUDA_DEVICE_ORDER=PCI_BUS_ID"'*) pass "a variable that matters is recorded" ;;
*) fail "variables: $(field environment.variables)" ;;
esac
if grep -q hunter2 runs/tiny-seed1/record.json; then fail "a secret is recorded"; else pass "a secret is not recorded"; fi
is program.sha256 "\"$(sha256sum < "$(readlink -f "$SELFSAME")" | cut -d ' ' -f 1)\""
commit=$("$TOP/build-aux/version" --commit)
if [ -n "$commit" ]; then
    if grep -q '"commit": "[0-9a-f]\{40\}"' runs/tiny-seed1/record.json; then pass "the commit is recorded"; else fail "no commit"; fi
fi
microcode=$(sed -n 's/^microcode[[:space:]]*: //p' /proc/cpuinfo | head -n 1)
if [ -n "$microcode" ]; then is host.microcode "\"$microcode\""; else is host.microcode null; fi
if [ -r /sys/devices/system/cpu/cpu0/cache/index0/size ]; then
    case $(field host.caches) in
    *"L1d $(cat /sys/devices/system/cpu/cpu0/cache/index0/size)"* | *"L1i $(cat /sys/devices/system/cpu/cpu0/cache/index0/size)"*) pass "caches: $(field host.caches)" ;;
    *) fail "caches: $(field host.caches)" ;;
    esac
fi
is after.training_data_sha256 "$(field training_data.sha256)"
is after.validation_data_sha256 "$(field validation_data.sha256)"
is after.program_sha256 "$(field program.sha256)"
is after.manifest_sha256 "\"$(sha256sum < runs/tiny-seed1/manifest.yaml | cut -d ' ' -f 1)\""
for library in libc libcrypto jansson zlib libyaml libarchive libcurl sqlite; do
    case $(field program.libraries.$library) in
    *[0-9].[0-9]*) pass "the version of $library" ;;
    *) fail "the version of $library: $(field program.libraries.$library)" ;;
    esac
done
for fact in host.name host.system host.cpu host.cpus host.memory_bytes program.compiler program.flags program.configured time.wall_seconds time.cpu_seconds; do
    if [ "$(field $fact)" != null ]; then pass "$fact is recorded"; else fail "no $fact"; fi
done
first=$(field time.cpu_seconds)
"$SELFSAME" train tiny.yaml --runs runs --resume > stdout 2> stderr || fail "the second epoch"
if python3 -c "import sys; sys.exit(not 0 < $first < $(field time.cpu_seconds))"; then pass "processor time of both sessions"; else fail "processor time: $first, then $(field time.cpu_seconds)"; fi
is environment.variables null

# The processor time of each of two runs of one call is its own.
sed -e 's/^name: tiny/name: two/' -e 's/steps: 4, batch_size: 500/steps: 8, batch_size: 50/' tiny.yaml > two.yaml
"$SELFSAME" train two.yaml --seed 1 --runs alone > stdout 2> stderr || fail "a run alone"
printf 'inherit: two.yaml\ntraining: {seeds: [1, 2, 3]}\n' > three.yaml
"$SELFSAME" train three.yaml --runs three > stdout 2> stderr || fail "three runs of one call"
if python3 - <<'PY'
import json
alone, *three = [json.load(open(run + "/record.json"))["time"]["cpu_seconds"]
                 for run in ("alone/two-seed1", "three/two-seed1", "three/two-seed2", "three/two-seed3")]
print(alone, three)
assert all(0.4 * alone < seconds < 1.8 * alone for seconds in three)
PY
then pass "processor time of three runs of one call"; else fail "processor time of three runs of one call"; fi
"$SELFSAME" train three.yaml --runs together --together 2 > stdout 2> stderr || fail "two runs at a time"
if grep -q cpu_seconds together/two-seed2/record.json; then
    fail "  runs that share the process have a time of their own"
else
    pass "  runs that share the process have none"
fi

# No identity depends on any of it: without it, the record is whole and the same run.
cp -r runs/tiny-seed1 plain
rm -f plain/source-changes.diff.gz
python3 - <<'PY'
import json
record = json.load(open("plain/record.json"))
for section, key in (("program", "sha256"), ("program", "commit"), ("host", "microcode"), ("host", "caches"),
                     ("host", "memory_bytes"), ("host", "container"), ("time", "cpu_seconds"), ("program", "source_changes"),
                     ("program", "libraries")):
    record[section].pop(key, None)
for key in ("record_sha256", "environment", "energy", "after", "gpu"):
    record.pop(key, None)
json.dump(record, open("plain/record.json", "w"), indent=2)
PY
expect 0 "a record without these fields" check plain
expect 0 "  is of the same run" compare runs/tiny-seed1 plain

# What was measured after the training is compared with what was measured before it.
# after KEY DIGIT: a copy of the run whose field after.KEY is of another file.
after() {
    rm -rf other
    cp -r runs/tiny-seed1 other
    rm -rf other/checkpoints
    python3 - "$1" <<'PY'
import json, sys
record = json.load(open("other/record.json"))
record.pop("record_sha256")
record["after"][sys.argv[1]] = 64 * "0"
json.dump(record, open("other/record.json", "w"), indent=2)
PY
}
after training_data_sha256
expect 2 "other training data after a finished training" check other
says 'contradicts itself: the run is finished, but "after.training_data_sha256" is 0000'
after validation_data_sha256
expect 2 "other validation data" check other
says '"after.validation_data_sha256" is 0000'
after program_sha256
expect 0 "another program file" check other
prints "^  program  *the file was replaced during the training: SHA-256"
