# Layers: a room includes only the rooms that the table below allows, and no circle of files has grown inside one.
# ARCHITECTURE.md shows the same table. A room is a folder of the product; check/ may include every room.

cd "$TOP" || exit 99

# room: the rooms that it may include, in addition to itself. A room may name only rooms above its own line, so that arrows
# point down only.
table='base:
ranks: base
trainer: base
trainer/cpu: base ranks trainer
trainer/cpu/fused: base trainer trainer/cpu
trainer/gpu: base trainer
trainer/cuda: base trainer trainer/gpu
trainer/cudnn: base trainer trainer/gpu
experiments: base trainer
fetch/weights: base trainer experiments
fetch: base trainer experiments
fetch/data: base trainer experiments fetch/weights fetch
results: base trainer experiments fetch/weights fetch
plots: base trainer experiments results
exchange: base trainer experiments fetch results
commands: base ranks trainer experiments fetch/weights fetch fetch/data results plots exchange
selfsame.c: base commands'

# ---- the table itself ----

if printf '%s\n' "$table" | awk -F': *' '{
    count = split($2, rooms, " ")
    for (i = 1; i <= count; i++)
        if (!(rooms[i] in above)) { print $1 " names " rooms[i] ", which is not above it"; bad = 1 }
    above[$1]
} END { exit bad }' > "$OLDPWD/stdout"; then pass "every arrow of the table points down"; else cat "$OLDPWD/stdout"; fail "an arrow of the table points up"; fi

shown=$(sed -n '/^<!-- layers -->$/,/^<!-- end -->$/p' ARCHITECTURE.md | grep '^    ' | sed 's/^    //')
if [ "$shown" = "$table" ]; then pass "ARCHITECTURE.md shows the table"; else fail "ARCHITECTURE.md shows another table than check/cli/layers.sh has"; fi

# ---- every #include ----

files=$( (git ls-files '*.c' '*.h' '*.cu' '*.cuh' 2> /dev/null | grep . || find . -name '*.c' -o -name '*.h' -o -name '*.cu' -o -name '*.cuh' | sed 's,^\./,,') |
    grep -v '^check/\|^build')
# shellcheck disable=SC2086 # a list of names without blanks
grep -H '^ *# *include "' $files | sed 's/:.*"\(.*\)".*/ \1/' > "$OLDPWD/includes"
cd "$OLDPWD" || exit 99
if [ "$(wc -l < includes)" -gt 300 ]; then pass "$(wc -l < includes) includes were read"; else fail "hardly an include was found"; fi

printf '%s\n' "$table" > table
awk -F': *' '
    function room(file) { if (file !~ "/") return file; sub("/[^/]*$", "", file); return file }
    FNR == NR { count = split($2, rooms, " "); allowed[$1, $1]; known[$1]; for (i = 1; i <= count; i++) allowed[$1, rooms[i]]; next }
    {
        split($0, file, " ")
        from = room(file[1]); to = room(file[2])
        if (file[2] == "build_facts.h" || file[2] == "build_changes_text.h") next # made by the build from nothing
        if (!(from in known)) print file[1] ": " from " is no room of the table"
        else if (!((from, to) in allowed)) print file[1] " includes " file[2] ": " from " may not know " to
    }
' table includes > stdout || fail "awk: exit $?"
if [ ! -s stdout ]; then pass "every include follows the table"; else cat stdout; fail "$(wc -l < stdout) includes that the table does not allow"; fi

# ---- circles: a module is a .c or .cu file with the .h of its name; a header of its own belongs to those that include it ----

sed 's/ /\n/' includes | grep '\.cu\{0,1\}$' | sed 's/\.cu\{0,1\}$//' | sort -u > modules
awk 'FNR == NR { module[$1]; next }
    { for (i = 1; i <= 2; i++) sub(/\.(c|h|cu)$/, "", $i); if ($1 != $2 && $1 in module && $2 in module) print }' modules includes > edges
: > stdout
if tsort edges > /dev/null 2> stderr; then pass "no circle of modules among $(wc -l < modules)"; else fail "modules that include each other in a circle"; fi
