/* ptx_list FILE.ptx ...: the kernels of modules, their instructions, and where the bits depend on ptxas or on flags;
 * exit status 1 if anywhere, 2 if a module is not understood. */
#include <stdio.h>

#include "check/ptx/ptx.h"

int main(int count, char **paths)
{
    size_t doubtful = 0;
    for (int i = 1; i < count; i++) {
        struct ptx_module *module = ptx_load(paths[i]);
        if (!module)
            return 2;
        doubtful += ptx_list(module);
    }
    printf("%zu places in doubt\n", doubtful);
    return doubtful > 0;
}
