# tag, note and delete.

tiny
"$SELFSAME" train tiny.yaml --runs runs > /dev/null 2>&1
cp -r runs/tiny-seed1 runs/copy
cp runs/copy/record.json before.json

# ---- tags and notes ----

expect 0 "a run without tags" tag copy --runs runs
prints "^copy has no tags$"
expect 0 "two tags" tag copy paper rerun --runs runs
prints "^copy: paper rerun$"
expect 0 "one of them again, and another" tag runs/copy paper a.1+b_c-d
prints "^runs/copy: a.1+b_c-d paper rerun$"
expect 0 "one is removed, and one that is not there" tag copy rerun never --remove --runs runs
prints "^copy: a.1+b_c-d paper$"
expect 2 "nothing to remove" tag copy --remove --runs runs
says "needs the tags to remove"
for tag in "" . .. .x -- "a b" a/b "a'b" "ä" "$(printf '%065d' 0)"; do
    expect 2 "not a tag: '$tag'" tag --runs runs -- copy good "$tag"
    says "cannot be a tag"
done
if [ -e runs/copy/tags/good ]; then fail "a tag next to a bad one was added"; else pass "no tag is added if one is bad"; fi
expect 2 "a tag of no run" tag nothing x --runs runs
says 'there is no run "nothing"'
# Many at once, and none is lost.
for i in 1 2 3 4 5 6 7 8; do "$SELFSAME" tag copy "at-once-$i" --runs runs > /dev/null 2>&1 & done
wait
expect 0 "tags of eight processes" tag copy --runs runs
prints "at-once-1 at-once-2 at-once-3 at-once-4 at-once-5 at-once-6 at-once-7 at-once-8"
mv runs/copy/tags runs/copy/elsewhere
mkdir target
ln -s "$PWD/target" runs/copy/tags
expect 2 "a tags folder that is a link" tag copy planted --runs runs
if [ -z "$(ls target)" ]; then pass "  nothing is written there"; else fail "  it was written there"; fi
: > target/somebodys-file
expect 2 "  its names are no tags" tag copy --runs runs
says "runs/copy/tags is a symbolic link or a file, and no folder of tags; remove it"
expect 0 "  of this run; it is listed" runs --runs runs --columns run,tags --format csv
prints "^copy,[[:space:]]*$"
rm runs/copy/tags
mv runs/copy/elsewhere runs/copy/tags

expect 0 "no note" note copy --runs runs
prints "^copy has no note$"
expect 0 "a note" note copy "the first one, with an ä" --runs runs
expect 0 "  is printed" note copy --runs runs
prints "^the first one, with an ä$"
expect 0 "another instead" note copy "the second" --runs runs
if [ "$(cat runs/copy/note.txt)" = "the second" ]; then pass "  is in note.txt"; else fail "  is not in note.txt"; fi
expect 2 "two lines" note copy "$(printf 'two\nlines')" --runs runs
says "the note is not one line"
expect 2 "an escape sequence" note copy "$(printf '\033[2J')" --runs runs
expect 2 "a long note" note copy "$(printf '%05000d' 0)" --runs runs
printf 'two\nlines\n' > runs/copy/note.txt
expect 2 "a note.txt of two lines" note copy --runs runs
says "runs/copy/note.txt is not one line of UTF-8 text"
expect 0 "it is removed" note copy "" --runs runs
if [ -e runs/copy/note.txt ]; then fail "  note.txt is still there"; else pass "  note.txt is gone"; fi

# A note of another file's words would be shown, and end in reports.
echo "a secret" > secret
ln -s "$PWD/secret" runs/copy/note.txt
expect 2 "a note.txt that is a link" note copy --runs runs
says "runs/copy/note.txt is a symbolic link, which is not followed; remove it"
expect 2 "  in a report" report copy --runs runs --no-figures --out page.html
expect 0 "  in a list" runs --runs runs --columns run,note --format csv
prints "^copy,[[:space:]]*$"
expect 0 "  it is removed" note copy "" --runs runs
if [ "$(cat secret)" = "a secret" ]; then pass "  and not what it names"; else fail "  with what it names"; fi

# They are no part of the record.
same runs/copy/record.json before.json "the record is as it was"
expect 0 "check" check copy --runs runs
expect 0 "pack" pack copy --out packed.tar --runs runs
expect 0 "pack of the run without tags" pack tiny-seed1 --out plain.tar --runs runs
same packed.tar plain.tar "a packed run is without tags"
expect 2 "a tag of a packed run" tag packed.tar x
says "unpack it first"
expect 2 "a tag of a run that comes with the program" tag published/quick/quick-resnet20-seed1 x
says "comes with the program"

# ---- delete ----

expect 2 "delete without a terminal" delete copy --runs runs
says "pass --yes"
expect 2 "one of two is not there" delete copy nowhere --yes --runs runs
expect 2 "the same run twice" delete copy runs/copy --yes --runs runs
says "are the same run"
expect 2 "a run that comes with the program" delete published/quick/quick-resnet20-seed1 --yes
expect 2 "a packed run" delete packed.tar --yes
ln -s copy runs/link
expect 2 "a symbolic link" delete link --yes --runs runs
says "is a symbolic link"
rm runs/link
sed 's/steps: 4/steps: 1000000/' tiny.yaml > long.yaml
"$SELFSAME" train long.yaml --runs runs --name locked > /dev/null 2>&1 &
process=$!
grows $process runs/locked/ledger.txt 2
expect 3 "a run that is being trained" delete copy locked --yes --runs runs
says "runs/locked is in use by process $process"
kill -KILL $process
wait $process 2> /dev/null
if [ -e runs/copy/record.json ]; then pass "no run was deleted so far"; else fail "a run was deleted"; fi
if command -v python3 > /dev/null; then
    # answers ANSWER: runs delete on a terminal.
    answers() {
        python3 - "$SELFSAME" "$1" << 'PY' > stdout 2> stderr
import os, pty, sys
pid, terminal = pty.fork()
if pid == 0:
    os.execl(sys.argv[1], "selfsame", "delete", "copy", "--runs", "runs")
text = b""
asked = False
while True:
    try:
        more = os.read(terminal, 4096)
    except OSError:
        break
    if not more:
        break
    text += more
    if b"[y/N]" in text and not asked:
        asked = True
        os.write(terminal, sys.argv[2].encode() + b"\n")
print(text.decode())
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
PY
        status=$?
    }
    answers n
    if [ "$status" -eq 1 ] && [ -e runs/copy ]; then pass "the answer no: exit 1"; else fail "the answer no: exit $status"; fi
    prints "nothing is deleted"
    answers y
    if [ "$status" -eq 0 ] && [ ! -e runs/copy ]; then pass "the answer yes"; else fail "the answer yes: exit $status"; fi
    prints "runs/copy: finished, 1 of 1 epochs, "
    prints "bytes freed"
else
    rm -r runs/copy
fi
echo '{' > runs/locked/record.json
mkdir runs/.deleted-abcdef runs/.deleted-abcdef/run # as a killed process leaves it
size=$(du -s --block-size=1 runs/locked | cut -f 1)
expect 0 "a damaged run" delete locked --yes --runs runs
prints "^runs/locked: a damaged record, "
freed=$(sed -n 's/ bytes freed$//p' stdout)
# The lock file may be new.
if [ "$freed" -ge "$size" ] && [ "$freed" -le $((size + 4096)) ]; then pass "  $freed bytes"; else fail "  $freed bytes, not $size"; fi
if [ "$(ls -A runs)" = tiny-seed1 ]; then pass "  the other run alone is left"; else fail "  left: $(ls -A runs)"; fi
