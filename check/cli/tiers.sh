# The tiers of tests: every test is in a list of Makefile.am, and in the table of seconds in CONTRIBUTING.md.

# The tests that the tree has, without what they source or build on.
tests=$(cd "$TOP" && ls check/unit/test_*.c check/device/test_*.c check/cli/*.sh | sed 's/\.c$//' | grep -v '/lib[a-z_]*\.sh$')
for test in $tests; do
    grep -q "\\b$test\\b" "$TOP/Makefile.am" || echo "$test"
done > stdout
if [ ! -s stdout ]; then pass "Makefile.am runs every test"; else cat stdout; fail "Makefile.am does not name these tests"; fi

# Those that only another build or check-deep runs have their items above the table.
sed -n '/^<!-- seconds -->$/,/^<!-- end of the seconds -->$/p' "$TOP/CONTRIBUTING.md" > table
for test in $tests; do
    case $test in */builds.sh | */every_option.sh | */threads.sh | */test_cudnn_plans) continue ;; esac
    grep -q "\`$(basename "$test")\`" table || echo "$test"
done > stdout
if [ ! -s stdout ]; then
    pass "CONTRIBUTING.md has the seconds of every test"
else
    cat stdout
    fail "the table of seconds in CONTRIBUTING.md does not name these tests; run them, and make publish-seconds"
fi
grep -o '`[a-z0-9_]*\(\.sh\)\{0,1\}`' table | tr -d '`' | sort -u | while read -r name; do
    printf '%s\n' "$tests" check/ptx/ptx.sh | grep -q "/$name\$" || echo "$name"
done > stdout
if [ ! -s stdout ]; then pass "  and of no other"; else cat stdout; fail "the table names tests that are gone"; fi

# The sum of make check, from the table: two at a time on two cores, and a tenth is lost at the end.
sum=$(sed -n 's/^| all that have a row | check | \([0-9]*\) .*/\1/p' table)
if [ "${sum:-9999}" -le 1080 ]; then
    pass "make check takes at most ten minutes: $sum seconds, two tests at a time"
else
    fail "make check takes more than ten minutes: $sum seconds, two tests at a time; move a test to ci_tests"
fi

# The deep tier's record: an item, a date and a commit a line.
if [ -f "$TOP/check/deep-passed" ]; then
    if grep -qvE '^[a-z]+ [0-9]{4}-[0-9]{2}-[0-9]{2} [0-9a-f]{40}$' "$TOP/check/deep-passed"; then
        fail "check/deep-passed has a line that make check-deep did not write"
    else
        pass "check/deep-passed is well-formed"
    fi
fi
