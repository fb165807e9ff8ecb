# The newcomer's first command: the depths give the published digests, the targets are met, the figures are drawn.
# `make check` trains depth 20, `make check-ci` the others.

QUICK_DEPTHS=${QUICK_DEPTHS:-20}
export QUICK_DEPTHS

if command -v gnuplot > /dev/null; then wanted=0; else wanted=3; fi
"$TOP/check/tools/quick" "$SELFSAME" "$TOP" runs figures > stdout 2> stderr < /dev/null
status=$?
if [ "$status" -eq "$wanted" ]; then pass "make quick: exit $wanted"; else fail "make quick: exit $status, expected $wanted"; fi
depths=0
for depth in $QUICK_DEPTHS; do
    depths=$((depths + 1))
    prints "^  runs/quick-resnet$depth-seed1 and "
done
if [ "$(grep -c '^identical: ' stdout)" -eq $depths ]; then pass "$depths runs are identical"; else fail "not all $depths runs are identical"; fi
if [ "$(grep -cE ' met( |$)' stdout)" -eq $depths ]; then pass "$depths targets are met"; else fail "not all $depths targets are met"; fi
prints "Every weights digest equals the published one"
if [ "$wanted" -eq 3 ]; then
    says "apt-get install gnuplot-nox"
    says "Only the figures are missing"
    echo "skipped: the figures, since there is no gnuplot here"
else
    for kind in full zoom; do
        for format in png svg pdf; do
            if [ -s "figures/error-$kind.$format" ]; then pass "figure $kind.$format"; else fail "no figure $kind.$format"; fi
        done
    done
fi
