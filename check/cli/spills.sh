# No inner loop of the fused engine keeps a chain on the stack. This reads the machine code, because no test of bits can
# see it. Only builds by gcc with -O2 or more are tested.

build=$(dirname "$SELFSAME")
objects=$(find "$build/trainer/cpu/fused" -name 'libavx*-fused.o' -o -name libportable_a-fused.o 2> /dev/null)
grep -q '^#define HAVE_X86_64 1' "$build/config.h" || objects= # it reads x86-64's code
flags=$(build_flags)
case $flags in
*-O0* | *-O1* | *-Og* | *-Os* | *-fsanitize* | *--coverage*) objects= ;;
esac
if [ -z "$objects" ] || ! "$SELFSAME" --version | grep -q '^compiler  *gcc' || ! command -v python3 > /dev/null ||
    ! command -v objdump > /dev/null; then
    echo "skipped: needs objects that gcc has optimised, objdump and python3"
    objects=
fi
for object in $objects; do
    if python3 "$TOP/check/tools/loops.py" "$object" > stdout 2> stderr; then
        pass "$(basename "$object"): $(tail -n 1 stdout)"
    else
        fail "$(basename "$object"): $(cat stdout stderr)"
    fi
done

# The reader of machine code knows such a chain when it sees one, and lets a value pass that a turn writes before it reads it.
loop() { # FILE FIRST LAST: a loop of 8 FMAs with these two instructions around it
    printf 'direct_forward_x:\n1: %s\n' "$2" > "$1.s"
    for register in 0 3 4 5 6 7 8 9; do printf ' vfmadd231ps %%ymm1,%%ymm2,%%ymm%s\n' "$register" >> "$1.s"; done
    printf ' %s\n dec %%eax\n jne 1b\n ret\n' "$3" >> "$1.s"
    as -o "$1.o" "$1.s" && python3 "$TOP/check/tools/loops.py" "$1.o" > stdout 2> stderr
}
if [ -n "$objects" ]; then
    loop chain 'vmovaps 32(%rsp),%ymm0' 'vmovaps %ymm0,32(%rsp)'
    if [ $? -eq 1 ]; then pass "a chain on the stack is found"; else fail "a chain on the stack is not found"; fi
    if loop value 'vmovaps %ymm0,32(%rsp)' 'vmovaps 32(%rsp),%ymm10'; then pass "a value is none"; else fail "a value is taken for one"; fi
fi
