/* Inside the reader of torch's files: one reading, its storages, and the tensors that are views of them. */
#ifndef SELFSAME_TORCH_READER_H
#define SELFSAME_TORCH_READER_H

#include "fetch/weights/tensors.h"
#include "fetch/weights/zip.h"

enum { TORCH_KEY_MAX = 128 };

struct torch_storage {
    const char *key; /* not terminated */
    size_t key_bytes;
    enum element element;
    uint64_t count;
    const uint8_t *data; /* NULL: not found yet */
    uint8_t *memory;     /* what `data` points into, where it was unpacked */
};

struct torch_reader {
    struct tensors *tensors;
    const char *path;
    size_t bytes;                   /* of the file */
    const struct pickle *pickle;    /* the object */
    struct torch_storage *storages; /* by key, each once; NULL where the container has none */
    size_t storage_count;
    const struct zip *zip; /* NULL: not a zip file */
    const char *stem;      /* the folder in it, with its slash; not terminated */
    size_t stem_bytes;
    size_t unpack_limit; /* bytes that may still be unpacked */
    size_t parsed;       /* bytes of pickles of storages that were read */
    /* The last storage that was given as the bytes of a file: tensors that share one are next to each other. */
    const struct pickle_value *last_file;
    struct torch_storage last_storage;
    const char *key;
    struct error *error;
};

/* Whether a value is a tensor of torch's or an array of numpy's. */
bool torch_is_tensor(const struct pickle_value *value);
/* Reads a tensor into `tensors` under that name. STATUS_INPUT says why one cannot be read. */
enum status torch_read_tensor(struct torch_reader *r, struct tensors *tensors, const struct pickle_value *name,
                              const struct pickle_value *value) MUST_USE;
/* The value of a tensor of one number, for claims; false if it has not one number. */
bool torch_read_number(struct torch_reader *r, const struct pickle_value *value, double *number);

/* Lists the storages that the object names, each once; those of one key must agree. */
enum status torch_collect_storages(struct torch_reader *r) MUST_USE;
struct torch_storage *torch_find_storage(const struct torch_reader *r, const struct pickle_value *key);
void torch_free_storages(struct torch_reader *r);
/* The entry STEM/rest or, of a key that is not terminated, STEM/data/KEY; NULL if there is none. */
const struct zip_entry *torch_find_entry(const struct torch_reader *r, const char *rest, size_t key_bytes);
/* zip_read within the limit on what is unpacked. */
enum status torch_open_entry(struct torch_reader *r, const struct zip_entry *entry, const uint8_t **data,
                             uint8_t **memory) MUST_USE;
/* The one storage that a legacy file of torch.save's is, as pickle.dump holds it; its data lies in the file. *parsed:
 * how many bytes were read for it; all of them, where they are no such file. */
enum status torch_read_single_storage(const char *path, const uint8_t *file, size_t bytes,
                                      struct torch_storage *storage, size_t *parsed, struct error *error) MUST_USE;

#endif
