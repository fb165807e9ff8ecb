# The newcomer's first command, whole: all four depths give the published digests, the targets are met, the figures are drawn.

if command -v gnuplot > /dev/null; then wanted=0; else wanted=3; fi
"$TOP/check/tools/quick" "$SELFSAME" "$TOP" runs figures > stdout 2> stderr < /dev/null
status=$?
if [ "$status" -eq "$wanted" ]; then pass "make quick: exit $wanted"; else fail "make quick: exit $status, expected $wanted"; fi
for depth in 20 32 56 110; do
    prints "^runs/quick-resnet$depth-seed1 and .*: identical"
done
if [ "$(grep -c ' met ' stdout)" -eq 4 ]; then pass "four targets are met"; else fail "not all four targets are met"; fi
prints "Every weights digest equals the published one"
if [ "$wanted" -eq 3 ]; then
    says "apt-get install gnuplot-nox"
    says "figures alone are missing"
    echo "skipped: the figures, since there is no gnuplot here"
else
    for kind in full zoom; do
        for format in png svg pdf; do
            if [ -s "figures/error-$kind.$format" ]; then pass "figure $kind.$format"; else fail "no figure $kind.$format"; fi
        done
    done
fi
