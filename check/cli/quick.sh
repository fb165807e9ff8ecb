# The newcomer's first command, whole: all four depths give the published digests, the targets are met, the figures are drawn.

"$TOP/check/quick" "$SELFSAME" "$TOP" runs figures > stdout 2> stderr < /dev/null
if [ $? -eq 0 ]; then pass "make quick"; else fail "make quick"; fi
for depth in 20 32 56 110; do
    prints "^runs/quick-resnet$depth-seed1 and .*: identical"
done
if [ "$(grep -c ' met ' stdout)" -eq 4 ]; then pass "four targets are met"; else fail "not all four targets are met"; fi
prints "Every weights digest equals the published one"
if command -v gnuplot > /dev/null; then
    for kind in full zoom; do
        for format in png svg pdf; do
            if [ -s "figures/error-$kind.$format" ]; then pass "figure $kind.$format"; else fail "no figure $kind.$format"; fi
        done
    done
fi
