# How the sources differed from the commit: what build-aux/source_changes finds, and what a record says of it.

needs git gzip sha256sum
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_NAME=test GIT_AUTHOR_EMAIL=test GIT_COMMITTER_NAME=test GIT_COMMITTER_EMAIL=test
# changes: the text that the header of tree/ has, its bytes in $bytes and its digest in $sha256.
changes() {
    tree/build-aux/source_changes > header || fail "source_changes: exit $?"
    bytes=$(sed -n 's/^#define BUILD_CHANGES_BYTES //p' header)
    sha256=$(sed -n 's/^#define BUILD_CHANGES_SHA256 "\(.*\)"$/\1/p' header)
    sed -n '/^#define BUILD_CHANGES_TEXT/,$p' header | sed 's/^#define BUILD_CHANGES_TEXT//' | tr -c '0-9' '\n' |
        LC_ALL=C awk '$1 > 0 { printf "%c", $1 + 0 }' > text
}

mkdir -p tree/build-aux tree/base tree/check
cp "$TOP/build-aux/source_changes" tree/build-aux/
changes
if [ "$bytes" = 0 ] && [ -z "$sha256" ] && [ ! -s text ]; then pass "a tree without a repository: none"; else fail "without a repository: $bytes bytes"; fi
echo 'int one;' > tree/base/one.c
echo 'password: hunter1' > tree/secrets.yaml
echo 'int test;' > tree/check/test.c
git -C tree init -q && git -C tree add -A && git -C tree commit -q -m first
changes
if [ "$bytes" = 0 ] && [ -z "$sha256" ]; then pass "a clean tree: none"; else fail "a clean tree: $bytes bytes"; fi
echo 'int two;' >> tree/base/one.c
echo 'int three;' > tree/base/new.c
echo 'password: hunter2' > tree/secrets.yaml
echo 'password: hunter3' > tree/.env
echo 'int other;' > tree/check/test.c
cp tree/.git/index index
changes
if grep -q '^+int two;$' text && grep -q '^+int three;$' text; then pass "a changed file and a new one are in it"; else fail "the changes: $(cat text)"; fi
if grep -q 'hunter\|check/test' text; then fail "other files are in it"; else pass "  and no other kind of file"; fi
if [ "$bytes" = "$(wc -c < text | tr -d ' ')" ] && [ "$sha256" = "$(sha256sum < text | cut -d ' ' -f 1)" ]; then pass "  with their bytes and their digest"; else fail "  $bytes bytes, $sha256"; fi
same index tree/.git/index "  and git's index is as it was"
mkdir copy && git -C tree archive HEAD | tar -xf - -C copy
if (cd copy && git init -q && git apply ../text) && cmp -s copy/base/one.c tree/base/one.c && cmp -s copy/base/new.c tree/base/new.c; then pass "  they turn the commit into the tree"; else fail "  git apply"; fi
awk 'BEGIN { for (i = 0; i < 30000; i++) print "int number_" i ";" }' > tree/base/new.c
changes
if [ "$bytes" -gt 262144 ] && [ ${#sha256} = 64 ] && [ ! -s text ]; then pass "above the limit: bytes and digest alone"; else fail "above the limit: $bytes bytes, $(wc -c < text) in the header"; fi
echo 1.0 > tree/.tarball-version
changes
if [ "$bytes" = 0 ]; then pass "a release: none"; else fail "a release: $bytes bytes"; fi

# ---- the record ----

needs python3
tiny
expect 0 "a run" train tiny.yaml --runs runs
printf 'diff of a test\n' > ./diff
gzip -9 -n -c diff > diff.gz
# says_changes BYTES SHA256: the record of runs/changed says so.
says_changes() {
    python3 - "$1" "$2" <<'PY'
import json, sys
path = "runs/changed/record.json"
record = json.load(open(path))
record.pop("record_sha256", None)
record["program"].pop("source_changes", None)
if int(sys.argv[1]) > 0:
    record["program"]["source_changes"] = {"bytes": int(sys.argv[1]), "sha256": sys.argv[2]}
json.dump(record, open(path, "w"), indent=2)
PY
}
cp -r runs/tiny-seed1 runs/changed
cp diff.gz runs/changed/source-changes.diff.gz
says_changes 15 "$(sha256sum < ./diff | cut -d ' ' -f 1)"
expect 0 "a record with changes" check changed
prints "^  source-changes.diff.gz 15 bytes, as recorded$"
expect 0 "  is packed" pack changed --out changed.tar
expect 0 "  and unpacked" unpack changed.tar --name unpacked
same diff.gz runs/unpacked/source-changes.diff.gz "  with the file"
expect 0 "  is the same run" compare changed tiny-seed1
echo 'another' | gzip -n -c > runs/changed/source-changes.diff.gz
expect 2 "another text" check changed
says "contradict each other: the SHA-256 of the changes is"
printf 'no gzip' > runs/changed/source-changes.diff.gz
expect 2 "no gzip" check changed
says "source-changes.diff.gz"
head -c 2000000 /dev/zero | gzip -9 -n -c > runs/changed/source-changes.diff.gz
expect 2 "a text above the limit" check changed
says "source-changes.diff.gz"
rm runs/changed/source-changes.diff.gz
expect 0 "no file" check changed
prints "^  source-changes.diff.gz 15 bytes, but not there$"
cp diff.gz runs/changed/source-changes.diff.gz
says_changes 0 ''
expect 2 "a file of which the record says nothing" check changed
says "but the record says of none"
