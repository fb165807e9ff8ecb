# No inner loop of the fused engine's kernels keeps a vector on the stack: machine code, since no bits can show it. gcc alone at -O2
# or more promises it, and the objects of another build are not there to look at.

build=$(dirname "$SELFSAME")
objects=$(find "$build/trainer/cpu/fused" -name '*-fused.o' 2> /dev/null)
flags=$("$SELFSAME" --version | sed -n 's/^flags  *//p')
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
