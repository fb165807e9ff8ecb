# make install and make uninstall as packagers use them: into DESTDIR, under any umask, and without a trace at the end.

build=$(dirname "$SELFSAME")
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES
prefix=$(sed -n 's/^prefix = //p' "$build/Makefile")
if (umask 077 && make -s -C "$build" install DESTDIR="$PWD/stage") > made 2>&1; then
    pass "make install with DESTDIR"
else
    fail "make install with DESTDIR"
    cat made
    finish
fi
there=stage$prefix
if [ "$(find stage -type f | wc -l)" -eq "$(find "$there" -type f | wc -l)" ]; then
    pass "  only below the prefix"
else
    fail "  something is outside of the prefix"
    find stage -type f | grep -v "^$there/"
fi
for file in bin/selfsame share/man/man1/selfsame.1 share/man/man5/selfsame-manifest.5 share/doc/selfsame/README.md \
    share/bash-completion/completions/selfsame share/zsh/site-functions/_selfsame \
    share/fish/vendor_completions.d/selfsame.fish share/selfsame/experiments/msra/resnet20.yaml \
    share/selfsame/experiments/sweep.sbatch share/selfsame/plots/style.gp \
    share/selfsame/published/quick/quick-resnet20-seed1/record.json; do
    [ -f "$there/$file" ] || fail "  $file is not installed"
done
for command in $("$SELFSAME" help --words commands | sed 's/[[:space:]:].*//'); do
    [ -f "$there/share/man/man1/selfsame-$command.1" ] || fail "  $command has no manual page"
done
for module in "$build"/ranks/*.so; do
    [ ! -f "$module" ] || [ -n "$(find "$there" -path "*/selfsame/${module##*/}")" ] || fail "  ${module##*/} is not installed"
done
wrong=$(find stage -type f ! -perm 644 ! -path "$there/bin/*"; find stage -type f ! -perm 755 -path "$there/bin/*")
if [ -z "$wrong" ]; then pass "  with the usual modes"; else fail "  with other modes: $wrong"; fi
"$SELFSAME" --version > version
"$there/bin/selfsame" --version > staged
same version staged "  the program runs"
make -s -C "$build" uninstall DESTDIR="$PWD/stage" > made 2>&1 || fail "make uninstall"
left=$(find stage ! -type d; find "$there/share/selfsame" "$there/share/doc/selfsame" "$there/lib/selfsame" 2> stderr)
if [ -z "$left" ]; then pass "make uninstall leaves nothing"; else fail "make uninstall leaves $left"; fi
