# The build's own scripts: the count of tests, and the version.

# tally STATUS LINE "what is tested" LOG...
tally() {
    wanted=$1 line=$2 what=$3
    shift 3
    "$TOP/check/tools/tally" "$@" > stdout 2> stderr
    status=$?
    if [ "$status" -eq "$wanted" ]; then pass "$what: exit $wanted"; else fail "$what: exit $status, expected $wanted"; fi
    if [ "$(tail -n 1 stdout)" = "$line" ]; then pass "  $line"; else fail "  not: $line"; fi
}

printf '[       OK ] test_one\n[       OK ] test_two\n[  SKIPPED ] test_three\n[  PASSED  ] 2 test(s).\n' > good.log
printf ':test-result: PASS\n' > good.trs
printf 'ok - one\nok - two\nok - three\n' > cli.log
printf ':test-result: PASS\n' > cli.trs
printf '[       OK ] test_one\n[  FAILED  ] test_two_32\n[  FAILED  ] tests: 1 test(s), listed below:\n[  FAILED  ] test_two_32\n' > bad.log
printf ':test-result: FAIL\n' > bad.trs
printf 'ok - one\nnot ok - two\nnot ok - two\n' > badcli.log
printf ':test-result: FAIL\n' > badcli.trs
printf 'ok - one\n' > crashed.log
printf ':test-result: ERROR\n' > crashed.trs
printf 'skipped: no device here\n' > skipped.log
printf ':test-result: SKIP\n' > skipped.trs
tally 0 "5 passed, 0 failed" "all is well" good.log cli.log skipped.log
tally 1 "1 passed, 1 failed" "cmocka's failure counts once" bad.log
says "failed: bad.log"
tally 1 "7 passed, 3 failed" "failures among good ones" good.log bad.log cli.log badcli.log skipped.log
tally 1 "1 passed, 1 failed" "a crash counts" crashed.log
tally 1 "2 passed, 1 failed" "a test that did not run counts" good.log nowhere.log
says "failed: nowhere.log"
tally 1 "0 passed, 1 failed" "nothing at all"
says "no test ran"

# Lines and files are of a length that people read.
if (cd "$TOP" && git ls-files --error-unmatch Makefile.am > "$OLDPWD/listed" 2>&1); then
    if (cd "$TOP" && check/tools/style lines) > stdout 2> stderr; then
        pass "no line over 120 columns, no file over 600 lines"
    else
        cat stderr
        fail "lines or files are too long"
    fi
else
    echo "skipped: the length of lines, since this is no checkout"
fi

# Without xz, make dist says so and leaves no empty archive. Only what it needs up to there is in the path.
build=$(dirname "$SELFSAME")
mkdir tools distribution
for tool in make sh bash sed; do ln -s "$(command -v $tool)" "tools/$tool"; done
MAKEFLAGS='' PATH=$PWD/tools make -C "$build" dist-hook "distdir=$PWD/distribution" > stdout 2> stderr
if [ $? -ne 0 ]; then pass "make dist without xz fails"; else fail "make dist without xz goes on"; fi
says "apt-get install xz-utils"
if [ -z "$(ls distribution)" ]; then pass "  and packs nothing"; else fail "  and packs something"; fi

# A repository around an unpacked tarball is somebody else's.
if command -v git > /dev/null; then
    release=$(sed -n 's/^release=//p' "$TOP/build-aux/version")
    # Nobody's settings, and a name that is none.
    export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_NAME=test GIT_AUTHOR_EMAIL=test GIT_COMMITTER_NAME=test GIT_COMMITTER_EMAIL=test
    repository() { git init -q "$1" && git -C "$1" commit -q --allow-empty -m "$2" && git -C "$1" tag -a -m "$2" "$2"; }
    mkdir -p outer/selfsame/build-aux
    cp "$TOP/build-aux/version" outer/selfsame/build-aux/
    repository outer v9.9 2> stderr
    if [ "$(outer/selfsame/build-aux/version)" = "$release" ]; then pass "a foreign repository's version is not ours"; else fail "a foreign version"; fi
    repository outer/selfsame v1.2.3 2> stderr
    if [ "$(outer/selfsame/build-aux/version)" = 1.2.3 ]; then pass "our own repository's is"; else fail "not our own version"; fi
    printf '0.7\n' > outer/selfsame/.tarball-version
    if [ "$(outer/selfsame/build-aux/version)" = 0.7 ]; then pass "a tarball's comes first"; else fail "not the tarball's version"; fi
else
    echo "skipped: versions, since there is no git here"
fi
