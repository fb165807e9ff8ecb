/* Archives: what is unpacked, and what is refused at every byte where one can be cut or spoilt. The command-line tests
 * have the names, links and sizes that a real archive should not hold. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "fetch/archive.h"

static const struct archive_layout layouts[] = {
    { "box", { { "first", 5, 5, true }, { "second", 0, 20000, true }, { "note", 0, 100, false } } },
    { "other", { { "first", 1, 1, true } } },
};
enum { LAYOUTS = 2, SECOND_BYTES = 12345 };

struct fixture {
    char folder[64], archive[80], out[80];
};

static int set_up(void **state)
{
    struct fixture *scratch = calloc(1, sizeof *scratch);
    if (scratch == NULL)
        return -1;
    *state = scratch;
    strcpy(scratch->folder, "test_archive.XXXXXX");
    if (mkdtemp(scratch->folder) == NULL)
        return -1;
    snprintf(scratch->archive, sizeof scratch->archive, "%s/a.tar.gz", scratch->folder);
    snprintf(scratch->out, sizeof scratch->out, "%s/out", scratch->folder);
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *scratch = *state;
    struct error error;
    int result = file_remove_tree(scratch->folder, &error) == STATUS_OK ? 0 : -1;
    free(scratch);
    return result;
}

static uint8_t second_byte(size_t i)
{
    return (uint8_t)(i * 7 + i / 251);
}

static void add(struct archive *archive, const char *name, const void *data, size_t bytes)
{
    struct archive_entry *entry = archive_entry_new();
    archive_entry_set_pathname(entry, name);
    archive_entry_set_filetype(entry, data == NULL ? AE_IFDIR : AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    archive_entry_set_size(entry, (la_int64_t)bytes);
    assert_int_equal(archive_write_header(archive, entry), ARCHIVE_OK);
    if (data != NULL)
        assert_int_equal(archive_write_data(archive, data, bytes), bytes);
    archive_entry_free(entry);
}

/* format: a libarchive format code; prefix: before every name. */
static void write_archive(const struct fixture *scratch, int format, const char *prefix)
{
    uint8_t second[SECOND_BYTES];
    char name[64];
    for (size_t i = 0; i < sizeof second; i++)
        second[i] = second_byte(i);
    struct archive *archive = archive_write_new();
    assert_int_equal(archive_write_set_format(archive, format), ARCHIVE_OK);
    assert_int_equal(archive_write_add_filter_gzip(archive), ARCHIVE_OK);
    assert_int_equal(archive_write_open_filename(archive, scratch->archive), ARCHIVE_OK);
    snprintf(name, sizeof name, "%sbox/", prefix);
    add(archive, name, NULL, 0);
    snprintf(name, sizeof name, "%sbox/second", prefix);
    add(archive, name, second, sizeof second);
    snprintf(name, sizeof name, "%sbox/first", prefix);
    add(archive, name, "12345", 5);
    assert_int_equal(archive_write_close(archive), ARCHIVE_OK);
    archive_write_free(archive);
}

static void assert_whole(const struct fixture *scratch)
{
    char path[128], *data;
    size_t bytes;
    struct error error;
    snprintf(path, sizeof path, "%s/box/first", scratch->out);
    assert_int_equal(file_read(path, 100, &data, &bytes, &error), STATUS_OK);
    assert_string_equal(data, "12345");
    free(data);
    snprintf(path, sizeof path, "%s/box/second", scratch->out);
    assert_int_equal(file_read(path, 20000, &data, &bytes, &error), STATUS_OK);
    assert_int_equal(bytes, SECOND_BYTES);
    for (size_t i = 0; i < bytes; i++)
        assert_int_equal((uint8_t)data[i], second_byte(i));
    free(data);
    snprintf(path, sizeof path, "%s/" ARCHIVE_SUMS, scratch->out);
    assert_int_equal(file_read(path, 1000, &data, &bytes, &error), STATUS_OK);
    /* printf 12345 | sha256sum */
    assert_non_null(strstr(data, "5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5  box/first\n"));
    free(data);
}

/* Nothing next to the archive. */
static void assert_nothing_left(const struct fixture *scratch)
{
    DIR *list = opendir(scratch->folder);
    assert_non_null(list);
    for (struct dirent *entry; (entry = readdir(list)) != NULL;) {
        if (entry->d_name[0] != '.')
            assert_string_equal(entry->d_name, "a.tar.gz");
    }
    closedir(list);
}

static enum status unpack(const struct fixture *scratch, struct error *error)
{
    return archive_unpack(scratch->archive, layouts, LAYOUTS, scratch->out, NULL, NULL, error);
}

static void test_formats(void **state)
{
    const struct fixture *scratch = *state;
    static const int formats[] = { ARCHIVE_FORMAT_TAR_USTAR, ARCHIVE_FORMAT_TAR_PAX_INTERCHANGE,
                                   ARCHIVE_FORMAT_TAR_GNUTAR };
    for (size_t i = 0; i < 6; i++) {
        struct error error = { STATUS_OK, "" };
        write_archive(scratch, formats[i / 2], i % 2 == 0 ? "" : "./");
        if (unpack(scratch, &error) != STATUS_OK)
            fail_msg("%s", error.message);
        assert_whole(scratch);
        assert_int_equal(file_remove_tree(scratch->out, &error), STATUS_OK);
    }
}

static void test_cut_anywhere(void **state)
{
    const struct fixture *scratch = *state;
    struct error error;
    char *data;
    size_t bytes;
    write_archive(scratch, ARCHIVE_FORMAT_TAR_USTAR, "");
    assert_int_equal(file_read(scratch->archive, 1 << 20, &data, &bytes, &error), STATUS_OK);
    for (size_t length = 0; length < bytes; length++) {
        assert_int_equal(file_write(scratch->archive, data, length, &error), STATUS_OK);
        assert_int_equal(unpack(scratch, &error), STATUS_INPUT);
        assert_non_null(strstr(error.message, "a.tar.gz"));
        assert_nothing_left(scratch);
    }
    free(data);
}

/* A flipped bit is refused, or is at a place that means nothing: in the gzip header's time and system, or in what a
 * deflate block leaves unused. */
static void test_spoilt_anywhere(void **state)
{
    const struct fixture *scratch = *state;
    struct error error;
    char *data;
    size_t bytes, harmless = 0;
    write_archive(scratch, ARCHIVE_FORMAT_TAR_USTAR, "");
    assert_int_equal(file_read(scratch->archive, 1 << 20, &data, &bytes, &error), STATUS_OK);
    for (size_t i = 0; i < bytes; i++) {
        data[i] = (char)(data[i] ^ (1 << i % 8));
        assert_int_equal(file_write(scratch->archive, data, bytes, &error), STATUS_OK);
        if (unpack(scratch, &error) == STATUS_OK) {
            harmless++;
            assert_whole(scratch);
            assert_int_equal(file_remove_tree(scratch->out, &error), STATUS_OK);
        }
        assert_nothing_left(scratch);
        data[i] = (char)(data[i] ^ (1 << i % 8));
    }
    assert_true(harmless < 30);
    free(data);
}

static void test_two_streams(void **state)
{
    const struct fixture *scratch = *state;
    struct error error;
    char *data;
    size_t bytes;
    write_archive(scratch, ARCHIVE_FORMAT_TAR_USTAR, "");
    assert_int_equal(file_read(scratch->archive, 1 << 20, &data, &bytes, &error), STATUS_OK);
    const struct iovec twice[] = { { data, bytes }, { data, bytes } };
    assert_int_equal(file_write_parts(scratch->archive, twice, 2, &error), STATUS_OK);
    assert_int_equal(unpack(scratch, &error), STATUS_INPUT);
    assert_non_null(strstr(error.message, "has more bytes after its gzip stream"));
    assert_nothing_left(scratch);
    free(data);
}

static bool stop(void *context)
{
    (void)context;
    return true;
}

static void test_stopped(void **state)
{
    const struct fixture *scratch = *state;
    struct error error;
    write_archive(scratch, ARCHIVE_FORMAT_TAR_USTAR, "");
    assert_int_equal(archive_unpack(scratch->archive, layouts, LAYOUTS, scratch->out, stop, NULL, &error),
                     STATUS_INTERRUPTED);
    assert_nothing_left(scratch);
}

static void test_occupied(void **state)
{
    const struct fixture *scratch = *state;
    struct error error;
    char path[128];
    write_archive(scratch, ARCHIVE_FORMAT_TAR_USTAR, "");
    snprintf(path, sizeof path, "%s/kept", scratch->out);
    assert_int_equal(file_make_folders(path, &error), STATUS_OK);
    assert_int_not_equal(unpack(scratch, &error), STATUS_OK);
    assert_true(file_is_folder(path));
    assert_int_equal(archive_unpack("nothing.tar.gz", layouts, LAYOUTS, scratch->out, NULL, NULL, &error),
                     STATUS_INPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_formats, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cut_anywhere, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_spoilt_anywhere, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_two_streams, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_stopped, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_occupied, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
