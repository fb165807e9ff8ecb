# The first steps of every depth have the published ledger's lines on every instruction set, with 1, 2, 3 and 5 threads, as built by the
# compiler at hand and by the other one.

# steps DEPTH STEPS: a manifest of so many steps; the length moves no bit of them. Ten test images: here the training counts.
steps() {
    cat > "steps-$1-$2.yaml" <<YAML
inherit: quick/resnet$1.yaml
name: steps-$1-$2
dataset: {test_images: 10, test_sha256: any}
training: {steps: $2, schedule: {drop_epochs: []}}
YAML
}

# check_ledger PROGRAM DEPTH STEPS ISA THREADS LABEL
check_ledger() {
    steps "$2" "$3"
    if ! "$1" train "steps-$2-$3.yaml" --isa "$4" --threads "$5" --runs runs > stdout 2> stderr; then
        fail "$6: depth $2, $4, $5 threads: training failed"
        return
    fi
    head -n $(($3 + 1)) "$TOP/results/published/quick/quick-resnet$2-seed1/ledger.txt" > published
    if cmp -s published "runs/steps-$2-$3-seed1/ledger.txt"; then
        pass "$6: depth $2, $4, $5 threads: the published first $3 steps"
    else
        fail "$6: depth $2, $4, $5 threads: not the published first $3 steps"
    fi
    rm -rf runs
}

# has ISA: this processor and build have it
has() { "$SELFSAME" bench --isa "$1" --steps 1 --batch 1 --depth 8 > /dev/null 2>&1; }

for depth in 20 32 56 110; do
    for threads in 1 2 3 5; do
        for isa in avx512 avx2; do
            if has "$isa"; then check_ledger "$SELFSAME" "$depth" 3 "$isa" "$threads" "this build"; fi
        done
        check_ledger "$SELFSAME" "$depth" 1 scalar "$threads" "this build"
    done
done

# The other compiler.
if "$SELFSAME" --version | grep -q '^compiler   clang'; then other=gcc; else other=clang; fi
if command -v "$other" > /dev/null && [ -x "$TOP/configure" ]; then
    mkdir other
    if (cd other && "$TOP/configure" -q CC="$other" CFLAGS=-O2 && make -s -j2 selfsame) > other.log 2>&1; then
        pass "$other builds it"
    else
        fail "$other does not build it"
        tail -n 20 other.log
    fi
    if grep -i 'warning:' other.log; then fail "$other warns"; else pass "$other does not warn"; fi
    for depth in 20 32 56 110; do
        for isa in avx512 avx2; do
            if has "$isa"; then check_ledger other/selfsame "$depth" 3 "$isa" 2 "$other"; fi
        done
        check_ledger other/selfsame "$depth" 1 scalar 2 "$other"
    done
else
    echo "skipped: no $other here"
fi
