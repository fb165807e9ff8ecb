#include "commands/shared_data.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct entry {
    const struct manifest *manifest; /* the first of those with these data */
    size_t runs;                     /* that have not left */
    bool loaded;
    struct dataset training, validation;
};

struct shared_data {
    const struct data_options *options;
    pthread_mutex_t lock;
    struct entry *entries;
    size_t count;
};

/* Digests that both manifests state make the data the same, wherever they come from. */
static bool same_data(const struct manifest *a, const struct manifest *b)
{
    return a == b ||
           (a->dataset_kind == b->dataset_kind && a->training_images == b->training_images &&
            a->test_images == b->test_images && strcmp(a->train_sha256, b->train_sha256) == 0 &&
            strcmp(a->test_sha256, b->test_sha256) == 0 && a->train_sha256[0] != '\0' && a->test_sha256[0] != '\0');
}

static struct entry *find(struct shared_data *data, const struct manifest *manifest)
{
    for (size_t i = 0; i < data->count; i++) {
        if (same_data(data->entries[i].manifest, manifest))
            return &data->entries[i];
    }
    return NULL;
}

enum status shared_data_open(struct shared_data **out, const struct data_options *options, struct error *error)
{
    struct shared_data *data = calloc(1, sizeof *data);
    *out = data;
    if (data == NULL)
        return error_out_of_memory(error, "the data sets");
    data->options = options;
    pthread_mutex_init(&data->lock, NULL);
    return STATUS_OK;
}

enum status shared_data_expect(struct shared_data *data, const struct manifest *manifest, size_t runs,
                               struct error *error)
{
    struct entry *entry = find(data, manifest);
    if (entry == NULL) {
        struct entry *entries = realloc(data->entries, (data->count + 1) * sizeof *entries);
        if (entries == NULL)
            return error_out_of_memory(error, "the data sets");
        data->entries = entries;
        entry = &entries[data->count++];
        *entry = (struct entry){ .manifest = manifest };
    }
    entry->runs += runs;
    return STATUS_OK;
}

/* The lock is held while data are loaded, so that no two runs load the same. */
enum status shared_data_take(struct shared_data *data, const struct manifest *manifest, const struct dataset **training,
                             const struct dataset **validation, struct error *error)
{
    enum status status = STATUS_OK;
    pthread_mutex_lock(&data->lock);
    struct entry *entry = find(data, manifest);
    assert(entry != NULL && entry->runs > 0);
    if (!entry->loaded)
        status = data_load(manifest, data->options, &entry->training, &entry->validation, error);
    entry->loaded = status == STATUS_OK;
    *training = &entry->training;
    *validation = &entry->validation;
    pthread_mutex_unlock(&data->lock);
    return status;
}

static void unload(struct entry *entry)
{
    if (entry->loaded) {
        dataset_free(&entry->training);
        dataset_free(&entry->validation);
    }
    entry->loaded = false;
}

void shared_data_leave(struct shared_data *data, const struct manifest *manifest)
{
    pthread_mutex_lock(&data->lock);
    struct entry *entry = find(data, manifest);
    assert(entry != NULL && entry->runs > 0);
    if (--entry->runs == 0)
        unload(entry);
    pthread_mutex_unlock(&data->lock);
}

void shared_data_close(struct shared_data *data)
{
    if (data == NULL)
        return;
    for (size_t i = 0; i < data->count; i++)
        unload(&data->entries[i]);
    pthread_mutex_destroy(&data->lock);
    free(data->entries);
    free(data);
}
