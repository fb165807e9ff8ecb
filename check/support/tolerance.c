#include "check/support/tolerance.h"

void tolerance_expect(struct tolerance *tolerance, const char *where, double error)
{
    if (error > tolerance->largest)
        tolerance->largest = error;
    if (!(error <= tolerance->bound))
        fail_msg("%s, %s: error %.3g, more than %.3g (measured: %s)", tolerance->name, where, error, tolerance->bound,
                 tolerance->why);
}

void tolerance_print(const struct tolerance *table, size_t count)
{
    for (size_t i = 0; i < count; i++)
        print_message("%-28s error at most %-7.2g of %-7.2g allowed; measured %s\n", table[i].name, table[i].largest,
                      table[i].bound, table[i].why);
}
