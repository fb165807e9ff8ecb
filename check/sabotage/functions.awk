# From objdump -d -r -C of objects that were compiled without optimisation: the names of the functions that compute. They
# have an operation of binary32 or binary64 that rounds, or a maximum, or call what is one instruction.
/^[0-9a-f]+ <.*>:$/ {
    name = $0
    sub(/^[0-9a-f]+ </, "", name)
    sub(/>:$/, "", name)
    sub(/[<(.].*/, "", name) # the arguments of a template and of a function, and what the compiler appends
    sub(/.* /, "", name)
    next
}
/\tv?(add|sub|mul|div|sqrt|max|min)[sp][sd][ \t]/ || /\tvfn?m(add|sub)[0-9]*[sp][sd][ \t]/ || /\tv?cvts?p?d2[sp]s/ { print name }
/(\tcall .*<|R_X86_64_(PLT|PC)32\t)(fmaf?|sqrtf?|vec_(add|div|fma|fnma|mul|relu|sub))[>(-]/ { print name }
