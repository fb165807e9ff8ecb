/* How this program was built, for records and --version. */
#ifndef SELFSAME_BUILD_INFO_H
#define SELFSAME_BUILD_INFO_H

extern const char build_version[];   /* git's description of the source, or the release's number */
extern const char build_commit[];    /* of the source, in full; "" where it is not known. The version says -dirty for a
                                      * source that differed from it */
extern const char build_compiler[];  /* such as "gcc 12.2.0" */
extern const char build_flags[];     /* CPPFLAGS and CFLAGS of the common files */
extern const char build_configure[]; /* configure's arguments */

/* Folders of data that come with the program. */
enum build_data { BUILD_EXPERIMENTS, BUILD_PLOTS, BUILD_PUBLISHED };
enum { BUILD_FOLDERS = 2 };

/* The folders that are searched, in this order. The installed program looks where `make install` put them, then in the
 * source that it was built from. Any other program looks in the source first. They may not exist. */
void build_folders(enum build_data data, const char *folders[BUILD_FOLDERS]);

#endif
