# The statistics against scipy itself, with arguments that are drawn anew.

has_modules scipy.stats || exit 77
test=$(dirname "$SELFSAME")/check/unit/test_statistics
[ -x "$test" ] || { echo "skipped: test_statistics was not built"; exit 77; }

for seed in 1 2; do
    [ $seed -eq 1 ] || seed=$(date +%s)
    "$python" "$TOP/check/goldens/statistics.py" "$seed" > table.tsv 2> stderr
    if [ "$(wc -l < table.tsv)" -gt 300 ]; then pass "scipy's numbers of seed $seed"; else fail "scipy made no table"; fi
    if SELFSAME_STATISTICS=$PWD/table.tsv "$test" > stdout 2> stderr; then pass "  are ours"; else fail "  are not ours"; fi
done
