/* How this program was built, for records and --version. A leaf room. */
#ifndef SELFSAME_BUILD_INFO_H
#define SELFSAME_BUILD_INFO_H

extern const char build_version[];   /* git's description of the source, or the release's number */
extern const char build_compiler[];  /* such as "gcc 12.2.0" */
extern const char build_flags[];     /* CPPFLAGS and CFLAGS of the common files */
extern const char build_configure[]; /* configure's arguments */

/* Folders of data: in the source that this was built from, and where `make install` puts them. */
extern const char build_source_experiments[], build_source_plots[], build_source_published[];
extern const char build_installed_experiments[], build_installed_plots[], build_installed_published[];

#endif
