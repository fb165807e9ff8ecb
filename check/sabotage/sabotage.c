/* Which variant of check/cli/sabotage.sh's program is wrong: the number in SABOTAGE. */
#include <stdlib.h>

int sabotage;

__attribute__((constructor)) static void choose(void)
{
    const char *number = getenv("SABOTAGE");
    sabotage = number != NULL ? atoi(number) : 0;
}
