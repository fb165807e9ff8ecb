# Sourced by tests that plant faults: copies of the program, built from changed sources. The program itself has no place for a fault.
# shellcheck shell=sh disable=SC2086 # flags, libraries and file lists are to be split

case $(build_flags) in
*-fsanitize* | *--coverage*)
    echo "skipped: planted faults, since the libraries of this build need flags of their own"
    finish
    ;;
esac
build=$(dirname "$SELFSAME")
flags="-std=c11 -O2 ${EXACT_CFLAGS-} -I$TOP -I$build -D_GNU_SOURCE -DHAVE_CONFIG_H -include $build/config.h ${LIBRARY_CFLAGS-}"

# plant NAME FILE SED_SCRIPT [FLAGS...]: ./NAME is the program with FILE changed so, compiled once for each of FLAGS.
plant() {
    name=$1 file=$2 script=$3
    shift 3
    sed "$script" "$TOP/$file" > $name.c
    if cmp -s $name.c "$TOP/$file"; then fail "planting $name: nothing was changed"; fi
    [ $# -gt 0 ] || set -- ""
    objects=
    for more; do
        object=$PWD/$name$(printf '%s' "$more" | tr -cd 'A-Za-z0-9').o
        ${CC:-cc} $flags $more -c -o "$object" $name.c 2> stderr || fail "planting $name: does not compile"
        objects="$objects $object"
    done
    here=$PWD
    others=$(printf '%s\n' ${PROGRAM_OBJECTS-} | grep -v -e "\b${file%.c}\.o$") # a file of commands/ is among them
    (cd "$build" && ${CC:-cc} -pthread -o "$here/$name" $others $objects ${PROGRAM_LIBS-} -lm) 2> stderr || fail "planting $name: does not link"
}

# faulty NAME WORD...: runs such a program in the place of the real one.
faulty() {
    real=$SELFSAME SELFSAME=$PWD/$1
    shift
    expect "$@"
    SELFSAME=$real
}
