#include "results/labels.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"

/* ---- tags -------------------------------------------------------------------------------------------------------- */

static bool is_tag(const char *tag)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+-";
    const size_t length = strlen(tag);
    return length > 0 && length < TAG_BYTES && strspn(tag, letters) == length && tag[0] != '.' && tag[0] != '-';
}

enum status tag_check(const char *tag, struct error *error)
{
    if (is_tag(tag))
        return STATUS_OK;
    return error_set(error, STATUS_INPUT,
                     "'%.100s' cannot be a tag; a tag has at most %d letters, digits, '.', '_', '+' and '-', and does "
                     "not begin with '.' or '-'",
                     tag, TAG_BYTES - 1);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* The first TAGS_MAX names in the order of the folder, which are then sorted. A link is not followed: the names of
 * another folder's files are nobody's tags. */
static enum status list_tags(const char *path, char (*names)[TAG_BYTES], size_t *count, struct error *error)
{
    *count = 0;
    const int descriptor = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (descriptor < 0 && errno == ENOENT)
        return STATUS_OK;
    if (descriptor < 0 && (errno == ENOTDIR || errno == ELOOP))
        return error_set(error, STATUS_INPUT, "%s is a symbolic link or a file, and no folder of tags; remove it",
                         path);
    DIR *list = descriptor >= 0 ? fdopendir(descriptor) : NULL;
    if (list == NULL) {
        enum status status = error_set_errno(error, STATUS_ENVIRONMENT, "cannot list the folder %s", path);
        if (descriptor >= 0)
            close(descriptor);
        return status;
    }
    for (struct dirent *entry; *count < TAGS_MAX && (entry = readdir(list)) != NULL;) {
        if (is_tag(entry->d_name))
            snprintf(names[(*count)++], TAG_BYTES, "%s", entry->d_name);
    }
    closedir(list);
    qsort(names, *count, sizeof *names, by_name);
    return STATUS_OK;
}

enum status tag_add(const char *folder, const char *tag, struct error *error)
{
    char path[FILE_PATH_BYTES], file[FILE_PATH_BYTES], names[TAGS_MAX][TAG_BYTES];
    size_t count = 0;
    int descriptor = -1;
    enum status status = tag_check(tag, error);
    if (status == STATUS_OK)
        status = file_path(path, error, "%s/" LABELS_TAGS_FOLDER, folder);
    if (status == STATUS_OK)
        status = file_make_folders(path, error);
    if (status == STATUS_OK)
        status = file_check_folder(path, false, error);
    if (status == STATUS_OK)
        status = file_path(file, error, "%s/%s", path, tag);
    if (status != STATUS_OK || file_exists(file))
        return status;
    status = list_tags(path, names, &count, error);
    if (status == STATUS_OK && count == TAGS_MAX)
        return error_set(error, STATUS_INPUT, "%s has %d tags already, which is the most that a run can have", folder,
                         TAGS_MAX);
    if (status == STATUS_OK)
        status = file_open_own(file, O_WRONLY, &descriptor, error);
    if (status != STATUS_OK)
        return status;
    close(descriptor);
    return file_sync_folder(path, error);
}

enum status tag_remove(const char *folder, const char *tag, struct error *error)
{
    char path[FILE_PATH_BYTES];
    enum status status = tag_check(tag, error);
    if (status == STATUS_OK)
        status = file_path(path, error, "%s/" LABELS_TAGS_FOLDER, folder);
    if (status != STATUS_OK || !file_exists(path))
        return status;
    status = file_check_folder(path, false, error);
    if (status == STATUS_OK)
        status = file_path(path, error, "%s/" LABELS_TAGS_FOLDER "/%s", folder, tag);
    return status == STATUS_OK ? file_remove(path, error) : status;
}

enum status tags_read(const char *folder, char **tags, struct error *error)
{
    char path[FILE_PATH_BYTES], names[TAGS_MAX][TAG_BYTES];
    size_t count = 0;
    *tags = NULL;
    enum status status = file_path(path, error, "%s/" LABELS_TAGS_FOLDER, folder);
    if (status == STATUS_OK)
        status = list_tags(path, names, &count, error);
    if (status != STATUS_OK)
        return status;
    char *end = *tags = malloc(count * TAG_BYTES + 1);
    if (*tags == NULL)
        return error_out_of_memory(error, "the tags of %s", folder);
    *end = '\0';
    for (size_t i = 0; i < count; i++)
        end += sprintf(end, "%s%s", i > 0 ? " " : "", names[i]);
    return STATUS_OK;
}

/* ---- the note ---------------------------------------------------------------------------------------------------- */

static enum status check_note(const char *note, const char *what, struct error *error)
{
    if (strlen(note) <= NOTE_BYTES && text_is_plain(note, ""))
        return STATUS_OK;
    return error_set(error, STATUS_INPUT, "%s is not one line of UTF-8 text of at most %d bytes", what, NOTE_BYTES);
}

enum status note_write(const char *folder, const char *note, struct error *error)
{
    char path[FILE_PATH_BYTES], line[NOTE_BYTES + 2];
    enum status status = check_note(note, "the note", error);
    if (status == STATUS_OK)
        status = file_path(path, error, "%s/" LABELS_NOTE_FILE, folder);
    if (status == STATUS_OK)
        status = file_check_folder(folder, true, error);
    if (status != STATUS_OK)
        return status;
    if (note[0] == '\0')
        return file_remove(path, error);
    const int length = snprintf(line, sizeof line, "%s\n", note);
    return file_write(path, line, (size_t)length, error);
}

enum status note_read(const char *folder, char **note, struct error *error)
{
    char path[FILE_PATH_BYTES];
    size_t bytes;
    *note = NULL;
    enum status status = file_path(path, error, "%s/" LABELS_NOTE_FILE, folder);
    if (status != STATUS_OK)
        return status;
    if (!file_exists(path)) {
        *note = calloc(1, 1);
        return *note != NULL ? STATUS_OK : error_out_of_memory(error, "a note");
    }
    status = file_read_unlinked(path, NOTE_BYTES + 16, note, &bytes, error);
    if (status != STATUS_OK)
        return status;
    bytes = text_unify(*note, bytes);
    if (bytes > 0 && (*note)[bytes - 1] == '\n')
        (*note)[--bytes] = '\0';
    status = strlen(*note) == bytes ? check_note(*note, path, error)
                                    : error_set(error, STATUS_INPUT, "%s holds a zero byte", path);
    if (status != STATUS_OK) {
        free(*note);
        *note = NULL;
    }
    return status;
}
