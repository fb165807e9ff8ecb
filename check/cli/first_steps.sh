# The first steps of every depth have the published ledger's lines on every instruction set, with 1, 2, 3 and 5 threads, as built by the
# compiler at hand, by the other one, and against flags that would let a compiler change bits.

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
    gzip -dc "$TOP/results/published/quick/quick-resnet$2-seed1/ledger.txt.gz" | head -n $(($3 + 1)) > published
    if cmp -s published "runs/steps-$2-$3-seed1/ledger.txt"; then
        pass "$6: depth $2, $4, $5 threads: the published first $3 steps"
    else
        fail "$6: depth $2, $4, $5 threads: not the published first $3 steps"
    fi
    rm -rf runs
}

# The vector engines that this build and processor have. Exit 3 is a processor without; anything else is no reason to skip one.
vectors=
case $(uname -m) in
x86_64 | amd64)
    for isa in avx512 avx2; do
        run bench --isa "$isa" --steps 1 --batch 1 --depth 8
        case $status in
        0) vectors="$vectors $isa" ;;
        3) echo "skipped: no $isa here" ;;
        *) fail "bench --isa $isa: exit $status" ;;
        esac
    done
    ;;
esac

# check_build PROGRAM LABEL DEPTH...: the first steps with two threads
check_build() {
    program=$1 label=$2
    shift 2
    for depth in "$@"; do
        for isa in $vectors; do check_ledger "$program" "$depth" 3 "$isa" 2 "$label"; done
        check_ledger "$program" "$depth" 1 scalar 2 "$label"
    done
}

for depth in 20 32 56 110; do
    for threads in 1 2 3 5; do
        for isa in $vectors; do check_ledger "$SELFSAME" "$depth" 3 "$isa" "$threads" "this build"; done
        check_ledger "$SELFSAME" "$depth" 1 scalar "$threads" "this build"
    done
done

# A build below `make check` is its own: no flags, job server or silence of the outer make.
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES CFLAGS CPPFLAGS LDFLAGS

# build FOLDER COMPILER CFLAGS [MAKE_ARGUMENT]: configures and makes the program there; what was said is in FOLDER.log.
build() {
    mkdir -p "$1"
    if (cd "$1" && "$TOP/configure" -q CC="$2" CFLAGS="$3" && make -s -j2 selfsame "${4:-CC=$2}") > "$1.log" 2>&1; then
        pass "$2 builds it with $3 ${4:-}"
    else
        fail "$2 does not build it with $3 ${4:-}"
        tail -n 20 "$1.log"
    fi
}

if "$SELFSAME" --version | grep -q '^compiler   clang'; then this=clang other=gcc; else this=gcc other=clang; fi
if [ -f "$TOP/config.status" ]; then
    echo "skipped: other builds, since the source folder is configured itself, and configure then refuses to build elsewhere"
elif [ ! -x "$TOP/configure" ]; then
    echo "skipped: other builds, since the source folder has no configure"
else
    if command -v "$other" > /dev/null; then
        build other "$other" -O2
        if grep -i 'warning:' other.log; then fail "$other warns"; else pass "$other does not warn"; fi
        check_build other/selfsame "$other" 20 32 56 110
    else
        echo "skipped: no $other here"
    fi
    # Flags that would move bits, given to configure and then to make, where they take the place of configure's.
    for compiler in "$this" "$other"; do
        command -v "$compiler" > /dev/null || continue
        build "loose_$compiler" "$compiler" "-O2 -ffp-contract=fast -funsafe-math-optimizations"
        check_build "loose_$compiler/selfsame" "$compiler, loose flags" 20
        rm "loose_$compiler"/*.a "loose_$compiler"/trainer/*.o "loose_$compiler"/trainer/cpu/*.o "loose_$compiler"/base/*.o
        build "loose_$compiler" "$compiler" -O2 CFLAGS="-O2 -march=native -ffast-math -ffp-contract=fast"
        check_build "loose_$compiler/selfsame" "$compiler, loose flags for make" 20
    done
fi
