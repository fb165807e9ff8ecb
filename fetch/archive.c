#include "fetch/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "fetch/gunzip.h"

enum { SUMS_BYTES = ARCHIVE_FILES_MAX * 256, HEADERS_BYTES = 1 << 20, ENTRIES_MAX = ARCHIVE_FILES_MAX + 4 };

struct unpacking {
    const char *path; /* the archive's */
    const struct archive_layout *layouts;
    size_t layout_count;
    const struct archive_layout *layout; /* once an entry has told which */
    bool (*stop_requested)(void *context);
    void *context;
    const struct archive_taker *taker; /* NULL: files are written to the folder */
    char folder[FILE_PATH_BYTES];      /* where it grows */
    bool seen[ARCHIVE_FILES_MAX];
    size_t entries;
    char sums[SUMS_BYTES];
    size_t sums_used;
    struct gunzip *gunzip;
    struct error *error;
    enum status status; /* of reading the stream: libarchive's own message then says nothing */
};

static size_t file_count(const struct archive_layout *layout)
{
    size_t count = 0;
    while (count < ARCHIVE_FILES_MAX && layout->files[count].name != NULL)
        count++;
    return count;
}

/* The most bytes that a tar with one of the layouts can have: each file with its header and padding, and the long
 * headers some tars write. */
static uint64_t stream_limit(const struct archive_layout *layouts, size_t layout_count)
{
    uint64_t most = 0;
    for (size_t i = 0; i < layout_count; i++) {
        uint64_t bytes = HEADERS_BYTES;
        for (size_t k = 0; k < file_count(&layouts[i]); k++)
            bytes += layouts[i].files[k].bytes_max + 1024;
        most = bytes > most ? bytes : most;
    }
    return most;
}

static la_ssize_t feed(struct archive *archive, void *context, const void **data)
{
    struct unpacking *unpacking = context;
    size_t bytes;
    unpacking->status = gunzip_next(unpacking->gunzip, data, &bytes, unpacking->error);
    if (unpacking->status == STATUS_OK)
        return (la_ssize_t)bytes;
    archive_set_error(archive, EIO, "%s", "the stream ends");
    return ARCHIVE_FATAL;
}

static enum status read_error(struct unpacking *unpacking, struct archive *archive, const char *what)
{
    if (unpacking->status != STATUS_OK)
        return unpacking->status;
    return error_set(unpacking->error, STATUS_INPUT, "%s: %s: %s; download it again", unpacking->path, what,
                     archive_error_string(archive));
}

/* ---- which entries are taken ------------------------------------------------------------------------------------- */

static enum status refuse(struct unpacking *unpacking, const char *name, const char *why)
{
    char safe[128];
    snprintf(safe, sizeof safe, "%s", name);
    for (char *c = safe; *c != '\0'; c++)
        *c = *c < ' ' || *c > '~' ? '?' : *c;
    return error_set(unpacking->error, STATUS_INPUT, "%s: the entry '%s' %s; nothing was unpacked", unpacking->path,
                     safe, why);
}

static bool climbs(const char *name)
{
    for (const char *part = name; part != NULL; part = strchr(part, '/') != NULL ? strchr(part, '/') + 1 : NULL) {
        if (strncmp(part, "..", 2) == 0 && (part[2] == '\0' || part[2] == '/'))
            return true;
    }
    return false;
}

/* What follows the layout's folder in a name: "" for the folder itself; NULL if the name is of another folder. */
static const char *below(const struct archive_layout *layout, const char *name)
{
    size_t length = strlen(layout->folder);
    if (strncmp(name, layout->folder, length) != 0 || (name[length] != '/' && name[length] != '\0'))
        return NULL;
    return name[length] == '/' ? name + length + 1 : name + length;
}

/* Which file of which layout an entry's name is. For the folder, *place does not change. */
static enum status place_of(struct unpacking *unpacking, const char *name, size_t *place)
{
    const char *rest = NULL;
    for (size_t i = 0; i < unpacking->layout_count && rest == NULL; i++) {
        const struct archive_layout *layout = &unpacking->layouts[i];
        rest = below(layout, name);
        if (rest != NULL && unpacking->layout != NULL && unpacking->layout != layout)
            return refuse(unpacking, name, "belongs to another archive than the entries before it");
        if (rest != NULL)
            unpacking->layout = layout;
    }
    if (rest == NULL)
        return refuse(unpacking, name, "is not among those that such an archive has");
    if (rest[0] == '\0')
        return STATUS_OK;
    for (size_t k = 0; k < file_count(unpacking->layout); k++) {
        if (strcmp(unpacking->layout->files[k].name, rest) != 0)
            continue;
        if (unpacking->seen[k])
            return refuse(unpacking, name, "comes twice");
        unpacking->seen[k] = true;
        *place = k;
        return STATUS_OK;
    }
    return refuse(unpacking, name, "is not among those that such an archive has");
}

static enum status check_entry(struct unpacking *unpacking, struct archive_entry *entry, size_t *place)
{
    const char *name = archive_entry_pathname(entry);
    if (++unpacking->entries > ENTRIES_MAX)
        return error_set(unpacking->error, STATUS_INPUT, "%s has more than %d entries; nothing was unpacked",
                         unpacking->path, ENTRIES_MAX);
    if (name == NULL || name[0] == '\0')
        return refuse(unpacking, "", "has no name");
    if (name[0] == '/')
        return refuse(unpacking, name, "has an absolute path");
    if (climbs(name))
        return refuse(unpacking, name, "leads out of its folder");
    if (archive_entry_hardlink(entry) != NULL)
        return refuse(unpacking, name, "is a hard link");
    const __LA_MODE_T type = archive_entry_filetype(entry);
    if (type == AE_IFLNK)
        return refuse(unpacking, name, "is a symbolic link");
    if (type != AE_IFREG && type != AE_IFDIR)
        return refuse(unpacking, name, "is neither a file nor a folder");
    const char *plain = strncmp(name, "./", 2) == 0 ? name + 2 : name;
    if (type == AE_IFDIR && (plain[0] == '\0' || strcmp(plain, ".") == 0))
        return STATUS_OK;
    enum status status = place_of(unpacking, plain, place);
    if (status != STATUS_OK)
        return status;
    if ((type == AE_IFDIR) != (*place == ARCHIVE_FILES_MAX))
        return refuse(unpacking, name,
                      type == AE_IFDIR ? "is a folder, but a file is expected" : "is a file, but a folder is expected");
    if (type == AE_IFDIR)
        return STATUS_OK;
    const struct archive_file *file = &unpacking->layout->files[*place];
    const int64_t bytes = archive_entry_size_is_set(entry) ? archive_entry_size(entry) : -1;
    if (bytes < 0 || (uint64_t)bytes < file->bytes_min || (uint64_t)bytes > file->bytes_max ||
        archive_entry_sparse_count(entry) > 0)
        return refuse(unpacking, name, "has a size that such a file cannot have");
    return STATUS_OK;
}

/* ---- what is written --------------------------------------------------------------------------------------------- */

static enum status write_all(int descriptor, const char *path, const void *data, size_t bytes, struct error *error)
{
    for (const char *next = data; bytes > 0;) {
        ssize_t put = write(descriptor, next, bytes);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return error_set_errno(error, STATUS_ENVIRONMENT, "cannot write %s", path);
        next += put;
        bytes -= (size_t)put;
    }
    return STATUS_OK;
}

/* Where an entry's data go: into a file and its digest, or into memory. */
struct sink {
    int descriptor;
    const char *path;
    struct sha256 sha256;
    uint8_t *memory; /* NULL: the file */
};

static enum status put(struct sink *sink, uint64_t at, const void *data, size_t bytes, struct error *error)
{
    if (sink->memory != NULL) {
        memcpy(sink->memory + at, data, bytes);
        return STATUS_OK;
    }
    sha256_add(&sink->sha256, data, bytes);
    return write_all(sink->descriptor, sink->path, data, bytes, error);
}

static enum status copy_data(struct unpacking *unpacking, struct archive *archive, struct sink *sink, const char *name,
                             uint64_t bytes)
{
    uint64_t done = 0;
    for (;;) {
        const void *data;
        size_t size;
        la_int64_t offset;
        int result = archive_read_data_block(archive, &data, &size, &offset);
        if (result == ARCHIVE_EOF)
            break;
        if (result != ARCHIVE_OK)
            return read_error(unpacking, archive, name);
        if ((uint64_t)offset != done || size > bytes - done)
            return refuse(unpacking, name, "has holes");
        if (unpacking->stop_requested != NULL && unpacking->stop_requested(unpacking->context))
            return error_set(unpacking->error, STATUS_INTERRUPTED,
                             "stopped on request while %s was unpacked; the same command unpacks it again",
                             unpacking->path);
        enum status status = put(sink, done, data, size, unpacking->error);
        if (status != STATUS_OK)
            return status;
        done += size;
    }
    return done == bytes ? STATUS_OK : refuse(unpacking, name, "is cut short");
}

static enum status write_file(struct unpacking *unpacking, struct archive *archive, size_t place, uint64_t bytes)
{
    const char *folder = unpacking->layout->folder, *name = unpacking->layout->files[place].name;
    char path[FILE_PATH_BYTES], hex[DIGEST_HEX_BYTES];
    uint8_t digest[DIGEST_BYTES];
    enum status status = file_path(path, unpacking->error, "%s/%s", unpacking->folder, folder);
    if (status == STATUS_OK)
        status = file_make_folders(path, unpacking->error);
    if (status == STATUS_OK)
        status = file_path(path, unpacking->error, "%s/%s/%s", unpacking->folder, folder, name);
    if (status != STATUS_OK)
        return status;
    int descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (descriptor < 0)
        return error_set_errno(unpacking->error, STATUS_ENVIRONMENT, "cannot make %s", path);
    struct sink sink = { .descriptor = descriptor, .path = path };
    sha256_start(&sink.sha256);
    status = copy_data(unpacking, archive, &sink, name, bytes);
    sha256_finish(&sink.sha256, digest);
    digest_to_hex(digest, hex);
    if (status == STATUS_OK && fsync(descriptor) != 0)
        status = error_set_errno(unpacking->error, STATUS_ENVIRONMENT, "cannot sync %s", path);
    if (close(descriptor) != 0 && status == STATUS_OK)
        status = error_set_errno(unpacking->error, STATUS_ENVIRONMENT, "cannot close %s", path);
    unpacking->sums_used += (size_t)snprintf(unpacking->sums + unpacking->sums_used, SUMS_BYTES - unpacking->sums_used,
                                             "%s  %s/%s\n", hex, folder, name);
    return status;
}

static enum status take_file(struct unpacking *unpacking, struct archive *archive, size_t place, uint64_t bytes)
{
    const struct archive_taker *taker = unpacking->taker;
    const size_t layout = (size_t)(unpacking->layout - unpacking->layouts);
    const char *name = unpacking->layout->files[place].name;
    char shown[FILE_PATH_BYTES + 256];
    if (!taker->wants(taker->context, layout, name))
        return STATUS_OK;
    struct sink sink = { .memory = malloc(bytes + 1) };
    if (sink.memory == NULL)
        return error_out_of_memory(unpacking->error, "the %" PRIu64 " bytes of %s", bytes, name);
    snprintf(shown, sizeof shown, "%s: %s", unpacking->path, name);
    enum status status = copy_data(unpacking, archive, &sink, name, bytes);
    if (status == STATUS_OK)
        status = taker->take(taker->context, layout, name, shown, sink.memory, bytes, unpacking->error);
    free(sink.memory);
    return status;
}

static enum status read_entries(struct unpacking *unpacking, struct archive *archive)
{
    for (;;) {
        struct archive_entry *entry;
        size_t place = ARCHIVE_FILES_MAX; /* none: a folder */
        int result = archive_read_next_header(archive, &entry);
        if (result == ARCHIVE_EOF)
            return STATUS_OK;
        if (result != ARCHIVE_OK && result != ARCHIVE_WARN)
            return read_error(unpacking, archive, "not a tar archive, or damaged");
        enum status status = check_entry(unpacking, entry, &place);
        if (status == STATUS_OK && place < ARCHIVE_FILES_MAX)
            status = (unpacking->taker != NULL ? take_file : write_file)(unpacking, archive, place,
                                                                         (uint64_t)archive_entry_size(entry));
        if (status != STATUS_OK)
            return status;
    }
}

/* After the last entry a tar has zeros; to read them is to check the stream's CRC. */
static enum status read_rest(struct unpacking *unpacking)
{
    for (;;) {
        const void *data;
        size_t bytes;
        enum status status = gunzip_next(unpacking->gunzip, &data, &bytes, unpacking->error);
        if (status != STATUS_OK || bytes == 0)
            return status;
        for (size_t i = 0; i < bytes; i++) {
            if (((const unsigned char *)data)[i] != 0)
                return error_set(unpacking->error, STATUS_INPUT,
                                 "%s: there are bytes after the archive's last entry; nothing was unpacked",
                                 unpacking->path);
        }
    }
}

static enum status check_complete(const struct unpacking *unpacking)
{
    if (unpacking->layout == NULL)
        return error_set(unpacking->error, STATUS_INPUT, "%s contains no file", unpacking->path);
    for (size_t k = 0; unpacking->taker == NULL && k < file_count(unpacking->layout); k++) {
        if (unpacking->layout->files[k].required && !unpacking->seen[k])
            return error_set(unpacking->error, STATUS_INPUT, "%s does not contain %s/%s; nothing was unpacked",
                             unpacking->path, unpacking->layout->folder, unpacking->layout->files[k].name);
    }
    return STATUS_OK;
}

static enum status read_archive(struct unpacking *unpacking)
{
    struct archive *archive = archive_read_new();
    if (archive == NULL)
        return error_out_of_memory(unpacking->error, "%s", unpacking->path);
    enum status status = STATUS_OK;
    if (archive_read_support_format_tar(archive) != ARCHIVE_OK ||
        archive_read_open(archive, unpacking, NULL, feed, NULL) != ARCHIVE_OK)
        status = read_error(unpacking, archive, "not a tar archive");
    if (status == STATUS_OK)
        status = read_entries(unpacking, archive);
    archive_read_free(archive);
    if (status == STATUS_OK)
        status = read_rest(unpacking);
    return status == STATUS_OK ? check_complete(unpacking) : status;
}

/* Makes the finished folder last, and puts it in its place. */
static enum status publish(struct unpacking *unpacking, const char *folder)
{
    char path[FILE_PATH_BYTES];
    struct error *error = unpacking->error;
    enum status status = file_path(path, error, "%s/" ARCHIVE_SUMS, unpacking->folder);
    if (status == STATUS_OK)
        status = file_write(path, unpacking->sums, unpacking->sums_used, error);
    if (status == STATUS_OK)
        status = file_path(path, error, "%s/%s", unpacking->folder, unpacking->layout->folder);
    if (status == STATUS_OK)
        status = file_sync_folder(path, error);
    if (status == STATUS_OK && rename(unpacking->folder, folder) != 0)
        status = error_set_errno(error, STATUS_ENVIRONMENT, "cannot rename the finished folder to %s", folder);
    if (status == STATUS_OK)
        status = file_path(path, error, "%s/..", folder);
    return status == STATUS_OK ? file_sync_folder(path, error) : status;
}

enum status archive_unpack(const char *path, const struct archive_layout *layouts, size_t layout_count,
                           const char *folder, bool (*stop_requested)(void *context), void *context,
                           struct error *error)
{
    struct unpacking unpacking = { .path = path,
                                   .layouts = layouts,
                                   .layout_count = layout_count,
                                   .stop_requested = stop_requested,
                                   .context = context,
                                   .error = error };
    enum status status = file_path(unpacking.folder, error, "%s.XXXXXX", folder);
    if (status != STATUS_OK)
        return status;
    status = gunzip_open(&unpacking.gunzip, path, stream_limit(layouts, layout_count), error);
    if (status != STATUS_OK)
        return status;
    if (mkdtemp(unpacking.folder) == NULL || chmod(unpacking.folder, 0755) != 0) {
        gunzip_close(unpacking.gunzip);
        return error_set_errno(error, STATUS_ENVIRONMENT, "cannot make a folder next to %s", folder);
    }
    status = read_archive(&unpacking);
    gunzip_close(unpacking.gunzip);
    if (status == STATUS_OK)
        status = publish(&unpacking, folder);
    if (status != STATUS_OK && file_is_folder(unpacking.folder)) {
        struct error ignored; /* the first error is the one to tell */
        (void)!file_remove_tree(unpacking.folder, &ignored);
    }
    return status;
}

enum status archive_read(const char *path, const struct archive_layout *layouts, size_t layout_count,
                         const struct archive_taker *taker, struct error *error)
{
    struct unpacking unpacking = {
        .path = path, .layouts = layouts, .layout_count = layout_count, .taker = taker, .error = error
    };
    enum status status = gunzip_open(&unpacking.gunzip, path, stream_limit(layouts, layout_count), error);
    if (status == STATUS_OK)
        status = read_archive(&unpacking);
    gunzip_close(unpacking.gunzip);
    return status;
}
