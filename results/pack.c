#include "results/pack.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "results/checkpoint.h"
#include "results/record_data.h"
#include "results/source_changes.h"

enum { BLOCK = 512, PADDED = 20 * BLOCK, NAME_BYTES = 100, CHUNK = 1 << 20 };
static const char top[] = "run/";

/* ---- what is of a record ----------------------------------------------------------------------------------------- */

static bool is_checkpoint(const char *name)
{
    uint64_t step;
    return checkpoint_parse_name(name, &step);
}

static bool is_attestation(const char *name)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", end[] = ".json";
    const size_t length = strlen(name);
    return length > strlen(end) && strcmp(name + length - strlen(end), end) == 0 && strspn(name, letters) == length &&
           name[0] != '.';
}

/* In the order in which they are packed. A name that ends in '/' is a folder, and `has` says whether a file belongs
 * there by its name. */
static const struct member {
    const char *name;
    bool (*has)(const char *name);
    uint64_t most; /* bytes */
} members[] = {
    { RECORD_FILE, NULL, (uint64_t)1 << 24 },
    { RECORD_MANIFEST_FILE, NULL, (uint64_t)1 << 24 },
    { METRICS_FILE, NULL, (uint64_t)1 << 28 },
    { LEDGER_FILE, NULL, (uint64_t)1 << 32 },
    { LEDGER_GZIP_FILE, NULL, (uint64_t)1 << 32 },
    { RECORD_WEIGHTS_FILE, NULL, (uint64_t)1 << 32 },
    { SOURCE_CHANGES_FILE, NULL, (uint64_t)1 << 20 },
    { RECORD_CHECKPOINTS_FOLDER "/", is_checkpoint, (uint64_t)1 << 32 },
    { RECORD_ATTESTATIONS_FOLDER "/", is_attestation, (uint64_t)1 << 24 },
};
enum { MEMBERS = sizeof members / sizeof *members };

/* Whether a name without its folder is one of the member's files. */
static bool fits(const struct member *member, const char *name)
{
    return member->has(name) && strlen(top) + strlen(member->name) + strlen(name) < NAME_BYTES;
}

/* The member that a path below the run's folder is of; MEMBERS: none. */
static size_t member_of(const char *path)
{
    for (size_t i = 0; i < MEMBERS; i++) {
        const size_t length = strlen(members[i].name);
        if (members[i].has == NULL ? strcmp(path, members[i].name) == 0
                                   : strncmp(path, members[i].name, length) == 0 && fits(&members[i], path + length))
            return i;
    }
    return MEMBERS;
}

/* ---- headers ----------------------------------------------------------------------------------------------------- */

/* The one header that a file of this name and size has. */
static void make_header(uint8_t header[BLOCK], const char *path, uint64_t bytes)
{
    char *text = (char *)header;
    unsigned sum = 0;
    memset(header, 0, BLOCK);
    snprintf(text, NAME_BYTES, "%s%s", top, path);
    memcpy(text + 100, "0000644", 8);
    memcpy(text + 108, "0000000", 8);
    memcpy(text + 116, "0000000", 8);
    snprintf(text + 124, 12, "%011" PRIo64, bytes);
    memcpy(text + 136, "00000000000", 12);
    memset(text + 148, ' ', 8);
    text[156] = '0';
    memcpy(text + 257, "ustar", 6);
    memcpy(text + 263, "00", 2);
    memcpy(text + 329, "0000000", 8);
    memcpy(text + 337, "0000000", 8);
    for (size_t i = 0; i < BLOCK; i++)
        sum += header[i];
    snprintf(text + 148, 8, "%06o", sum);
    text[155] = ' ';
}

static uint64_t padding_of(uint64_t bytes, uint64_t unit)
{
    return (unit - bytes % unit) % unit;
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

struct writing {
    struct draft *draft;
    struct sha256 sha256;
    struct packed *packed;
    uint8_t *chunk; /* [CHUNK] */
};

static enum status put(struct writing *writing, const void *data, size_t bytes, struct error *error)
{
    sha256_add(&writing->sha256, data, bytes);
    writing->packed->bytes += bytes;
    return draft_write(writing->draft, data, bytes, error);
}

static enum status put_zeros(struct writing *writing, uint64_t bytes, struct error *error)
{
    static const uint8_t zeros[PADDED];
    return bytes > 0 ? put(writing, zeros, (size_t)bytes, error) : STATUS_OK;
}

static enum status put_content(struct writing *writing, int descriptor, const char *path, uint64_t bytes,
                               struct error *error)
{
    for (uint64_t done = 0; done < bytes;) {
        const uint64_t left = bytes - done;
        const ssize_t got = read(descriptor, writing->chunk, left < CHUNK ? (size_t)left : CHUNK);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_set_errno(error, STATUS_ENVIRONMENT, "cannot read %s at byte %" PRIu64, path, done);
        if (got == 0)
            return error_set(error, STATUS_INPUT, "%s became shorter while it was read", path);
        enum status status = put(writing, writing->chunk, (size_t)got, error);
        if (status != STATUS_OK)
            return status;
        done += (uint64_t)got;
    }
    return STATUS_OK;
}

static enum status put_file(struct writing *writing, const char *folder, const char *name, uint64_t most,
                            struct error *error)
{
    char path[FILE_PATH_BYTES];
    uint8_t header[BLOCK];
    struct stat about;
    enum status status = file_path(path, error, "%s/%s", folder, name);
    if (status != STATUS_OK)
        return status;
    const int descriptor = open(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
    if (descriptor < 0)
        return error_set_errno(error, STATUS_INPUT, "cannot read %s", path);
    if (fstat(descriptor, &about) != 0)
        status = error_set_errno(error, STATUS_ENVIRONMENT, "cannot read %s", path);
    else if (!S_ISREG(about.st_mode) || (uint64_t)about.st_size > most)
        status = error_set(error, STATUS_INPUT, "%s is no file, or too large to be a run's", path);
    if (status == STATUS_OK) {
        make_header(header, name, (uint64_t)about.st_size);
        status = put(writing, header, BLOCK, error);
    }
    if (status == STATUS_OK)
        status = put_content(writing, descriptor, path, (uint64_t)about.st_size, error);
    if (status == STATUS_OK)
        status = put_zeros(writing, padding_of((uint64_t)about.st_size, BLOCK), error);
    close(descriptor);
    writing->packed->files++;
    return status;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names in a folder, sorted; none where there is no folder. */
static enum status list_names(const char *folder, char ***names, size_t *count, struct error *error)
{
    size_t room = 0;
    enum status status = STATUS_OK;
    *names = NULL;
    *count = 0;
    DIR *list = opendir(folder);
    if (list == NULL)
        return errno == ENOENT ? STATUS_OK
                               : error_set_errno(error, STATUS_ENVIRONMENT, "cannot list the folder %s", folder);
    for (struct dirent *entry; status == STATUS_OK && (entry = readdir(list)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        if (*count == room) {
            room = 2 * room + 16;
            char **more = realloc(*names, room * sizeof **names);
            if (more == NULL) {
                status = error_out_of_memory(error, "the list of files in %s", folder);
                break;
            }
            *names = more;
        }
        (*names)[*count] = strdup(entry->d_name);
        if ((*names)[*count] == NULL)
            status = error_out_of_memory(error, "the list of files in %s", folder);
        else
            ++*count;
    }
    closedir(list);
    if (*count > 0)
        qsort(*names, *count, sizeof **names, by_name);
    return status;
}

static enum status put_folder(struct writing *writing, const char *folder, const struct member *member,
                              void (*left_out)(const char *folder, const char *name), struct error *error)
{
    char path[FILE_PATH_BYTES];
    char **names = NULL;
    size_t count = 0;
    enum status status = file_path(path, error, "%s/%.*s", folder, (int)strlen(member->name) - 1, member->name);
    if (status == STATUS_OK)
        status = list_names(path, &names, &count, error);
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        char name[NAME_BYTES];
        if (!fits(member, names[i])) {
            if (left_out != NULL)
                left_out(path, names[i]);
            continue;
        }
        snprintf(name, sizeof name, "%s%s", member->name, names[i]);
        status = put_file(writing, folder, name, member->most, error);
    }
    text_free_list(names, count);
    return status;
}

static enum status put_members(struct writing *writing, const char *folder, bool checkpoints,
                               void (*left_out)(const char *folder, const char *name), struct error *error)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; i < MEMBERS && status == STATUS_OK; i++) {
        const struct member *member = &members[i];
        char path[FILE_PATH_BYTES], plain[FILE_PATH_BYTES];
        if (!checkpoints && strcmp(member->name, RECORD_CHECKPOINTS_FOLDER "/") == 0)
            continue;
        if (member->has != NULL) {
            status = put_folder(writing, folder, member, left_out, error);
            continue;
        }
        status = file_path(path, error, "%s/%s", folder, member->name);
        if (status == STATUS_OK)
            status = file_path(plain, error, "%s/%s", folder, LEDGER_FILE);
        if (status != STATUS_OK || !file_exists(path))
            continue;
        if (strcmp(member->name, LEDGER_GZIP_FILE) == 0 && file_exists(plain))
            continue; /* readers take the other */
        status = put_file(writing, folder, member->name, member->most, error);
    }
    if (status == STATUS_OK)
        status = put_zeros(writing, 2 * BLOCK, error);
    return status == STATUS_OK ? put_zeros(writing, padding_of(writing->packed->bytes, PADDED), error) : status;
}

static enum status tell_rest(const char *folder, void (*left_out)(const char *folder, const char *name),
                             struct error *error)
{
    char **names;
    size_t count;
    enum status status = list_names(folder, &names, &count, error);
    for (size_t i = 0; i < count; i++) {
        bool known = false;
        for (size_t k = 0; k < MEMBERS; k++) {
            const size_t length = strcspn(members[k].name, "/");
            known = known || (strlen(names[i]) == length && strncmp(names[i], members[k].name, length) == 0);
        }
        if (!known && left_out != NULL)
            left_out(folder, names[i]);
    }
    text_free_list(names, count);
    return status;
}

enum status pack_write(const char *folder, struct draft *draft, bool checkpoints,
                       void (*left_out)(const char *folder, const char *name), struct packed *packed,
                       struct error *error)
{
    struct writing writing = { .draft = draft, .packed = packed };
    uint8_t digest[DIGEST_BYTES];
    *packed = (struct packed){ .files = 0 };
    sha256_start(&writing.sha256);
    writing.chunk = malloc(CHUNK);
    if (writing.chunk == NULL)
        return error_out_of_memory(error, "%s", draft->path);
    enum status status = put_members(&writing, folder, checkpoints, left_out, error);
    if (status == STATUS_OK)
        status = tell_rest(folder, left_out, error);
    sha256_finish(&writing.sha256, digest);
    digest_to_hex(digest, packed->sha256);
    free(writing.chunk);
    return status;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

struct reading {
    const char *path;
    int descriptor;
    uint64_t at; /* bytes read */
    struct sha256 sha256;
    struct packed *packed;
    size_t member;         /* of the last file, */
    char last[NAME_BYTES]; /* and its name below the run's folder */
    uint8_t *chunk;        /* [CHUNK] */
    struct error *error;
};

static enum status refuse(const struct reading *reading, const char *format, ...) __attribute__((format(printf, 2, 3)));
static enum status refuse(const struct reading *reading, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    error_set_v(reading->error, STATUS_INPUT, format, arguments);
    va_end(arguments);
    return error_prefix(reading->error, "%s is not a packed run that selfsame pack wrote, or it is damaged",
                        reading->path);
}

/* Exactly so many bytes. */
static enum status take(struct reading *reading, uint8_t *data, size_t bytes)
{
    for (size_t done = 0; done < bytes;) {
        const ssize_t got = read(reading->descriptor, data + done, bytes - done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_set_errno(reading->error, STATUS_ENVIRONMENT, "cannot read %s", reading->path);
        if (got == 0)
            return refuse(reading, "it ends at byte %" PRIu64, reading->at + done);
        done += (size_t)got;
    }
    sha256_add(&reading->sha256, data, bytes);
    reading->at += bytes;
    return STATUS_OK;
}

static bool all_zero(const uint8_t *data, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        if (data[i] != 0)
            return false;
    }
    return true;
}

static enum status take_zeros(struct reading *reading, uint64_t bytes)
{
    enum status status = bytes > 0 ? take(reading, reading->chunk, (size_t)bytes) : STATUS_OK;
    if (status == STATUS_OK && !all_zero(reading->chunk, (size_t)bytes))
        status = refuse(reading, "the padding before byte %" PRIu64 " is not zero", reading->at);
    return status;
}

/* What is wrong with a header that is not the one of its name and size, for people; NULL: nothing that has a name. */
static const char *fault_of(const uint8_t header[BLOCK], const char *name)
{
    const char type = (char)header[156];
    if (memcmp(header + 257, "ustar", 6) != 0)
        return "is no entry of a POSIX tar";
    if (type == '1' || type == '2')
        return "is a link";
    if (type != '0')
        return "is neither a file nor anything that belongs into a run";
    if (name[0] == '/')
        return "has an absolute path";
    if (strncmp(name, "../", 3) == 0 || strstr(name, "/../") != NULL)
        return "climbs out of its folder";
    return NULL;
}

/* Its name below the run's folder, and its size. */
static enum status read_header(struct reading *reading, const uint8_t header[BLOCK], char name[NAME_BYTES],
                               uint64_t *bytes)
{
    char whole[NAME_BYTES + 1], safe[4 * NAME_BYTES + 1], size[12], *end;
    uint8_t same[BLOCK];
    memcpy(whole, header, NAME_BYTES);
    whole[NAME_BYTES] = '\0';
    (void)text_escape(safe, sizeof safe, TEXT_TERMINAL, whole);
    memcpy(size, header + 124, sizeof size);
    size[sizeof size - 1] = '\0';
    *bytes = strtoull(size, &end, 8);
    const char *fault = fault_of(header, whole);
    if (fault != NULL)
        return refuse(reading, "the entry '%s' at byte %" PRIu64 " %s", safe, reading->at - BLOCK, fault);
    const size_t member = strncmp(whole, top, strlen(top)) == 0 ? member_of(whole + strlen(top)) : MEMBERS;
    if (member == MEMBERS)
        return refuse(reading, "the entry '%s' at byte %" PRIu64 " is not a file of a run", safe, reading->at - BLOCK);
    snprintf(name, NAME_BYTES, "%s", whole + strlen(top));
    make_header(same, name, *bytes);
    if (*bytes > members[member].most)
        return refuse(reading, "the entry '%s' is too large, %" PRIu64 " bytes", safe, *bytes);
    if (memcmp(header, same, BLOCK) != 0)
        return refuse(reading,
                      "the entry '%s' at byte %" PRIu64 " has another time, owner or mode, or a wrong checksum", safe,
                      reading->at - BLOCK);
    if (reading->packed->files > 0 &&
        (member < reading->member || (member == reading->member && strcmp(name, reading->last) <= 0)))
        return refuse(reading, "the entry '%s' comes twice, or out of order", safe);
    if (strcmp(name, LEDGER_GZIP_FILE) == 0 && strcmp(reading->last, LEDGER_FILE) == 0)
        return refuse(reading, "the entry '%s' is a second ledger", safe);
    reading->member = member;
    memcpy(reading->last, name, NAME_BYTES);
    return STATUS_OK;
}

static enum status unpack_file(struct reading *reading, const char *folder, const char *name, uint64_t bytes)
{
    char path[FILE_PATH_BYTES], inner[FILE_PATH_BYTES];
    const char *slash = strchr(name, '/');
    enum status status = file_path(path, reading->error, "%s/%s", folder, name);
    if (status == STATUS_OK && slash != NULL)
        status = file_path(inner, reading->error, "%s/%.*s", folder, (int)(slash - name), name);
    if (status == STATUS_OK && slash != NULL)
        status = file_make_folders(inner, reading->error);
    if (status != STATUS_OK)
        return status;
    const int descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (descriptor < 0)
        return error_set_errno(reading->error, STATUS_ENVIRONMENT, "cannot make %s", path);
    for (uint64_t done = 0; done < bytes && status == STATUS_OK;) {
        const size_t part = bytes - done < CHUNK ? (size_t)(bytes - done) : CHUNK;
        status = take(reading, reading->chunk, part);
        if (status == STATUS_OK && file_write_all(descriptor, reading->chunk, part) != 0)
            status = error_set_errno(reading->error, STATUS_ENVIRONMENT, "cannot write %s", path);
        done += part;
    }
    if (status == STATUS_OK && fsync(descriptor) != 0)
        status = error_set_errno(reading->error, STATUS_ENVIRONMENT, "cannot sync %s", path);
    if (close(descriptor) != 0 && status == STATUS_OK)
        status = error_set_errno(reading->error, STATUS_ENVIRONMENT, "cannot close %s", path);
    return status == STATUS_OK ? take_zeros(reading, padding_of(bytes, BLOCK)) : status;
}

/* Two blocks of zeros, padding, and then nothing. */
static enum status read_end(struct reading *reading)
{
    uint8_t more;
    enum status status = take_zeros(reading, BLOCK);
    if (status == STATUS_OK)
        status = take_zeros(reading, padding_of(reading->at, PADDED));
    if (status != STATUS_OK)
        return status;
    const ssize_t got = read(reading->descriptor, &more, 1);
    if (got < 0)
        return error_set_errno(reading->error, STATUS_ENVIRONMENT, "cannot read %s", reading->path);
    return got == 0 ? STATUS_OK : refuse(reading, "something follows its end, at byte %" PRIu64, reading->at);
}

static enum status read_entries(struct reading *reading, const char *folder)
{
    for (;;) {
        uint8_t header[BLOCK];
        char name[NAME_BYTES];
        uint64_t bytes;
        enum status status = take(reading, header, BLOCK);
        if (status == STATUS_OK && all_zero(header, BLOCK))
            return read_end(reading);
        if (status == STATUS_OK)
            status = read_header(reading, header, name, &bytes);
        if (status == STATUS_OK)
            status = unpack_file(reading, folder, name, bytes);
        if (status != STATUS_OK)
            return status;
        reading->packed->files++;
    }
}

enum status pack_read(const char *path, const char *folder, struct packed *packed, struct error *error)
{
    struct reading reading = { .path = path, .packed = packed, .error = error };
    struct stat about;
    uint8_t digest[DIGEST_BYTES];
    struct error ignored;
    *packed = (struct packed){ .files = 0 };
    sha256_start(&reading.sha256);
    reading.chunk = malloc(CHUNK);
    if (reading.chunk == NULL)
        return error_out_of_memory(error, "%s", path);
    enum status status = STATUS_OK;
    reading.descriptor = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (reading.descriptor < 0)
        status = error_set_errno(error, STATUS_INPUT, "cannot read %s", path);
    else if (fstat(reading.descriptor, &about) != 0 || !S_ISREG(about.st_mode))
        status = error_set(error, STATUS_INPUT, "%s is not a file", path);
    if (status == STATUS_OK)
        status = file_make_folders(folder, error);
    if (status == STATUS_OK) {
        status = read_entries(&reading, folder);
        if (status != STATUS_OK)
            (void)!file_remove_tree(folder, &ignored);
    }
    if (reading.descriptor >= 0)
        close(reading.descriptor);
    free(reading.chunk);
    packed->bytes = reading.at;
    sha256_finish(&reading.sha256, digest);
    digest_to_hex(digest, packed->sha256);
    return status;
}
