# The first steps of every depth have the published ledger's lines on every instruction set, with 1, 2, 3 and 5 threads.
# `make check` looks at depth 20, `make check-ci` at the others.

. "$TOP/check/cli/lib_first_steps.sh"

for depth in ${QUICK_DEPTHS:-20}; do
    for threads in 1 2 3 5; do
        for isa in $vectors; do check_ledger "$SELFSAME" "$depth" 3 "$isa" "$threads" "this build"; done
        check_ledger "$SELFSAME" "$depth" 1 scalar "$threads" "this build"
        for isa in $vectors; do check_ledger "$SELFSAME" "$depth-exact-2" 3 "$isa" "$threads" "this build"; done
    done
    check_ledger "$SELFSAME" "$depth-exact-2" 1 scalar 2 "this build"
done
# The portable vector, which most other processors use.
case $vectors in
*avx*) for depth in 20 20-exact-2; do check_ledger "$SELFSAME" $depth 3 avx 2 "this build"; done ;;
esac
