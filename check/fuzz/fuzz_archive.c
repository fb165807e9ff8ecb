/* libFuzzer: any bytes as an archive. If they begin with an even byte, they are a tar, which is gzipped here, because
 * no mutation gets past a CRC. Otherwise they are the file itself. make fuzz runs it. */
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/file.h"
#include "fetch/archive.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static const struct archive_layout layout = {
    "box", { { "first", 0, 512, true }, { "second", 0, 5000, false }, { "third", 3, 3, false } }
};

static void put(int descriptor, const uint8_t *data, size_t bytes)
{
    if (write(descriptor, data, bytes) != (ssize_t)bytes)
        abort();
}

static void put_gzipped(int descriptor, const uint8_t *data, size_t bytes)
{
    z_stream stream = { .next_in = (Bytef *)data, .avail_in = (uInt)bytes };
    uint8_t out[4096];
    int result;
    if (deflateInit2(&stream, 0, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        abort();
    do {
        stream.next_out = out;
        stream.avail_out = sizeof out;
        result = deflate(&stream, Z_FINISH);
        put(descriptor, out, sizeof out - stream.avail_out);
    } while (result == Z_OK);
    deflateEnd(&stream);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static char folder[64];
    char path[64], out[128];
    struct error error;
    if (folder[0] == '\0') {
        snprintf(folder, sizeof folder, "%s/fuzz_archive.XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
        if (mkdtemp(folder) == NULL)
            abort();
    }
    int descriptor = memfd_create("archive", MFD_CLOEXEC);
    if (descriptor < 0)
        abort();
    if (bytes > 0 && data[0] % 2 == 0)
        put_gzipped(descriptor, data, bytes);
    else
        put(descriptor, data, bytes);
    snprintf(path, sizeof path, "/proc/self/fd/%d", descriptor);
    snprintf(out, sizeof out, "%s/out", folder);
    if (archive_unpack(path, &layout, 1, out, NULL, NULL, &error) == STATUS_OK &&
        file_remove_tree(out, &error) != STATUS_OK)
        abort();
    if (rmdir(folder) != 0 || mkdir(folder, 0700) != 0) /* whatever came, nothing is left behind */
        abort();
    close(descriptor);
    return 0;
}
