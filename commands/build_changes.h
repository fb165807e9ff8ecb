/* How the sources of this program differed from its commit when it was built. It is linked into the program alone: in a
 * library, every edit would link every test again. */
#ifndef SELFSAME_BUILD_CHANGES_H
#define SELFSAME_BUILD_CHANGES_H

#include "results/source_changes.h"

extern const struct source_changes build_changes;

#endif
