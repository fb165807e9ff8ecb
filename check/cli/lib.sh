# Sourced by every command-line test. The harness sets SELFSAME (the program), TOP (the source tree) and starts each test in an empty folder of its
# own. A test is a list of checks; each prints "ok - what" or "not ok - what", and the script fails if one does.

failures=0
export LC_ALL=C
unset SELFSAME_RUNS SELFSAME_ISA
export SELFSAME_STORE="$PWD/store" # never the user's own store
# Where python3 and its own library are not enough, $python is used. PYTHONPATH lets scripts import the modules of check/cli.
python=${SELFSAME_PYTHON:-python3}
export PYTHONPATH="$TOP/check/cli${PYTHONPATH:+:$PYTHONPATH}" PYTHONDONTWRITEBYTECODE=1

pass() { printf 'ok - %s\n' "$1"; }
fail() {
    printf 'not ok - %s\n' "$1"
    failures=$((failures + 1))
    [ -f stdout ] && sed 's/^/    stdout: /' stdout | head -n 20
    [ -f stderr ] && sed 's/^/    stderr: /' stderr | head -n 20
    return 0
}

# run WORD...: runs the program; its output is in ./stdout and ./stderr, its exit status in $status.
run() {
    "$SELFSAME" "$@" > stdout 2> stderr < /dev/null
    status=$?
}

# expect STATUS "what is tested" WORD...: runs the program and checks its exit status.
expect() {
    wanted=$1 what=$2
    shift 2
    run "$@"
    if [ "$status" -eq "$wanted" ]; then pass "$what: exit $wanted"; else fail "$what: exit $status, expected $wanted"; fi
}

# says PATTERN / prints PATTERN: the last run's standard error / output has a line that matches the basic regular expression. Lines of output that
# were wrapped are put together again.
unwrapped() { sed -e ':again' -e N -e '$!b again' -e 's/\n  */ /g' stdout; }
says() { if grep -q -- "$1" stderr; then pass "  says: $1"; else fail "  does not say: $1"; fi; }
prints() { if grep -q -- "$1" stdout || sed 's/$/ /' stdout | grep -q -- "$1" || unwrapped | grep -q -- "$1"; then pass "  prints: $1"; else fail "  does not print: $1"; fi; }
# same FILE FILE "what"
same() { if cmp -s "$1" "$2"; then pass "$3"; else fail "$3: $1 and $2 differ"; fi; }

# grows PROCESS FILE LINES: waits until the file has more than so many lines, or fails once the process that writes it has ended.
grows() {
    while [ ! -s "$2" ] || [ "$(wc -l < "$2")" -le "$3" ]; do
        kill -0 "$1" 2> /dev/null || { fail "the process ended before $2 had more than $3 lines"; return; }
        sleep 0.05
    done
}

# tiny [TRAINING]: writes tiny.yaml, the manifest of a run that takes a moment. TRAINING: other values of its key training.
tiny() {
    tiny_training='steps: 4, batch_size: 16, schedule: {drop_epochs: []}'
    cat > tiny.yaml <<YAML
inherit: quick/resnet20.yaml
name: tiny
model: {depth: 8}
training: {${1:-$tiny_training}}
targets: []
YAML
}

# known_digest ARITHMETIC: what doctor must find, from trainer/proof.c.
known_digest() { sed -n "s/.*\[ARITHMETIC_EXACT_${1#exact-}\] = \"\([0-9a-f]*\)\".*/\1/p" "$TOP/trainer/proof.c"; }

# known_isas: sets $isas to the instruction sets that this build knows, the fastest first. With those that this processor
# does not have, a command ends with exit 3.
known_isas() {
    run bench --isa none --steps 1 --batch 1 --depth 8
    isas=$(sed -n 's/.*this build knows //p' stderr | tr -d ,)
    [ -n "$isas" ] || fail "an unknown instruction set: the known ones are not named"
}

# needs COMMAND...: skips the whole test where a program is missing.
needs() {
    for program in "$@"; do
        command -v "$program" > /dev/null 2>&1 || { echo "skipped: no $program here"; exit 77; }
    done
}

# has_modules "MODULE, ..." [TEXT]: whether $python has these modules. Otherwise it says that the text is skipped.
has_modules() {
    if "$python" -c "import $1" > /dev/null 2>&1; then return 0; fi
    echo "skipped: no $1 here (SELFSAME_PYTHON names a python that has it)${2:+: $2}"
    return 1
}

# A port of 127.0.0.1 that nobody listens on.
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# build_flags: the flags that the program was built with, in one line.
build_flags() { "$SELFSAME" --version | tr -s '\n ' '  ' | sed 's/.* flags //; s/ configured .*//'; }

finish() { [ "$failures" -eq 0 ]; exit; }
