/* How this program was built, for records and --version. A leaf room. */
#ifndef SELFSAME_BUILD_INFO_H
#define SELFSAME_BUILD_INFO_H

#include <stdio.h>

extern const char build_version[];   /* git's description of the source, or the release's number */
extern const char build_compiler[];  /* such as "gcc 12.2.0" */
extern const char build_flags[];     /* CPPFLAGS and CFLAGS of the common files */
extern const char build_configure[]; /* configure's arguments */

/* The above, and the version of the arithmetic, in a few lines. */
void build_print(FILE *file);

#endif
