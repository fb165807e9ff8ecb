# What a record says about the card, by the driver's library: here one of our own, and the engine cuda on the imitation.

host=$(dirname "$SELFSAME")/check/selfsame_on_host
if [ ! -x "$host" ]; then
    echo "skipped: this build has no program on the imitation of CUDA, which a C++ compiler makes"
    exit 77
fi
needs cc python3
SELFSAME=$host
mkdir library
cc -shared -fPIC -o library/libnvidia-ml.so.1 "$TOP/check/support/fake_nvml.c" || { fail "the library is not compiled"; return; }
tiny "epochs: 2, batch_size: 32, schedule: {drop_epochs: []}"
cat >> tiny.yaml <<YAML
dataset: {training_images: 32, test_images: 20, train_sha256: 3cc266318723b0ed6f160a7ef7d275983db849e473b379772bad4111990f121a, test_sha256: any}
YAML
# with NAME WORD...: a training with the library, of which the function $fails fails, into runs/NAME.
fails=
with() {
    name=$1
    shift
    LD_LIBRARY_PATH=$PWD/library FAKE_NVML=$fails FAKE_NVML_LOG=$PWD/$name.calls "$SELFSAME" train tiny.yaml --name "$name" "$@" > stdout 2> stderr || fail "$name: exit $?"
}
# says_card NAME "PYTHON": what holds of its gpu and its joules.
says_card() {
    if python3 - "$1" "$2" <<'PY'
import json, sys
record = json.load(open(f"runs/{sys.argv[1]}/record.json"))
gpu, joules = record.get("gpu", {}), record.get("energy", {}).get("gpu_joules", 0)
if not eval(sys.argv[2]): sys.exit(f"{gpu}, {joules}")
PY
    then pass "$1: $2"; else fail "$1: not $2"; fi
}

with whole --engine cuda --epochs 1
says_card whole "gpu['driver'] == '580.65.06' and gpu['uuid'] == 'GPU-01234567-89ab-cdef-0123-456789abcdef'"
says_card whole "gpu['vbios'] == 31 * 'v' and gpu['power_limit_watts'] == 350 and gpu['clock_mhz'] == 1980"
# Each question takes a joule; the first is where it begins.
says_card whole "abs(joules - ($(grep -c energy whole.calls) - 1)) < 1e-6 and joules > 1.5"
if [ "$(grep -c init whole.calls)" = 1 ] && [ "$(tail -n 1 whole.calls)" = shutdown ]; then pass "  the library is begun once, and ended"; else fail "  calls: $(tr '\n' ' ' < whole.calls)"; fi
with whole --engine cuda --resume
says_card whole "abs(joules - ($(grep -c energy whole.calls) - 2)) < 1e-6"
expect 0 "the record" check whole
for fails in init find; do
    with "no-$fails" --engine cuda --epochs 1
    says_card "no-$fails" "'uuid' not in gpu and joules == 0"
done
says_card no-init "gpu == {}"
says_card no-find "gpu == {'driver': '580.65.06'}"
fails="driver vbios clock"
with one-half --engine cuda --epochs 1
says_card one-half "sorted(gpu) == ['power_limit_watts', 'uuid'] and joules > 0"
fails="uuid power energy"
with other-half --engine cuda --epochs 1
says_card other-half "sorted(gpu) == ['clock_mhz', 'driver', 'vbios'] and joules == 0"
fails=
# A library that has none of the functions, and one that is none.
echo 'int nothing;' > nothing.c
cc -shared -fPIC -o library/libnvidia-ml.so.1 nothing.c
with empty --engine cuda --epochs 1
says_card empty "gpu == {} and joules == 0"
echo 'no library' > library/libnvidia-ml.so.1
with none --engine cuda --epochs 1
says_card none "gpu == {} and joules == 0"
with cpu --engine cpu --epochs 1
if [ ! -e cpu.calls ]; then says_card cpu "gpu == {} and joules == 0"; else fail "the engine cpu asks about a card"; fi
expect 0 "the card moves no bit" compare cpu no-init
