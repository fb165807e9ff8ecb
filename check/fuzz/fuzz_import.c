/* libFuzzer: any bytes as an event file and as CSV, and what import makes of them. make fuzz runs it. The checksums of
 * event files are not checked in this build, since no fuzzer finds one. */
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "exchange/import.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static struct import_choice choice = { .last = true };
static struct manifest manifest;

static bool wants(void *context, const char *name)
{
    return import_wants(context, name);
}

static void import(const char *path, bool events)
{
    struct import_source source = { .wants = wants, .context = &choice };
    struct import_rows rows;
    struct error error;
    enum status status =
        events ? import_read_tensorboard(&source, path, &error) : import_read_csv(&source, &choice, path, &error);
    if (status == STATUS_OK)
        status = import_rows_make(&source, &choice, &manifest, &rows, &error);
    if (status == STATUS_OK) {
        for (size_t i = 0; i < rows.count; i++) {
            char *line;
            if (metrics_format(&rows.rows[i], &line, &error) != STATUS_OK) /* what was accepted can be recorded */
                abort();
            free(line);
        }
        import_rows_free(&rows);
    }
    import_source_free(&source);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static int file = -1;
    static char path[64];
    struct error error;
    if (file < 0) {
        file = memfd_create("fuzz", 0);
        snprintf(path, sizeof path, "/proc/self/fd/%d", file);
        if (file < 0 || manifest_read("quick/resnet20.yaml", &manifest, &error) != STATUS_OK)
            abort();
    }
    if (ftruncate(file, 0) != 0 || pwrite(file, data, bytes, 0) != (ssize_t)bytes)
        abort();
    choice.steps = bytes % 2 == 1;
    import(path, true);
    import(path, false);
    return 0;
}
