/* Every system call by which a record is written fails once, each in turn: the training ends with an error that says
 * what failed and where, nothing is left half-written, and the run resumes to the files that it would have had. Linked
 * with --wrap for those calls. */
#include "check/support/simulated_training.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { EPOCHS = 3 };

static unsigned long calls, failing_call; /* counted from 1; 0: none fails */
static const char *failed_function;
static const char lock_shortened[] = "ftruncate of the lock";

static bool fails(const char *function)
{
    if (++calls != failing_call)
        return false;
    failed_function = function;
    errno = strcmp(function, "write") == 0 || strcmp(function, "fsync") == 0 ? ENOSPC : EIO;
    return true;
}

ssize_t __real_write(int descriptor, const void *data, size_t bytes);
ssize_t __wrap_write(int descriptor, const void *data, size_t bytes);
int __real_fsync(int descriptor);
int __wrap_fsync(int descriptor);
int __real_close(int descriptor);
int __wrap_close(int descriptor);
int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);
int __real_ftruncate(int descriptor, off_t bytes);
int __wrap_ftruncate(int descriptor, off_t bytes);
int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __real_mkdir(const char *path, mode_t mode);
int __wrap_mkdir(const char *path, mode_t mode);

/* As a disk that fills up does: half of it still goes in. */
ssize_t __wrap_write(int descriptor, const void *data, size_t bytes)
{
    if (fails("write")) {
        int number = errno;
        if (__real_write(descriptor, data, bytes / 2) < 0)
            return -1;
        errno = number;
        return -1;
    }
    return __real_write(descriptor, data, bytes);
}

int __wrap_fsync(int descriptor)
{
    return fails("fsync") ? -1 : __real_fsync(descriptor);
}

int __wrap_close(int descriptor)
{
    bool failing = fails("close");
    int number = errno, result = __real_close(descriptor);
    if (!failing)
        return result;
    errno = number;
    return -1;
}

int __wrap_rename(const char *from, const char *to)
{
    return fails("rename") ? -1 : __real_rename(from, to);
}

/* The lock's file has a number in it that only messages show. */
int __wrap_ftruncate(int descriptor, off_t bytes)
{
    char link[64], path[FILE_PATH_BYTES] = "";
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    assert_true(readlink(link, path, sizeof path - 1) > 0);
    return fails(strstr(path, "/" RECORD_LOCK_FILE) != NULL ? lock_shortened : "ftruncate")
               ? -1
               : __real_ftruncate(descriptor, bytes);
}

/* What makes files. */
int __wrap_open(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    return (flags & O_CREAT) != 0 && fails("open") ? -1 : __real_open(path, flags, mode);
}

int __wrap_mkdir(const char *path, mode_t mode)
{
    return fails("mkdir") ? -1 : __real_mkdir(path, mode);
}

static void expect_no_remains(const char *name)
{
    char names[32][64], path[FILE_PATH_BYTES];
    run_path(path, name, RECORD_CHECKPOINTS_FOLDER);
    for (int checkpoints = 0; checkpoints < 2; checkpoints++) {
        if (!file_is_folder(path))
            return;
        for (size_t i = list_folder(name, checkpoints ? RECORD_CHECKPOINTS_FOLDER : ".", names); i-- > 0;)
            assert_null(strstr(names[i], ".tmp"));
    }
}

/* One session in which call number `failing` fails; false when there were fewer calls. */
static bool try_fault(unsigned long failing, const char *name)
{
    struct error error = { STATUS_OK, "" };
    struct recorder_options options =
        simulated_options(name, failing % 2); /* --resume on a run that does not exist begins it */
    options.epochs = EPOCHS;
    calls = 0;
    failing_call = failing;
    enum status status = simulated_session(&options, EPOCHS, UINT64_MAX, false, &error);
    failing_call = 0;
    if (calls < failing)
        return false;
    expect_no_remains(name);
    options.resume = true;
    if (status == STATUS_OK) {
        /* What is synced already may close as it likes; a folder that exists may not be made again. */
        assert_true(strcmp(failed_function, "close") == 0 || strcmp(failed_function, "mkdir") == 0 ||
                    failed_function == lock_shortened);
    } else {
        if (status != STATUS_ENVIRONMENT || strstr(error.message, runs_folder) == NULL ||
            (strstr(error.message, "No space left") == NULL && strstr(error.message, "Input/output error") == NULL))
            fail_msg("call %lu, %s: status %d, \"%s\"", failing, failed_function, (int)status, error.message);
        status = simulated_session(&options, EPOCHS, UINT64_MAX, false, &error);
        /* If only the last words of record.json's writing failed, the run is finished. */
        if (status != STATUS_OK && strstr(error.message, "is finished") == NULL)
            fail_msg("after call %lu, %s, failed: \"%s\"", failing, failed_function, error.message);
    }
    assert_same_run("three", name);
    return true;
}

static void test_every_call_fails(void **state)
{
    (void)state;
    struct error error;
    struct recorder_options options = simulated_options("three", false);
    options.epochs = EPOCHS;
    assert_int_equal(simulated_session(&options, EPOCHS, UINT64_MAX, false, &error), STATUS_OK);
    unsigned long failing = 1;
    char name[32];
    do
        snprintf(name, sizeof name, "faulty-%lu", failing);
    while (try_fault(failing++, name));
    assert_true(failing > 80);
    print_message("%lu calls failed in turn\n", failing - 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_every_call_fails) };
    return cmocka_run_group_tests(tests, simulated_setup, simulated_teardown);
}
