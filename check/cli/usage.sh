# The program's outer shell: help, versions, mistakes, and an output that cannot be written.

expect 2 "no command"
says "needs a command"
says "usage: selfsame COMMAND"
expect 0 "help" --help
prints "Exit status"
expect 0 "version" --version
prints "arithmetic exact-"
expect 2 "unknown command" trian
says "there is no command '.*'; did you mean 'train'? selfsame --help lists them$"
expect 2 "unknown command, nothing near" xyzzy
says "selfsame --help lists them"

# Of the program's own list, so that no command is left out.
"$SELFSAME" help --words commands | sed 's/[[:space:]:].*//' > known
if [ "$(wc -l < known)" -ge 17 ]; then pass "$(wc -l < known) commands are listed"; else fail "hardly a command is listed"; fi
# shellcheck disable=SC2013 # a word a line; the loop's own commands read standard input
for command in $(cat known); do
    expect 0 "$command --help" "$command" --help
    prints "^usage: selfsame $command"
    prints "^Options:"
    expect 2 "$command with an unknown option" "$command" --no-such-option-at-all
    says "unknown option"
    # The completions come from the same table: every option of theirs is in the help.
    "$SELFSAME" help --completion bash | sed -n "s/^    $command) options=\"\(.*\)\" operand=.*/\1/p" | tr ' ' '\n' > options
    if grep -q '^--' options; then pass "$command's completion has options"; else fail "$command's completion has no option"; fi
    while read -r option; do
        if grep -q -- "^  $option" stdout || "$SELFSAME" "$command" --help | grep -q -- "^  $option"; then
            pass "$command --help names $option"
        else
            fail "$command --help does not have $option"
        fi
    done < options
    expect 0 "manual page of $command" help --man "$command"
    prints "^.TH \"SELFSAME"
done

# ---- what the environment says, the format's page, and completions that know what they complete ----

expect 0 "the program's help" --help
for variable in SELFSAME_RUNS SELFSAME_STORE SELFSAME_EXPERIMENTS SELFSAME_PLOTS SELFSAME_ISA TMPDIR; do prints "^  $variable "; done
if [ "$(awk 'length > 80' stdout | wc -l)" -eq 0 ]; then pass "  within 80 columns"; else fail "  a line is longer than 80 columns"; fi
expect 0 "the manual page has them, too" help --man
prints '^.B SELFSAME_STORE$'
expect 0 "the format's manual page" help --man manifest.5
prints '^.TH "SELFSAME.*MANIFEST" "5"'
"$SELFSAME" manifest --schema | sed -n 's/^\([a-z][a-z0-9_.]*\(\[\]\)*[a-z0-9_.]*\)$/\1/p' > keys
while read -r key; do grep -q -F "^.B $key" stdout 2> /dev/null || grep -q -x -F ".B $key" stdout || fail "  the page has no $key"; done < keys
if [ "$(wc -l < keys)" -gt 40 ]; then pass "  every key of --schema is there"; else fail "  --schema has few keys"; fi
if "$SELFSAME" manifest --schema | grep -q 'e+[0-9]'; then fail "a bound of --schema is 9e+15"; else pass "the bounds of --schema are whole numbers"; fi

# complete WORD...: what bash offers for the last of the words.
complete_words() {
    bash -c 'source ./completion; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _selfsame; printf "%s\n" "${COMPREPLY[@]}"' bash "$@"
}
# offers "WORD that is offered" WORD...
offers() {
    word=$1
    shift
    if complete_words "$@" | grep -q -x -F -- "$word"; then pass "bash offers $word after: $*"; else fail "bash does not offer $word after: $*"; fi
}
if command -v bash > /dev/null; then
    "$SELFSAME" help --completion bash > completion
    mkdir -p bin runs/a-run
    ln -sf "$SELFSAME" bin/selfsame
    printf '{}' > runs/a-run/record.json
    PATH=$PWD/bin:$PATH
    offers avx2 selfsame train --isa a
    offers cpu selfsame train --engine ''
    offers csv selfsame runs --format ''
    offers svg selfsame plot --format s
    offers msra/resnet20.yaml selfsame train msra/
    offers msra/resnet20.yaml selfsame eval --manifest msra/
    offers a-run selfsame compare a
    offers targets selfsame help t
    offers --resume selfsame train --re
    offers runs selfsame train --runs r
    if complete_words selfsame doctor '' | grep -q .; then fail "doctor takes no operand, but some are offered"; else pass "nothing is offered where nothing is taken"; fi
fi
for shell in bash zsh fish; do
    expect 0 "completions for $shell" help --completion "$shell"
    prints "avx2"
    prints "manifests"
    if command -v "$shell" > /dev/null; then
        cp stdout syntax
        if "$shell" -n syntax 2> stderr; then pass "  which $shell reads"; else fail "  which $shell does not read"; fi
    fi
done

expect 2 "misspelt option" train --thread 2 x.yaml
says "did you mean --threads"
expect 2 "threads 0" train --threads 0 x.yaml
says "must be 1 to 1024"
expect 2 "threads 10000" train --threads 10000 x.yaml
says "must be 1 to 1024"
expect 2 "threads as a word" train --threads two x.yaml
says "not a whole number"
expect 2 "option without its value" train --threads
says "needs a value"
expect 2 "operand missing" train
says "needs MANIFEST"
expect 2 "flag with a value" train --resume=yes x.yaml
says "takes no value"

"$SELFSAME" --help > /dev/full 2> stderr
if [ $? -eq 3 ]; then pass "full standard output: exit 3"; else fail "full standard output: wrong exit"; fi
says "standard output could not be written"
"$SELFSAME" --help >&- 2> stderr
if [ $? -eq 3 ]; then pass "closed standard output: exit 3"; else fail "closed standard output: wrong exit"; fi
says "standard output could not be written"
