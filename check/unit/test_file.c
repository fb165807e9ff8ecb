/* Files: what others may have planted, what killed processes leave, and scratch folders. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/lock.h"

static int set_up(void **state)
{
    static char folder[32];
    strcpy(folder, "test_file.XXXXXX");
    *state = folder;
    return mkdtemp(folder) != NULL && chdir(folder) == 0 ? 0 : -1;
}

static int tear_down(void **state)
{
    struct error error;
    return chdir("..") == 0 && file_remove_tree(*state, &error) == STATUS_OK ? 0 : -1;
}

static void put(const char *path, const char *text)
{
    struct error error;
    assert_int_equal(file_write(path, text, strlen(text), &error), STATUS_OK);
}

static void assert_holds(const char *path, const char *text)
{
    struct error error;
    char *data;
    size_t bytes;
    assert_int_equal(file_read(path, 1000, &data, &bytes, &error), STATUS_OK);
    assert_string_equal(data, text);
    free(data);
}

/* Names that lead elsewhere, in place of the files that are written in place. */
static void test_planted_names(void **state)
{
    (void)state;
    struct error error;
    struct appender appender;
    struct lock lock;
    bool taken;
    char holder[LOCK_HOLDER_BYTES];
    put("victim", "precious\n");
    for (int hard = 0; hard < 2; hard++) {
        assert_int_equal(hard ? link("victim", "file") : symlink("victim", "file"), 0);
        assert_int_equal(append_open(&appender, "file", 0, &error), STATUS_INPUT);
        assert_non_null(strstr(error.message, hard ? "2 names" : "symbolic link"));
        assert_int_equal(hard ? link("victim", ".lock") : symlink("victim", ".lock"), 0);
        assert_int_equal(lock_try(&lock, ".lock", &taken, holder, &error), STATUS_INPUT);
        assert_int_equal(unlink("file") + unlink(".lock"), 0);
    }
    assert_holds("victim", "precious\n");
    /* A link to nothing must not make it. */
    assert_int_equal(symlink("nothing", ".lock"), 0);
    assert_int_equal(lock_try(&lock, ".lock", &taken, holder, &error), STATUS_INPUT);
    assert_false(file_exists("nothing"));
    assert_int_equal(unlink(".lock"), 0);
    assert_int_equal(mkfifo("file", 0600), 0);
    assert_int_equal(append_open(&appender, "file", 0, &error), STATUS_INPUT);
    assert_non_null(strstr(error.message, "not a regular file"));
    /* The remedy of all of them. */
    assert_int_equal(unlink("file"), 0);
    assert_int_equal(append_open(&appender, "file", 0, &error), STATUS_OK);
    append_close(&appender);
    assert_int_equal(lock_try(&lock, ".lock", &taken, holder, &error), STATUS_OK);
    assert_true(taken);
    lock_release(&lock);
}

/* Only root can make files of others. */
static void test_owners(void **state)
{
    (void)state;
    struct error error;
    struct appender appender;
    if (geteuid() != 0)
        skip();
    assert_int_equal(mkdir("shared", 0777), 0);
    assert_int_equal(chmod("shared", 01777), 0);
    put("shared/file", "x");
    assert_int_equal(chown("shared/file", 12345, 12345), 0);
    assert_int_equal(append_open(&appender, "shared/file", UINT64_MAX, &error), STATUS_INPUT);
    assert_non_null(strstr(error.message, "belongs to another user"));
    assert_int_equal(mkdir("shared/run", 0777), 0);
    assert_int_equal(file_check_folder("shared/run", true, &error), STATUS_OK);
    assert_int_equal(chown("shared/run", 12345, 12345), 0);
    assert_int_equal(file_check_folder("shared/run", true, &error), STATUS_INPUT);
    assert_int_equal(symlink("run", "shared/link"), 0);
    assert_int_equal(lchown("shared/link", 12345, 12345), 0);
    assert_int_equal(file_check_folder("shared/link", true, &error), STATUS_INPUT);
    /* In a folder of a user's own, as a container's root sees it, that user's files are as good as ours. */
    assert_int_equal(chown("shared", 12345, 12345), 0);
    assert_int_equal(append_open(&appender, "shared/file", UINT64_MAX, &error), STATUS_OK);
    append_close(&appender);
    assert_int_equal(file_check_folder("shared/run", true, &error), STATUS_OK);
}

static void test_folders(void **state)
{
    (void)state;
    struct error error;
    assert_int_equal(mkdir("folder", 0777), 0);
    assert_int_equal(symlink("folder", "link"), 0);
    assert_int_equal(file_check_folder("folder", false, &error), STATUS_OK);
    assert_int_equal(file_check_folder("link", true, &error), STATUS_OK);
    assert_int_equal(file_check_folder("link", false, &error), STATUS_INPUT);
    assert_non_null(strstr(error.message, "symbolic link"));
    put("file", "x");
    assert_int_equal(file_check_folder("file", true, &error), STATUS_INPUT);
    assert_int_equal(file_check_folder("nowhere", true, &error), STATUS_INPUT);
}

/* What a killed process left goes with the next write of the same file; what a living one writes, and what merely looks
 * like it, stays. */
static void test_half_written(void **state)
{
    (void)state;
    static const char *const others[] = { "out.abcdef.tmp", "out.abcdefg.selfsame.tmp", "other.abcdef.selfsame.tmp",
                                          "out.selfsame.tmp" };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        close(open(others[i], O_WRONLY | O_CREAT, 0666));
    close(open("out.killed.selfsame.tmp", O_WRONLY | O_CREAT, 0666));
    int alive = open("out.living.selfsame.tmp", O_WRONLY | O_CREAT, 0666);
    assert_int_equal(flock(alive, LOCK_EX), 0);
    put("out", "text");
    assert_holds("out", "text");
    assert_false(file_exists("out.killed.selfsame.tmp"));
    assert_true(file_exists("out.living.selfsame.tmp"));
    close(alive);
    put("out", "text");
    assert_false(file_exists("out.living.selfsame.tmp"));
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_true(file_exists(others[i]));
    assert_int_equal(file_temporary_of("out.abcdef.selfsame.tmp"), 3);
    assert_int_equal(file_temporary_of("out.abcdef.tmp"), 3); /* 0.1.0's */
    assert_int_equal(file_temporary_of("out.tmp"), 0);
}

static void test_scratch(void **state)
{
    (void)state;
    struct error error;
    struct scratch mine, next;
    int ready[2];
    char killed[FILE_PATH_BYTES] = "";
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        if (file_scratch_open(&mine, "scratch", &error) != STATUS_OK ||
            write(ready[1], mine.path, sizeof mine.path) != sizeof mine.path)
            _exit(1);
        pause();
    }
    assert_int_equal(read(ready[0], killed, sizeof killed), sizeof killed);
    assert_int_equal(file_scratch_open(&mine, "scratch", &error), STATUS_OK);
    assert_true(file_is_folder(killed)); /* its process is alive */
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    assert_int_equal(file_scratch_open(&next, "scratch", &error), STATUS_OK);
    assert_false(file_is_folder(killed));
    assert_true(file_is_folder(mine.path));
    file_scratch_close(&next);
    file_scratch_close(&mine);
    assert_false(file_is_folder(mine.path) || file_is_folder(next.path));
    close(ready[0]);
    close(ready[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_planted_names, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_owners, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_folders, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_half_written, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_scratch, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
