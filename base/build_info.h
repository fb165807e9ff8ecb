/* How this program was built, for records and --version. */
#ifndef SELFSAME_BUILD_INFO_H
#define SELFSAME_BUILD_INFO_H

#include <stddef.h>

extern const char build_version[];   /* git's description of the source, or the release's number */
extern const char build_commit[];    /* of the source, in full; "" where it is not known. The version says -dirty for a
                                      * source that differed from it */
extern const char build_compiler[];  /* such as "gcc 12.2.0" */
extern const char build_flags[];     /* CPPFLAGS and CFLAGS of the common files */
extern const char build_configure[]; /* configure's arguments */

/* Folders of data that come with the program. */
enum build_data { BUILD_EXPERIMENTS, BUILD_PLOTS, BUILD_PUBLISHED, BUILD_DATA };
enum { BUILD_FOLDERS = 2 };

/* The folders that are searched, in this order. A program in its build folder looks in the source tree first, and then
 * where `make install` puts them. The installed program looks only there: both are the same then. They may not exist.
 * The texts are the same in every call. */
void build_folders(enum build_data data, const char *folders[BUILD_FOLDERS]);

/* The folder of the modules that the program opens at run time: in the build folder, or where `make install` puts
 * them. */
void build_modules_folder(char *folder, size_t size);

#endif
