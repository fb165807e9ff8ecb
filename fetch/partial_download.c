#include "fetch/partial_download.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { READ_BYTES = 1 << 20, ORIGIN_BYTES_MAX = PART_URL_BYTES + PART_VALIDATOR_BYTES + 16 };

static enum status origin_path(const char *part, char path[FILE_PATH_BYTES], struct error *error)
{
    return file_path(path, error, "%s.origin", part);
}

static void start_digests(struct part *part)
{
    sha256_start(&part->sha256);
    if (part->with_md5)
        md5_start(&part->md5);
}

static void add_digests(struct part *part, const void *data, size_t bytes)
{
    sha256_add(&part->sha256, data, bytes);
    if (part->with_md5)
        md5_add(&part->md5, data, bytes);
    part->bytes += bytes;
}

/* Takes the next line of *text, or returns false where there is none or it is too long. */
static bool take_line(const char **text, char *line, size_t size)
{
    size_t length = strcspn(*text, "\n");
    if ((*text)[length] != '\n' || length >= size)
        return false;
    memcpy(line, *text, length);
    line[length] = '\0';
    *text += length + 1;
    return true;
}

/* What cannot be read counts as unknown: the download then begins anew, which is never wrong. */
static void read_origin(struct part *part)
{
    char path[FILE_PATH_BYTES], *text = NULL, word[8];
    size_t bytes;
    struct error ignored;
    if (origin_path(part->path, path, &ignored) != STATUS_OK ||
        file_read(path, ORIGIN_BYTES_MAX, &text, &bytes, &ignored) != STATUS_OK)
        return;
    const char *next = text;
    if (strlen(text) != bytes || !take_line(&next, part->url, sizeof part->url) ||
        !take_line(&next, part->validator, sizeof part->validator) || !take_line(&next, word, sizeof word) ||
        (strcmp(word, "one") != 0 && strcmp(word, "mixed") != 0))
        part->url[0] = part->validator[0] = '\0';
    else
        part->mixed = strcmp(word, "mixed") == 0;
    free(text);
}

static enum status read_digests(struct part *part, struct error *error)
{
    char *buffer = malloc(READ_BYTES);
    if (buffer == NULL)
        return error_out_of_memory(error, "%s", part->path);
    enum status status = STATUS_OK;
    for (;;) {
        ssize_t got = read(part->descriptor, buffer, READ_BYTES);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            status = error_set_errno(error, STATUS_ENVIRONMENT, "cannot read %s", part->path);
        if (got <= 0)
            break;
        add_digests(part, buffer, (size_t)got);
    }
    free(buffer);
    return status;
}

enum status part_open(struct part *part, const char *path, bool with_md5, struct error *error)
{
    memset(part, 0, sizeof *part);
    part->descriptor = -1;
    part->with_md5 = with_md5;
    enum status status = file_path(part->path, error, "%s", path);
    if (status != STATUS_OK)
        return status;
    status = file_open_own(path, O_RDWR, &part->descriptor, error);
    if (status != STATUS_OK)
        return status;
    start_digests(part);
    read_origin(part);
    status = read_digests(part, error);
    if (status == STATUS_OK && part->bytes > 0 && part->url[0] == '\0')
        status = part_restart(part, error);
    if (status != STATUS_OK)
        part_close(part);
    return status;
}

enum status part_append(struct part *part, const void *data, size_t bytes, struct error *error)
{
    const char *next = data;
    for (size_t left = bytes; left > 0;) {
        ssize_t put = write(part->descriptor, next, left);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0) {
            error_set_errno(error, STATUS_ENVIRONMENT, "cannot write %s at byte %" PRIu64, part->path,
                            part->bytes + (bytes - left));
            if (ftruncate(part->descriptor, (off_t)part->bytes) != 0 ||
                lseek(part->descriptor, (off_t)part->bytes, SEEK_SET) < 0)
                return error_prefix(error, "%s has more bytes than it should", part->path);
            return error->status;
        }
        next += put;
        left -= (size_t)put;
    }
    add_digests(part, data, bytes);
    return STATUS_OK;
}

enum status part_restart(struct part *part, struct error *error)
{
    char path[FILE_PATH_BYTES];
    enum status status = origin_path(part->path, path, error);
    if (status == STATUS_OK && (ftruncate(part->descriptor, 0) != 0 || lseek(part->descriptor, 0, SEEK_SET) < 0))
        status = error_set_errno(error, STATUS_ENVIRONMENT, "cannot empty %s", part->path);
    if (status == STATUS_OK)
        status = file_remove(path, error);
    start_digests(part);
    part->bytes = 0;
    part->url[0] = part->validator[0] = '\0';
    part->mixed = false;
    return status;
}

enum status part_origin(struct part *part, const char *url, const char *validator, bool mixed, struct error *error)
{
    char path[FILE_PATH_BYTES], text[ORIGIN_BYTES_MAX];
    if (strcmp(part->url, url) == 0 && strcmp(part->validator, validator) == 0 && part->mixed == mixed)
        return STATUS_OK;
    enum status status = origin_path(part->path, path, error);
    if (status != STATUS_OK)
        return status;
    snprintf(part->url, sizeof part->url, "%s", url);
    snprintf(part->validator, sizeof part->validator, "%s", validator);
    part->mixed = mixed;
    int length = snprintf(text, sizeof text, "%s\n%s\n%s\n", part->url, part->validator, mixed ? "mixed" : "one");
    return file_write(path, text, (size_t)length, error);
}

enum status part_finish(struct part *part, char sha256[DIGEST_HEX_BYTES], char md5[MD5_HEX_BYTES], struct error *error)
{
    uint8_t digest[DIGEST_BYTES];
    sha256_finish(&part->sha256, digest);
    digest_to_hex(digest, sha256);
    md5[0] = '\0';
    if (part->with_md5)
        md5_finish(&part->md5, md5);
    if (fsync(part->descriptor) != 0)
        return error_set_errno(error, STATUS_ENVIRONMENT, "cannot sync %s", part->path);
    return STATUS_OK;
}

void part_close(struct part *part)
{
    if (part->descriptor >= 0)
        close(part->descriptor);
    part->descriptor = -1;
}

enum status part_remove(const char *path, struct error *error)
{
    char origin[FILE_PATH_BYTES];
    enum status status = origin_path(path, origin, error);
    if (status == STATUS_OK)
        status = file_remove(path, error);
    return status == STATUS_OK ? file_remove(origin, error) : status;
}
