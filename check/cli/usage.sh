# The program's outer shell: help, versions, mistakes, and an output that nobody reads.

expect 2 "no command"
says "needs a command"
says "usage: selfsame COMMAND"
expect 0 "help" --help
prints "Exit status"
expect 0 "version" --version
prints "arithmetic exact-"
expect 2 "unknown command" trian
says "did you mean 'train'"
expect 2 "unknown command, nothing near" xyzzy
says "selfsame --help lists them"

for command in fetch train eval runs check compare targets plot bench doctor manifest inspect convert help; do
    expect 0 "$command --help" "$command" --help
    prints "^usage: selfsame $command"
    prints "^Options:"
    expect 2 "$command with an unknown option" "$command" --no-such-option-at-all
    says "unknown option"
    # The completions come from the same table: every option of theirs is in the help.
    "$SELFSAME" help --completion bash | sed -n "s/^    $command) options=\"\(.*\)\" ;;/\1/p" | tr ' ' '\n' > options
    if grep -q '^--' options; then pass "$command's completion has options"; else fail "$command's completion has no option"; fi
    while read -r option; do
        if grep -q -- "^  $option" stdout || "$SELFSAME" "$command" --help | grep -q -- "^  $option"; then
            pass "$command --help names $option"
        else
            fail "$command --help lacks $option"
        fi
    done < options
    expect 0 "manual page of $command" help --man "$command"
    prints "^.TH \"SELFSAME"
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
