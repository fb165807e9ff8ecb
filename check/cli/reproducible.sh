# Two builds of one source in two folders: the same bytes of the program, of all that is installed, and of the Debian
# packages. The second build has another path, umask, time zone, locale, home and number of processes. As far as the
# tools are here, it also has another time, another order of the files in each folder, and another host name. The builds
# are not optimised, to be quick. Part of `make check-ci`.

build=$(dirname "$SELFSAME")
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES CFLAGS CPPFLAGS LDFLAGS
# A cache would give the second build the objects of the first.
CCACHE_DISABLE=1
SOURCE_DATE_EPOCH=$(git -C "$TOP" log -1 --format=%ct 2> stderr || date +%s)
compiler=${CC:-gcc}
compiler=${compiler##* }
export CCACHE_DISABLE SOURCE_DATE_EPOCH

# ---- the two places ----

first=$PWD/first second=$PWD/second/deeper/down
if make -s -C "$build" distdir "distdir=$first" "top_distdir=$first" > made 2>&1; then
    pass "the sources as make dist packs them"
else
    fail "make distdir"
    cat made
    finish
fi
missing=$(git -C "$TOP" ls-files 2> stderr | while read -r file; do [ -e "first/$file" ] || echo "$file"; done)
if [ -z "$missing" ]; then pass "  no file of the checkout is missing"; else fail "  without $missing"; fi
mkdir -p "$second"
varied="path, umask, time zone, locale, home and number of processes"
disordered=
trap '[ -z "$disordered" ] || fusermount -u "$second"' EXIT
trap 'exit 99' HUP INT TERM
if [ -w /dev/fuse ] && command -v disorderfs > stdout && command -v fusermount > stdout; then
    cp -R first sources
    if disorderfs --quiet --multi-user=no --reverse-dirents=yes "$PWD/sources" "$second" > stdout 2> stderr; then
        disordered=yes varied="order of files, $varied"
    fi
fi
if [ -z "$disordered" ]; then
    echo "skipped: another order of the files, since disorderfs cannot run here"
    cp -R first/. "$second"
fi
another=
if command -v faketime > stdout; then
    another="faketime -m +400days" varied="time, $varied"
else
    echo "skipped: another time, since faketime is not here"
fi
if unshare --uts true 2> stderr; then
    printf '#!/bin/sh\nhostname elsewhere && exec "$@"\n' > elsewhere
    chmod 755 elsewhere
    another="unshare --uts $PWD/elsewhere $another" varied="host name, $varied"
fi
echo "# the second build has another $varied"

# ---- the program and what is installed ----

# With the default flags but for optimisation: debug information names files.
cat > plain <<SH
#!/bin/sh -e
../configure -q --without-cuda --prefix=/opt/selfsame CC=$compiler CFLAGS='-g -O0'
make -s -j"\$1" all
make -s install DESTDIR="\$2"
SH
cat > packed <<'SH'
#!/bin/sh -e
DEB_BUILD_OPTIONS="noopt nocheck parallel=$1" make -s deb
SH
chmod 755 plain packed
# in_both "what" SCRIPT: runs it in the build folder of each place.
in_both() {
    (cd "$first/build" && umask 022 && TZ=UTC LC_ALL=C HOME=$first "../../$2" 2 "$first.installed") > made 2>&1 ||
        { fail "$1"; tail -n 30 made; finish; }
    pass "$1"
    # shellcheck disable=SC2086 # words
    (cd "$second/build" && umask 077 && TZ=Asia/Tokyo LC_ALL=C.UTF-8 HOME=/nowhere \
        $another "$OLDPWD/$2" 3 "$OLDPWD/second.installed") > made 2>&1 ||
        { fail "$1 again"; tail -n 30 made; finish; }
    pass "$1 again"
}
# same_tree FOLDER FOLDER "what": the same files with the same bytes and modes.
same_tree() {
    for tree in "$1" "$2"; do
        (cd "$tree" && find . -type f -printf '%p %m\n' && find . -type f -exec sha256sum {} +)
    done | sort > trees
    if [ -s trees ] && [ -z "$(uniq -u trees)" ]; then
        pass "$3"
    else
        fail "$3: they differ"
        uniq -u trees
    fi
}

mkdir first/build "$second/build"
in_both "a build" plain
sha256sum first/build/selfsame "$second/build/selfsame"
same first/build/selfsame "$second/build/selfsame" "the same program"
same_tree first.installed second.installed "the same is installed"
if grep -q -F "$PWD" first/build/selfsame; then fail "its path is in it"; else pass "its path is not in it"; fi

# ---- the Debian packages ----

if ! command -v dpkg-buildpackage > stdout || ! command -v dh > stdout; then
    echo "skipped: Debian packages, since dpkg-buildpackage or dh is not here"
    finish
fi
in_both "make deb" packed
for place in first "$second"; do
    to=packages/$(basename "$place")
    mkdir -p "$to"
    cp "$place"/build/deb/*.deb "$place"/build/deb/*.dsc "$place"/build/deb/*.tar.* "$to/"
    chmod 644 "$to"/*
    (cd "$to" && sha256sum ./*)
done
same_tree packages/first packages/down "the same Debian packages"
# What is not among the packages is the buildinfo: it names the machine, the time and the folder.
if command -v lintian > stdout; then
    if lintian --allow-root --fail-on error,warning first/build/deb/*.changes > stdout 2> stderr &&
        [ ! -s stdout ]; then
        pass "lintian says nothing"
    else
        fail "lintian is not content"
    fi
else
    echo "skipped: lintian, which is not here"
fi
mkdir unpacked
dpkg-deb -x packages/first/selfsame_*.deb unpacked
unpacked/usr/bin/selfsame --version > stdout 2> stderr
if [ $? -eq 0 ]; then pass "the packaged program runs"; else fail "the packaged program does not run"; fi
prints "^selfsame "
