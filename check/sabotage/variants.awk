# From variants.* to a line for each variant, with tabs: its number, section, engines, what is wrong, recipe, file,
# function, the pattern that is changed, into what, and what catches it.
function bad(why) {
    printf "%s:%d: %s\n", FILENAME, FNR, why > "/dev/stderr"
    failed = 1
}
/^#/ || /^$/ { next }
/^\[/ {
    if (want != "") bad("the variant before has no line \"" want "\"")
    section = substr($1, 2, length($1) - 2)
    rest = substr($0, length($1) + 2)
    colon = index(rest, ": ")
    if (colon == 0) bad("no \": \" after the engines")
    engines = substr(rest, 1, colon - 1)
    what = substr(rest, colon + 2)
    want = "in"
    next
}
$1 != want { bad("a line \"" want "\" was expected"); next }
$1 == "in" { recipe = $2; file = $3; func_ = $4; want = "from"; if (NF != 4) bad("three words after in"); next }
$1 == "from" { from = substr($0, 8); want = "to"; next }
$1 == "to" { to = substr($0, 8); want = "caught"; next }
$1 == "caught" {
    want = ""
    print ++count "\t" section "\t" engines "\t" what "\t" recipe "\t" file "\t" func_ "\t" from "\t" to "\t" substr($0, 8)
}
END {
    if (want != "") bad("the last variant has no line \"" want "\"")
    exit failed
}
