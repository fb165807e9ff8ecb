# The first steps in exact-1 and exact-2 have the published ledger's lines, also where gcc and clang were given flags that would
# let them change bits. Four builds: an item of `make check-deep`.

. "$TOP/check/cli/lib_first_steps.sh"

# A build below `make check` is its own: no flags, job server or silence of the outer make.
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES CFLAGS CPPFLAGS LDFLAGS

# build FOLDER COMPILER CFLAGS [MAKE_ARGUMENT]: configures and makes the program there; what was said is in FOLDER.log.
build() {
    mkdir -p "$1"
    if (cd "$1" && "$TOP/configure" -q --without-cuda CC="$2" CFLAGS="$3" && make -s -j2 selfsame "${4:-CC=$2}") > "$1.log" 2>&1; then
        pass "$2 builds it with $3 ${4:-}"
    else
        fail "$2 does not build it with $3 ${4:-}"
        tail -n 20 "$1.log"
    fi
}

# refused FOLDER COMPILER CFLAGS REASON: configure does not go on, and says why.
refused() {
    mkdir -p "$1"
    if (cd "$1" && "$TOP/configure" -q CC="$2" CFLAGS="$3") > stdout 2> stderr; then
        fail "$2 $3 is not refused"
    else
        pass "$2 $3 is refused"
    fi
    says "$4"
}

if "$SELFSAME" --version | grep -q '^compiler   clang'; then this=clang other=gcc; else this=gcc other=clang; fi
if [ -f "$TOP/config.status" ]; then
    echo "skipped: other builds, since the source folder is configured itself, and configure then refuses to build elsewhere"
elif [ ! -x "$TOP/configure" ]; then
    echo "skipped: other builds, since the source folder has no configure"
else
    if gcc -mfpmath=387 -std=c11 -E -dM -include float.h - < /dev/null 2> stderr | grep -q '__FLT_EVAL_METHOD__ 2'; then
        refused x87 gcc "-O2 -mfpmath=387" "keeps floats in registers of extra precision"
    fi
    echo 'int main(void) { return 0; }' > narrow.c
    if gcc -m32 -msse2 -mfpmath=sse -o narrow narrow.c 2> stderr && ./narrow; then
        refused narrow gcc "-O2 -m32 -msse2 -mfpmath=sse" "this machine has 32-bit addresses"
    else
        echo "skipped: a 32-bit build, since gcc makes none here; on Debian: apt-get install gcc-multilib"
    fi
    # Flags that would move bits, given to configure and then to make, where they take the place of configure's.
    for compiler in "$this" "$other"; do
        command -v "$compiler" > /dev/null || continue
        build "loose_$compiler" "$compiler" "-O2 -ffp-contract=fast -funsafe-math-optimizations"
        check_build "loose_$compiler/selfsame" "$compiler, loose flags" 20 20-exact-2
        make -s -C "loose_$compiler" mostlyclean > stdout 2> stderr
        build "loose_$compiler" "$compiler" -O2 CFLAGS="-O2 -march=native -ffast-math -ffp-contract=fast"
        check_build "loose_$compiler/selfsame" "$compiler, loose flags for make" 20 20-exact-2
    done
fi
