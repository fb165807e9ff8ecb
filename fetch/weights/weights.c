#include "fetch/weights/weights.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/file.h"
#include "base/text.h"
#include "fetch/weights/names.h"
#include "fetch/weights/neon.h"
#include "fetch/weights/torch.h"
#include "fetch/weights/torch_write.h"
#include "trainer/digests.h"

enum { SHAPE_TEXT_BYTES = 128, DIFFERENCE_BYTES = 512 };
static const size_t WEIGHTS_LIMIT = (size_t)1 << 32;

/* ---- writing ----------------------------------------------------------------------------------------------------- */

static const struct safetensors_pair mark = { "format", "pt" };

enum status weights_write(const char *path, const struct network *network, const float *values, struct error *error)
{
    struct safetensors_source *sources = calloc(network->tensor_count, sizeof *sources);
    if (sources == NULL)
        return error_out_of_memory(error, "the list of tensors of %s", path);
    for (uint32_t i = 0; i < network->tensor_count; i++) {
        const struct tensor *tensor = &network->tensors[i];
        sources[i] = (struct safetensors_source){ tensor->name, tensor->rank, tensor->shape, values + tensor->offset };
    }
    enum status status = safetensors_write(path, sources, network->tensor_count, &mark, 1, false, error);
    free(sources);
    return status;
}

/* Of a network that is not recognised, any tensor may be one that computes something. */
static enum status check_whole(const struct weights *weights, const char *from, struct error *error)
{
    size_t written = 0;
    for (size_t i = 0; i < weights->tensors.count; i++) {
        const struct named_tensor *tensor = &weights->tensors.list[i];
        char integers[80];
        written += weights_is_weight(tensor);
        if (weights->recognised || tensor->values != NULL || names_is_harmless(tensor->name))
            continue;
        snprintf(integers, sizeof integers, "its numbers are %s, and only real ones become float32",
                 element_name(tensor->element));
        return error_set(error, STATUS_INPUT,
                         "%s: the tensor \"%s\" cannot be written (%.600s). If you do not need it, leave it out: "
                         "selfsame convert --rename %s= FILE OUT.safetensors",
                         from, tensor->name, tensor->obstacle != NULL ? tensor->obstacle : integers, tensor->name);
    }
    return written > 0
               ? STATUS_OK
               : error_set(error, STATUS_INPUT, "%s has no tensor of real numbers, so nothing is written", from);
}

enum status weights_convert(const struct weights *weights, const char *from, const char *path,
                            enum weights_container container, struct error *error)
{
    const struct tensors *tensors = &weights->tensors;
    size_t count = 0;
    enum status status = check_whole(weights, from, error);
    if (status != STATUS_OK)
        return status;
    struct safetensors_source *sources = calloc(tensors->count + 1, sizeof *sources);
    if (sources == NULL)
        return error_out_of_memory(error, "the list of tensors of %s", path);
    for (size_t i = 0; i < tensors->count; i++) {
        const struct named_tensor *tensor = &tensors->list[i];
        if (weights_is_weight(tensor))
            sources[count++] = (struct safetensors_source){ tensor->name, tensor->rank, tensor->shape, tensor->values };
    }
    status = container == CONTAINER_TORCH_ZIP ? torch_write(path, sources, count, error)
                                              : safetensors_write(path, sources, count, &mark, 1, false, error);
    free(sources);
    return status;
}

/* ---- into a network's values ------------------------------------------------------------------------------------- */

static void shape_text(char text[SHAPE_TEXT_BYTES], uint32_t rank, const uint64_t *shape)
{
    size_t used = (size_t)snprintf(text, SHAPE_TEXT_BYTES, "(");
    for (uint32_t i = 0; i < rank && used < SHAPE_TEXT_BYTES; i++)
        used += (size_t)snprintf(text + used, SHAPE_TEXT_BYTES - used, "%s%" PRIu64, i > 0 ? ", " : "", shape[i]);
    if (used < SHAPE_TEXT_BYTES)
        snprintf(text + used, SHAPE_TEXT_BYTES - used, ")");
}

static enum status take_tensor(const struct safetensor *found, const char *path, const struct tensor *tensor,
                               float *values, struct error *error)
{
    uint64_t shape[4];
    for (uint32_t i = 0; i < tensor->rank; i++)
        shape[i] = tensor->shape[i];
    if (strcmp(found->dtype, "F32") != 0)
        return error_set(error, STATUS_INPUT, "%s: tensor \"%s\" is %s; in a checkpoint it must be F32", path,
                         found->name, found->dtype);
    if (found->rank != tensor->rank || memcmp(found->shape, shape, tensor->rank * sizeof *shape) != 0) {
        char has[SHAPE_TEXT_BYTES], wants[SHAPE_TEXT_BYTES];
        shape_text(has, found->rank, found->shape);
        shape_text(wants, tensor->rank, shape);
        return error_set(error, STATUS_INPUT,
                         "%s: tensor \"%s\" has the shape %s, but the network's has %s: the checkpoint belongs to "
                         "another network",
                         path, found->name, has, wants);
    }
    bytes_get_floats(values + tensor->offset, found->data, tensor->count);
    return STATUS_OK;
}

enum status weights_take(const struct safetensors *safetensors, const char *path, const char *prefix, unsigned roles,
                         const struct network *network, float *values, struct error *error)
{
    for (uint32_t i = 0; i < network->tensor_count; i++) {
        const struct tensor *tensor = &network->tensors[i];
        char name[2 * TENSOR_NAME_BYTES];
        if ((roles & 1u << tensor->role) == 0)
            continue;
        snprintf(name, sizeof name, "%s%s", prefix, tensor->name);
        const struct safetensor *found = safetensors_find(safetensors, name);
        if (found == NULL)
            return error_set(error, STATUS_INPUT,
                             "%s has no tensor \"%s\", which the network of depth %u has: the checkpoint belongs to "
                             "another network",
                             path, name, network->model.depth);
        enum status status = take_tensor(found, path, tensor, values, error);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

bool weights_is_weight(const struct named_tensor *tensor)
{
    return tensor->values != NULL && !tensor->beside && !names_is_harmless(tensor->name);
}

const char *weights_shortcut_name(enum shortcut shortcut)
{
    static const char *const names[] = {
        [SHORTCUT_PROJECTION] = "projection",
        [SHORTCUT_PAD_END] = "option A",
        [SHORTCUT_PAD_BOTH] = "option A",
        [SHORTCUT_PROJECTION_BN] = "projection-bn",
    };
    return names[shortcut];
}

static const char *yes_or_no(bool truth)
{
    return truth ? "yes" : "no";
}

/* "KEY is THEIRS, OURS wanted", added where they differ. */
static void differ(char text[DIFFERENCE_BYTES], const char *key, const char *theirs, const char *ours)
{
    size_t used = strlen(text);
    if (strcmp(theirs, ours) != 0)
        snprintf(text + used, DIFFERENCE_BYTES - used, "%s%s %s instead of %s", used > 0 ? ", " : "", key, theirs,
                 ours);
}

enum status weights_fill(const struct weights *weights, const char *path, const struct network *network, float *values,
                         struct error *error)
{
    const struct model_config *theirs = &weights->model, *ours = &network->model;
    char differences[DIFFERENCE_BYTES] = "", depths[2][16];
    if (!weights->recognised) {
        *error = weights->obstacle;
        return error->status;
    }
    snprintf(depths[0], sizeof depths[0], "%" PRIu32, theirs->depth);
    snprintf(depths[1], sizeof depths[1], "%" PRIu32, ours->depth);
    differ(differences, "model.depth", depths[0], depths[1]);
    differ(differences, "model.shortcut", weights_shortcut_name(theirs->shortcut),
           weights_shortcut_name(ours->shortcut));
    differ(differences, "a linear bias:", yes_or_no(theirs->linear_bias != BIAS_NONE),
           yes_or_no(ours->linear_bias != BIAS_NONE));
    differ(differences, "model.final_batch_norm:", yes_or_no(theirs->final_batch_norm),
           yes_or_no(ours->final_batch_norm));
    if (differences[0] != '\0')
        return error_set(error, STATUS_INPUT, "the weights in %s belong to another network than the manifest's: %s",
                         path, differences);
    for (uint32_t i = 0; i < network->tensor_count; i++) {
        const struct tensor *tensor = &network->tensors[i];
        const struct named_tensor *found = tensors_find(&weights->tensors, tensor->name);
        if (found == NULL || found->values == NULL || found->count != tensor->count)
            return error_set(error, STATUS_INPUT, "%s has no tensor \"%s\"", path, tensor->name);
        memcpy(values + tensor->offset, found->values, tensor->count * sizeof *values);
    }
    return STATUS_OK;
}

enum status weights_read(const char *path, const struct network *network, float *values, struct error *error)
{
    struct weights weights;
    enum status status = weights_open(&weights, path, NULL, error);
    if (status != STATUS_OK)
        return status;
    status = weights_fill(&weights, path, network, values, error);
    weights_close(&weights);
    return status;
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

static enum status read_safetensors(struct tensors *tensors, const char *path, const uint8_t *file, size_t bytes,
                                    struct error *error)
{
    struct safetensors safetensors;
    char *copy = malloc(bytes + 1);
    if (copy == NULL)
        return error_out_of_memory(error, "the %zu bytes of %s", bytes, path);
    memcpy(copy, file, bytes);
    enum status status = safetensors_parse(&safetensors, path, copy, bytes, error); /* which owns the copy now */
    if (status != STATUS_OK)
        return status;
    for (size_t i = 0; i < safetensors.count && status == STATUS_OK; i++) {
        const struct safetensor *from = &safetensors.tensors[i];
        struct named_tensor *to;
        status = tensors_add(tensors, path, from->name, strlen(from->name), element_of(from->dtype), from->rank,
                             from->shape, &to, error);
        if (status == STATUS_OK && to->values != NULL)
            tensors_fill(to, from->data);
    }
    const char *key;
    json_t *value;
    json_object_foreach(json_object_get(safetensors.header, "__metadata__"), key, value)
    {
        if (strcmp(key, "format") != 0)
            tensors_claim(tensors, key, strlen(key), json_string_value(value), json_string_length(value));
    }
    safetensors_free(&safetensors);
    return status;
}

static bool is_at(const uint8_t *file, size_t bytes, size_t place, const char *text, size_t length)
{
    return bytes >= place + length && memcmp(file + place, text, length) == 0;
}

#define OLD_PICKLE "a pickle of protocol 0 or 1, or not a pickle: write it again with protocol 2 or later"

#define OLD_TAR                                                                       \
    "a tar file, as torch wrote before 0.1.10: if you trust it, write it again with " \
    "torch.save(torch.load(FILE, weights_only=False), OUT)"

/* Other formats that people have, for the message; NULL if the format is not known. */
static const char *foreign_format(const uint8_t *file, size_t bytes)
{
    static const struct {
        size_t place;
        const char *start;
        size_t length;
        const char *what;
    } formats[] = {
        { 0, "\x89HDF", 4,
          "an HDF5 file, such as Keras writes: h5py reads its arrays, and numpy.savez writes them with their names" },
        { 0, "run/record.json", 15, "a packed run: selfsame unpack takes its weights.safetensors out" },
        { 0, "sys_info", 9, OLD_TAR },
        { 0, "pickle", 7, OLD_TAR },
        { 0, "storages", 9, OLD_TAR },
        { 0, "tensors", 8, OLD_TAR },
        { 257, "ustar", 5, "a tar file: unpack it first, with tar -xf" },
        { 0, "\x1f\x8b", 2, "compressed by gzip: unpack it first, with gunzip" },
        { 0, "BZh", 3, "compressed by bzip2: unpack it first, with bunzip2" },
        { 0,
          "\xfd"
          "7zXZ",
          6, "compressed by xz: unpack it first, with unxz" },
        { 0, "\x28\xb5\x2f\xfd", 4, "compressed by Zstandard: unpack it first, with unzstd" },
        { 0, "version https://git-lfs", 23,
          "a pointer of Git LFS, not the file itself: git lfs pull downloads the file" },
        { 0, "\x93NUMPY", 6, "one numpy array without a name: numpy.savez writes several with their names" },
        { 0, "(", 1, OLD_PICKLE },
        { 0, "}q", 2, OLD_PICKLE },
        { 0, "]q", 2, OLD_PICKLE },
        { 0, "ccollections\n", 13, OLD_PICKLE },
        { 0, "ccopy_reg\n", 10, OLD_PICKLE },
    };
    static const char *const pages[] = { "<!doctype", "<html", "<head", "<?xml", "<!--" };
    size_t start = 0;
    if (bytes == 0)
        return "empty: did a download fail?";
    if (is_at(file, bytes, 0, "\xef\xbb\xbf", 3))
        start = 3;
    while (start < bytes && memchr(" \t\r\n", file[start], 4) != NULL)
        start++;
    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++) {
        if (bytes - start >= strlen(pages[i]) &&
            strncasecmp((const char *)file + start, pages[i], strlen(pages[i])) == 0)
            return "a web page, not the file itself: did a download fail?";
    }
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        if (is_at(file, bytes, formats[i].place, formats[i].start, formats[i].length))
            return formats[i].what;
    }
    return NULL;
}

/* A safetensors header has at most 100,000,000 bytes, so the upper half of its length is zero, and begins with a
 * brace. */
static bool is_safetensors(const uint8_t *file, size_t bytes)
{
    return is_at(file, bytes, 4, "\0\0\0\0{", 5);
}

/* A pickle that torch.save did not write: a model of neon, or a dict of tensors or arrays. */
static enum status read_pickle(struct weights *weights, const char *path, const uint8_t *file, size_t bytes,
                               const char *key, struct error *error)
{
    struct pickle pickle;
    size_t end;
    enum status status = pickle_read(&pickle, path, file, bytes, 0, &end, error);
    if (status != STATUS_OK)
        return status;
    if (end != bytes)
        status = error_set(error, STATUS_INPUT, "%s: %zu bytes follow the pickle: it is damaged, or has no weights",
                           path, bytes - end);
    else if (neon_is(pickle.root))
        status = neon_read(&weights->tensors, path, pickle.root, error);
    else
        status = torch_read_object(&weights->tensors, path, bytes, &pickle, key, error);
    weights->container = end == bytes && neon_is(pickle.root) ? CONTAINER_NEON : CONTAINER_PICKLE;
    pickle_free(&pickle);
    return status;
}

/* pickle_read tells of the protocols that are not read. */
enum { PROTOCOL_TO_COME = 15 };

static enum status parse(struct weights *weights, const char *path, const uint8_t *file, size_t bytes, const char *key,
                         struct error *error)
{
    struct tensors *tensors = &weights->tensors;
    if (is_safetensors(file, bytes)) {
        weights->container = CONTAINER_SAFETENSORS;
        return read_safetensors(tensors, path, file, bytes, error);
    }
    if (is_at(file, bytes, 0, "PK", 2)) {
        bool npz;
        enum status status = torch_read_zip(tensors, path, file, bytes, key, &npz, error);
        weights->container = npz ? CONTAINER_NPZ : CONTAINER_TORCH_ZIP;
        return status;
    }
    if (torch_is_legacy(file, bytes)) {
        weights->container = CONTAINER_TORCH_LEGACY;
        return torch_read_legacy(tensors, path, file, bytes, key, error);
    }
    if (bytes >= 2 && file[0] == 0x80 && file[1] <= PROTOCOL_TO_COME)
        return read_pickle(weights, path, file, bytes, key, error);
    const char *foreign = foreign_format(file, bytes);
    return error_set(error, STATUS_INPUT,
                     "%s is %s (weights are read from safetensors files, torch.save's files, numpy's .npz files, and "
                     "pickles of tensors or arrays)",
                     path, foreign != NULL ? foreign : "in a format that selfsame does not know");
}

/* What torch's wrappers put before every name, and no network's author. */
static void take_off_wrappers(struct tensors *tensors)
{
    static const char *const wrappers[] = { "module.", "_orig_mod." };
    for (size_t w = 0; w < sizeof wrappers / sizeof *wrappers; w++) {
        size_t length = strlen(wrappers[w]), with = 0;
        while (with < tensors->count && strncmp(tensors->list[with].name, wrappers[w], length) == 0 &&
               tensors->list[with].name[length] != '\0')
            with++;
        if (with == 0 || with < tensors->count)
            continue;
        for (size_t i = 0; i < with; i++) {
            char *name = tensors->list[i].name;
            memmove(name, name + length, strlen(name + length) + 1);
        }
        w = SIZE_MAX; /* once more from the first: they may be nested */
    }
}

static enum status recognise(struct weights *weights, const char *path, const struct weights_options *options,
                             struct error *error)
{
    struct tensors *tensors = &weights->tensors;
    enum status status = STATUS_OK;
    take_off_wrappers(tensors);
    for (size_t i = 0;
         status == STATUS_OK && options != NULL && options->renames != NULL && options->renames[i] != NULL; i++)
        status = names_replace(tensors, path, options->renames[i], error);
    if (status == STATUS_OK)
        status = tensors_check_names(tensors, path, error);
    if (status != STATUS_OK)
        return status;
    status = names_recognise(tensors, path, &weights->model, &weights->obstacle);
    weights->recognised = status == STATUS_OK;
    if (status == STATUS_ENVIRONMENT)
        *error = weights->obstacle;
    if (status != STATUS_ENVIRONMENT)
        tensors_sort(tensors);
    return status == STATUS_ENVIRONMENT ? status : STATUS_OK;
}

enum status weights_parse(struct weights *weights, const char *path, const uint8_t *file, size_t bytes,
                          const struct weights_options *options, struct error *error)
{
    *weights = (struct weights){ .bytes = bytes };
    tensors_open(&weights->tensors, bytes);
    sha256_hex(file, bytes, weights->sha256);
    enum status status = parse(weights, path, file, bytes, options != NULL ? options->key : NULL, error);
    if (status == STATUS_OK)
        status = recognise(weights, path, options, error);
    if (status != STATUS_OK)
        weights_close(weights);
    return status;
}

enum status weights_open(struct weights *weights, const char *path, const struct weights_options *options,
                         struct error *error)
{
    char *file;
    size_t bytes;
    *weights = (struct weights){ .bytes = 0 };
    enum status status = file_read(path, WEIGHTS_LIMIT, &file, &bytes, error);
    if (status != STATUS_OK)
        return status;
    status = weights_parse(weights, path, (const uint8_t *)file, bytes, options, error);
    free(file);
    return status;
}

void weights_close(struct weights *weights)
{
    tensors_free(&weights->tensors);
}

/* ---- what they are ----------------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    enum weights_format format;
} containers[] = {
    [CONTAINER_SAFETENSORS] = { "safetensors", WEIGHTS_SAFETENSORS },
    [CONTAINER_TORCH_LEGACY] = { "torch legacy", WEIGHTS_TORCH },
    [CONTAINER_TORCH_ZIP] = { "torch zip", WEIGHTS_TORCH },
    [CONTAINER_NEON] = { "neon pickle", WEIGHTS_NEON },
    [CONTAINER_PICKLE] = { "pickle", WEIGHTS_AUTO },
    [CONTAINER_NPZ] = { "numpy npz", WEIGHTS_AUTO },
};

const char *weights_container_name(enum weights_container container)
{
    return containers[container].name;
}

bool weights_has_format(const struct weights *weights, enum weights_format format)
{
    return format == WEIGHTS_AUTO || format == containers[weights->container].format;
}

size_t weights_parameter_count(const struct weights *weights)
{
    size_t count = 0;
    for (size_t i = 0; i < weights->tensors.count; i++) {
        const struct named_tensor *tensor = &weights->tensors.list[i];
        if (weights_is_weight(tensor) && !text_ends_with(tensor->name, ".running_mean") &&
            !text_ends_with(tensor->name, ".running_var"))
            count += tensor->count;
    }
    return count;
}

void weights_content_digest(const struct weights *weights, char hex[DIGEST_HEX_BYTES])
{
    uint8_t digest[DIGEST_BYTES];
    struct sha256 sha256;
    sha256_start(&sha256);
    for (size_t i = 0; i < weights->tensors.count; i++) {
        const struct named_tensor *tensor = &weights->tensors.list[i];
        if (weights_is_weight(tensor))
            digest_tensor(&sha256, tensor->name, tensor->rank, tensor->shape, tensor->values);
    }
    sha256_finish(&sha256, digest);
    digest_to_hex(digest, hex);
}

struct rounding weights_rounding(const struct weights *weights)
{
    struct rounding sum = { 0, 0, 0 };
    for (size_t i = 0; i < weights->tensors.count; i++) {
        if (weights_is_weight(&weights->tensors.list[i]))
            rounding_add(&sum, &weights->tensors.list[i].rounding);
    }
    return sum;
}

void weights_tell_rounding(const struct weights *weights, char text[WEIGHTS_ROUNDING_BYTES])
{
    const struct rounding rounding = weights_rounding(weights);
    size_t counts[ELEMENT_OTHER] = { 0 }, all = 0;
    text[0] = '\0';
    for (size_t i = 0; i < weights->tensors.count; i++) {
        const struct named_tensor *tensor = &weights->tensors.list[i];
        if (weights_is_weight(tensor))
            counts[tensor->element] += tensor->count;
    }
    for (int element = 0; element < ELEMENT_OTHER; element++)
        all += counts[element];
    if (counts[ELEMENT_F64] > 0 && rounding.rounded == 0)
        snprintf(text, WEIGHTS_ROUNDING_BYTES, "float64, and float32 can hold every number exactly");
    else if (counts[ELEMENT_F64] > 0)
        snprintf(text, WEIGHTS_ROUNDING_BYTES,
                 "float64, rounded to float32: %zu of %zu numbers changed, the most by %.1e of its size%s",
                 rounding.rounded, all, rounding.largest,
                 rounding.overflowed > 0 ? "; some are larger than float32 can hold and become infinite" : "");
    else if (counts[ELEMENT_F16] + counts[ELEMENT_BF16] > 0)
        snprintf(text, WEIGHTS_ROUNDING_BYTES,
                 "%s, which float32 can hold exactly; precision that was lost when the file was written is gone",
                 counts[ELEMENT_F16] > 0 ? "float16" : "bfloat16");
}

enum status weights_model(const struct weights *weights, struct model_config *model, struct error *error)
{
    *model = weights->model;
    if (weights->recognised)
        return STATUS_OK;
    *error = weights->obstacle;
    return error->status;
}
