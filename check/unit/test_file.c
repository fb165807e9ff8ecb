/* Files: what others may have planted, what killed processes leave, what processes do at the same time, and scratch
 * folders. --wrap=fsync, so that they are fast; --wrap=umask. */
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

#include "base/append.h"
#include "base/file.h"
#include "base/lock.h"

int __wrap_fsync(int descriptor);
int __wrap_fsync(int descriptor)
{
    (void)descriptor;
    return 0;
}

static unsigned umask_calls;
mode_t __real_umask(mode_t mask);
mode_t __wrap_umask(mode_t mask);
mode_t __wrap_umask(mode_t mask)
{
    umask_calls++;
    return __real_umask(mask);
}

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

/* A folder goes at once, with its files; so does what a killed process left of another. */
static void test_discard(void **state)
{
    (void)state;
    struct error error;
    char left[FILE_PATH_BYTES];
    assert_int_equal(mkdir(".deleted-abcdef", 0700), 0);
    put(".deleted-abcdef/file", "x");
    assert_int_equal(mkdir("doomed", 0777), 0);
    assert_int_equal(mkdir("doomed/inner", 0777), 0);
    put("doomed/inner/file", "x");
    assert_int_equal(file_discard_folder("doomed", ".deleted", left, &error), STATUS_OK);
    assert_false(file_exists("doomed") || file_exists(left) || file_exists(".deleted-abcdef"));
    assert_int_equal(file_discard_folder("doomed", ".deleted", left, &error), STATUS_ENVIRONMENT);
    assert_false(file_exists(left));
}

/* The umask is the process's: to look at it by changing it would open the files of other threads to everybody. */
static void test_umask(void **state)
{
    (void)state;
    struct stat about;
    const mode_t before = __real_umask(027);
    put("file", "x");
    __real_umask(before);
    assert_int_equal(stat("file", &about), 0);
    assert_int_equal(about.st_mode & 0777, 0640);
    assert_int_equal(umask_calls, 0);
}

/* ---- at the same time -------------------------------------------------------------------------------------------- */

enum { PROCESSES = 4 };

/* How many of these processes fail. */
static int run_processes(bool (*work)(void))
{
    pid_t children[PROCESSES];
    int failed = 0;
    for (size_t i = 0; i < PROCESSES; i++) {
        children[i] = fork();
        if (children[i] == 0)
            _exit(work() ? 0 : 1);
    }
    for (size_t i = 0; i < PROCESSES; i++) {
        int result;
        assert_int_equal(waitpid(children[i], &result, 0), children[i]);
        failed += result != 0;
    }
    return failed;
}

static bool write_one_path(void)
{
    struct error error;
    for (int i = 0; i < 300; i++) {
        if (file_write("shared", "text", 4, &error) != STATUS_OK)
            return false;
    }
    return true;
}

/* Each write sweeps what killed processes left, and must leave alone what the others have just finished. */
static void test_one_path(void **state)
{
    (void)state;
    assert_int_equal(run_processes(write_one_path), 0);
    assert_holds("shared", "text");
}

static bool use_scratch(void)
{
    struct error error;
    for (int i = 0; i < 300; i++) {
        struct scratch scratch;
        char path[FILE_PATH_BYTES];
        if (file_scratch_open(&scratch, "scratch", &error) != STATUS_OK ||
            file_path(path, &error, "%s/file", scratch.path) != STATUS_OK ||
            file_write(path, "x", 1, &error) != STATUS_OK)
            return false;
        file_scratch_close(&scratch);
        if (file_exists(scratch.path))
            return false;
    }
    return true;
}

/* No process takes another's folder for one that a killed process left. */
static void test_many_scratches(void **state)
{
    (void)state;
    assert_int_equal(run_processes(use_scratch), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_planted_names, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_owners, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_folders, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_half_written, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_scratch, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_discard, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_umask, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_path, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_many_scratches, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
