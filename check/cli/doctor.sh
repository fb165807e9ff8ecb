# doctor: says what is here and what is missing, and tells the known bits from others.

build=$(dirname "$SELFSAME")
known=$(known_digest exact-1) known_2=$(known_digest exact-2)

known_isas
expect 0 "doctor" doctor
prints "arithmetic exact-"
prints "^processor  .* threads used"
prints "^card "
prints "^cpu  *scalar  *exact-1   exact: $(printf %.16s "$known") ("
prints "^cpu  *scalar  *exact-2   exact: $(printf %.16s "$known_2") ("
prints "^exact: yes "
if [ -s stderr ]; then fail "doctor warns"; else pass "doctor warns of nothing"; fi
# Every instruction set of this build has its line, and a missing instruction set is no failure.
if grep -q '^#define HAVE_X86_64 1' "$build/config.h" && [ "$isas" != "avx512 avx2 avx scalar" ]; then
    fail "this build for x86-64 knows only: $isas"
fi
for isa in $isas; do
    for arithmetic in exact-1 exact-2; do
        line="^cpu  *$isa  *$arithmetic   "
        prints "$line\(exact: $(known_digest $arithmetic | cut -c 1-16) (\|missing: .* processor does not have\)"
    done
done
for engine in cuda cudnn; do
    prints "^$engine  *\(exact-1\|fast\)  *\(exact\|repeats itself\|missing\): "
done
if ! grep -q '^#define HAVE_CUDA 1' "$build/config.h"; then
    prints "^card       none: this build has no CUDA"
    prints "^cuda  *exact-1   missing: this build has no engine cuda"
fi
SELFSAME_ISA=scalar
export SELFSAME_ISA
expect 0 "doctor looks at all instruction sets, whatever SELFSAME_ISA says" doctor --threads 1
prints ", 1 thread used"
unset SELFSAME_ISA

# With CUDA, a device that none can be: what else is here works on.
if grep -q '^#define HAVE_CUDA 1' "$build/config.h"; then
    CUDA_VISIBLE_DEVICES=-1
    export CUDA_VISIBLE_DEVICES
    expect 0 "doctor without a device" doctor
    prints "^card       none: "
    prints "^cuda  *exact-1   missing: "
    prints "^exact: yes "
    unset CUDA_VISIBLE_DEVICES
fi

expect 0 "doctor as JSON" doctor --format json
prints "\"known_digest\": \"$known\""
prints '"exact": true'
if command -v python3 > /dev/null; then
    if python3 - stdout <<'PYTHON'
import json, sys
report = json.load(open(sys.argv[1]))
engines = report["engines"]
worked = [engine for engine in engines if engine["verdict"] == "exact"]
assert worked and all(engine["digest"] == report["known_digests"][engine["arithmetic"]] for engine in worked)
assert report["known_digests"]["exact-1"] == report["known_digest"]
assert all(bool(engine["message"]) == (engine["verdict"] == "missing") for engine in engines)
assert {engine["engine"] for engine in engines} == {"cpu", "cuda", "cudnn"}
assert (report["device"] is None) == bool(report["device_error"])
PYTHON
    then pass "  which is consistent"; else fail "  which is not consistent"; fi
else
    echo "skipped: the JSON's consistency: no python3 here"
fi

# A program that knows another digest must find that nothing here is exact.
other=$(echo "$known" | tr 0123456789abcdef 123456789abcdef0)
sed "s/$known/$other/g" "$SELFSAME" > other_program
chmod +x other_program
./other_program doctor > stdout 2> stderr
status=$?
if [ "$status" -eq 1 ]; then pass "other bits: exit 1"; else fail "other bits: exit $status, expected 1"; fi
prints "^cpu  *scalar  *exact-1   other bits: "
prints "^exact: no "
prints "^cpu  *scalar  *exact-2   exact: "
says "not exact here: .*cpu scalar in exact-1"

# ---- a soak ----

expect 0 "a soak of two seconds" doctor --soak 2s
prints "^soak of .* core"
prints "^  core [0-9]"
prints "^  vectors, .* KiB"
prints "^  network of 1 image "
prints "checks, 0 wrong"
expect 0 "  as JSON" doctor --soak 1s --format json
prints '"wrong": 0'
rm -f stderr # so that the next line is of this soak
"$SELFSAME" doctor --soak 1h > stdout 2> stderr &
soak=$!
grows $soak stderr 0
kill -INT $soak
wait $soak
status=$?
if [ "$status" -eq 130 ]; then pass "a soak that is interrupted: exit 130"; else fail "interrupted: exit $status, expected 130"; fi
prints "checks, 0 wrong"
says "nothing was wrong so far"
for duration in 0s 10 m 5x -1s 1.5h 9999999s; do
    expect 2 "a soak of $duration" doctor "--soak=$duration"
    says "is no duration; give a number and a unit"
done

expect 2 "a soak with threads" doctor --soak 1s --threads 1
says "leave out --threads, or run it under taskset"
if command -v taskset > /dev/null; then
    core=$(taskset -cp $$ | sed 's/.*[ ,-]//')
    taskset -c "$core" "$SELFSAME" doctor --soak 1s > stdout 2> stderr
    status=$?
    if [ "$status" -eq 0 ]; then pass "a soak of one core: exit 0"; else fail "a soak of one core: exit $status"; fi
    prints "on 1 core,"
    prints "^  core $core "
fi

expect 2 "doctor of something" doctor here
