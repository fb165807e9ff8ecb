/* Prints the manifest's keys, as text and as a manual page, from their one table (experiments/schema.h). */
#ifndef SELFSAME_SCHEMA_HELP_H
#define SELFSAME_SCHEMA_HELP_H

#include <stdio.h>

/* All keys with type, bounds, default and meaning. */
void schema_print_text(FILE *file);
/* The manual page selfsame-manifest(5). */
void schema_print_man(FILE *file, const char *version);

#endif
