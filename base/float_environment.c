#include "base/float_environment.h"

enum status float_environment_check(const char *what, struct error *error)
{
    if (float_environment_holds())
        return STATUS_OK;
    return error_set(error, STATUS_ENVIRONMENT,
                     "something in this process changed the rounding mode, the handling of subnormal numbers or the "
                     "floating-point traps, so %s cannot be trusted; start it again without LD_PRELOAD and the like",
                     what);
}
