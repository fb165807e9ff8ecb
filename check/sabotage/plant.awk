# A sed script that plants all variants of one file, from the lines that variants.awk makes.
$6 == file {
    to = $9
    if (index(to, "RIGHT") == 0)
        to = "(RIGHT ? & : " to ")"
    gsub(/RIGHT/, "(sabotage != " $1 ")", to)
    # A function begins in the first column, or in the fifth, behind a line that has what comes before its name.
    printf "/^\\(    \\|[A-Za-z_].*[ *]\\)%s(/,/^}/ s#%s#%s#\n", $7, $8, to
}
