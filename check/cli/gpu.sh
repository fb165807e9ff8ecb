# check/device/check-gpu where there is no GPU: it says so, and that is no pass.

unset SELFSAME_PYTHON
CUDA_VISIBLE_DEVICES=-1 # a machine that has one hides it
export CUDA_VISIBLE_DEVICES
"$TOP/check/device/check-gpu" "$SELFSAME" "$TOP" no-such-folder > stdout 2> stderr
status=$?
if [ "$status" -eq 3 ]; then pass "no GPU: exit 3"; else fail "no GPU: exit $status, expected 3"; fi
says "^no GPU here: ."
if grep -q 'passed' stdout stderr; then fail "  counts something"; else pass "  counts nothing"; fi

"$TOP/check/device/check-gpu" "$SELFSAME" > stdout 2> stderr
status=$?
if [ "$status" -eq 2 ]; then pass "operands missing: exit 2"; else fail "operands missing: exit $status, expected 2"; fi
says "^usage: "
