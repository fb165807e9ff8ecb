/* Finds CIFAR-10 in what a user names with --data. It may be an official archive, an unpacked one, or a folder that has
 * other data sets, too. It may be nested twice, or be there in both versions, one of them incomplete. */
#ifndef SELFSAME_CIFAR10_PLACES_H
#define SELFSAME_CIFAR10_PLACES_H

#include <stddef.h>

#include "base/error.h"
#include "base/file.h"

enum cifar10_kind { CIFAR10_BINARY, CIFAR10_PYTHON, CIFAR10_ARCHIVE };

struct cifar10_place {
    char path[FILE_PATH_BYTES]; /* a folder with batches, or an archive */
    enum cifar10_kind kind;
    size_t missing; /* of the wanted files; those of an archive are not known */
};

/* The places in and below `path`, which is a folder or an archive: those with every file of `names` first (a name is a
 * batch's, without the binary version's ".bin"), then archives, then the incomplete ones; among equals the binary
 * version, then the one nearest to `path`. The caller frees *places.
 * errors   STATUS_INPUT where there is none, also where it is CIFAR-100; STATUS_ENVIRONMENT without memory. */
enum status cifar10_find(const char *path, const char *const *names, size_t name_count, struct cifar10_place **places,
                         size_t *count, struct error *error) MUST_USE;

#endif
