/* What people say about a run: its tags and a note. They are files in the run's folder, and no part of its record: they
 * move no digest, and a packed run is without them.
 *
 * tags/TAG   an empty file for each tag, so that processes which tag one run at the same time do not disturb each other
 * note.txt   one line */
#ifndef SELFSAME_LABELS_H
#define SELFSAME_LABELS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

#define LABELS_TAGS_FOLDER "tags"
#define LABELS_NOTE_FILE "note.txt"
enum { TAG_BYTES = 65, TAGS_MAX = 100, NOTE_BYTES = 4096 };

/* STATUS_INPUT for what cannot be a tag: other characters than letters, digits, '.', '_', '+' and '-', or too long. */
enum status tag_check(const char *tag, struct error *error) MUST_USE;
/* Adds a tag to the run in a folder, or removes it. One that is there already, or is not there, is fine. */
enum status tag_add(const char *folder, const char *tag, struct error *error) MUST_USE;
enum status tag_remove(const char *folder, const char *tag, struct error *error) MUST_USE;
/* The tags of the run in a folder: sorted, with a blank between two; "" for none. Files whose names are no tags are
 * skipped. STATUS_INPUT for a folder that is a symbolic link. The caller frees the text. */
enum status tags_read(const char *folder, char **tags, struct error *error) MUST_USE;

/* Replaces the note of the run in a folder; "" removes it. STATUS_INPUT for more than one line, for control characters,
 * and for what is too long. */
enum status note_write(const char *folder, const char *note, struct error *error) MUST_USE;
/* "" for none. STATUS_INPUT for a file that is a symbolic link, or not one line of text. The caller frees the text. */
enum status note_read(const char *folder, char **note, struct error *error) MUST_USE;

#endif
