# A process that starts in another floating-point environment computes and prints the same; one whose environment is
# changed while it trains says so, and records nothing of that epoch.

if [ "$(uname -m)" != x86_64 ]; then echo "skipped: the traps and the flushing are set by x86-64's instructions here"; exit 77; fi
if "$SELFSAME" --version | grep -q -e -fsanitize=; then echo "skipped: a sanitizer wants to be the first library"; exit 77; fi
compiler=${CC:-cc}
tiny 'steps: 8, schedule: {learning_rate: 0.037, drop_epochs: []}'

# library NAME "C statements" ["C functions"]: a library whose constructor runs the statements.
library() {
    printf '#define _GNU_SOURCE\n#include <dlfcn.h>\n#include <fenv.h>\n#include <xmmintrin.h>\n%s\n' "${3:-}" > "$1.c"
    printf '__attribute__((constructor)) static void begin(void) { %s }\n' "$2" >> "$1.c"
    $compiler -shared -fPIC -o "$1.so" "$1.c" -lm -ldl || fail "$1.so does not build"
}

# Metrics without what was measured by a clock.
timeless() { sed 's/, "[a-z_]*seconds": [^,}]*//g; s/, "images_per_second": [^,}]*//' "$1"; }
# What people read, without the times and the names of the run's folder.
outcome() { sed 's/ *[0-9]*  \([0-9a-f]\{16\}\)$/ \1/; /^record: /d' stdout; }

expect 0 "the usual environment" train tiny.yaml --runs usual
outcome > usual.txt
"$SELFSAME" eval --weights usual/tiny-seed1/weights.safetensors --manifest tiny.yaml > usual_eval.txt 2> /dev/null
"$SELFSAME" manifest tiny.yaml > usual_manifest.txt
timeless usual/tiny-seed1/metrics.jsonl > usual_metrics.txt

library upward 'fesetround(FE_UPWARD);'
library toward_zero 'fesetround(FE_TOWARDZERO);'
library flushing '_mm_setcsr(_mm_getcsr() | 0x8040);'
library traps 'feenableexcept(FE_ALL_EXCEPT);'
library narrow 'unsigned short word = 0x007f; __asm__ volatile("fldcw %0" : : "m"(word));'
for name in upward toward_zero flushing traps narrow; do
    LD_PRELOAD=$PWD/$name.so
    export LD_PRELOAD
    expect 0 "$name" train tiny.yaml --runs "$name"
    outcome > outcome.txt
    "$SELFSAME" eval --weights "$name/tiny-seed1/weights.safetensors" --manifest tiny.yaml > eval.txt 2> /dev/null
    "$SELFSAME" manifest tiny.yaml > manifest.txt
    unset LD_PRELOAD
    same usual.txt outcome.txt "  the same lines are printed"
    same usual_eval.txt eval.txt "  eval prints the same"
    same usual_manifest.txt manifest.txt "  the manifest has the same numbers and digests"
    same usual/tiny-seed1/ledger.txt "$name/tiny-seed1/ledger.txt" "  the same ledger"
    same usual/tiny-seed1/weights.safetensors "$name/tiny-seed1/weights.safetensors" "  the same weights"
    timeless "$name/tiny-seed1/metrics.jsonl" > metrics.txt
    same usual_metrics.txt metrics.txt "  the same metrics"
done

# A change after the start: while the first epoch's lines of the ledger are written.
library late '' 'ssize_t write(int file, const void *bytes, size_t count)
{
    static ssize_t (*real)(int, const void *, size_t);
    if (!real)
        real = (ssize_t (*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
    fesetround(FE_UPWARD);
    return real(file, bytes, count);
}'
LD_PRELOAD=$PWD/late.so "$SELFSAME" train tiny.yaml --runs late > stdout 2> stderr
status=$?
if [ "$status" -eq 3 ]; then pass "changed while it trains: exit 3"; else fail "changed while it trains: exit $status"; fi
says "rounding mode"
says "epoch 1 cannot be trusted; start it again without LD_PRELOAD"
if [ -s late/tiny-seed1/metrics.jsonl ]; then fail "  an epoch was recorded"; else pass "  no epoch was recorded"; fi
expect 0 "  started again without LD_PRELOAD" train tiny.yaml --runs late --resume
same usual/tiny-seed1/weights.safetensors late/tiny-seed1/weights.safetensors "  to the same weights"
