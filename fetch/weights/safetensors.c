#include "fetch/weights/safetensors.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/file.h"
#include "base/hash.h"

enum { LENGTH_BYTES = 8, HEADER_LIMIT = 100000000, ALIGNMENT = 8, SEAL_DIGITS = DIGEST_HEX_BYTES - 1 };
static const size_t FILE_LIMIT = (size_t)1 << 32;
static const char METADATA[] = "__metadata__", SEAL[] = "selfsame_seal", SEAL_START[] = "\"selfsame_seal\":\"";

static const struct {
    const char *name;
    uint32_t bits;
} dtypes[] = {
    { "F32", 32 },        { "I64", 64 },    { "F64", 64 },    { "F16", 16 },    { "BF16", 16 },   { "I32", 32 },
    { "U8", 8 },          { "I8", 8 },      { "BOOL", 8 },    { "I16", 16 },    { "U16", 16 },    { "U32", 32 },
    { "U64", 64 },        { "C64", 64 },    { "F8_E4M3", 8 }, { "F8_E5M2", 8 }, { "F8_E8M0", 8 }, { "F8_E4M3FNUZ", 8 },
    { "F8_E5M2FNUZ", 8 }, { "F6_E2M3", 6 }, { "F6_E3M2", 6 }, { "F4", 4 },
};

static uint32_t dtype_bits(const char *name)
{
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        if (strcmp(dtypes[i].name, name) == 0)
            return dtypes[i].bits;
    return 0;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static enum status read_shape(struct safetensor *tensor, const json_t *shape, const char *path, struct error *error)
{
    if (!json_is_array(shape))
        return error_set(error, STATUS_INPUT, "%s: tensor \"%s\": \"shape\" is missing or not a list", path,
                         tensor->name);
    if (json_array_size(shape) > SAFETENSORS_RANK_MAX)
        return error_set(error, STATUS_INPUT, "%s: tensor \"%s\" has %zu dimensions; at most %d are allowed", path,
                         tensor->name, json_array_size(shape), SAFETENSORS_RANK_MAX);
    tensor->rank = (uint32_t)json_array_size(shape);
    for (uint32_t i = 0; i < tensor->rank; i++) {
        const json_t *dimension = json_array_get(shape, i);
        if (!json_is_integer(dimension) || json_integer_value(dimension) < 0)
            return error_set(error, STATUS_INPUT, "%s: tensor \"%s\": dimension %u of its shape is not a whole number",
                             path, tensor->name, i);
        tensor->shape[i] = (uint64_t)json_integer_value(dimension);
    }
    return STATUS_OK;
}

/* How many bytes dtype and shape ask for. */
static enum status shape_bytes(const struct safetensor *tensor, const char *path, uint64_t *bytes, struct error *error)
{
    uint64_t bits = dtype_bits(tensor->dtype);
    if (bits == 0)
        return error_set(error, STATUS_INPUT, "%s: tensor \"%s\" has the unknown dtype \"%.40s\"", path, tensor->name,
                         tensor->dtype);
    for (uint32_t i = 0; i < tensor->rank; i++)
        if (__builtin_mul_overflow(bits, tensor->shape[i], &bits))
            return error_set(error, STATUS_INPUT, "%s: tensor \"%s\" has a shape of more than 2^64 bits", path,
                             tensor->name);
    if (bits % 8 != 0)
        return error_set(error, STATUS_INPUT, "%s: tensor \"%s\" does not fill whole bytes", path, tensor->name);
    *bytes = bits / 8;
    return STATUS_OK;
}

/* One entry of the header; data_bytes is the room behind the header. */
static enum status read_entry(struct safetensor *tensor, const json_t *entry, const char *path, const uint8_t *data,
                              size_t data_bytes, struct error *error)
{
    const char *key;
    json_t *value;
    if (!json_is_object(entry))
        return error_set(error, STATUS_INPUT, "%s: the entry of tensor \"%s\" is not an object", path, tensor->name);
    json_object_foreach((json_t *)entry, key,
                        value) if (strcmp(key, "dtype") != 0 && strcmp(key, "shape") != 0 &&
                                   strcmp(key, "data_offsets") !=
                                       0) return error_set(error, STATUS_INPUT,
                                                           "%s: tensor \"%s\" has the unknown key \"%.80s\"", path,
                                                           tensor->name, key);
    tensor->dtype = json_string_value(json_object_get(entry, "dtype"));
    if (tensor->dtype == NULL)
        return error_set(error, STATUS_INPUT, "%s: tensor \"%s\": \"dtype\" is missing or not a string", path,
                         tensor->name);
    enum status status = read_shape(tensor, json_object_get(entry, "shape"), path, error);
    if (status != STATUS_OK)
        return status;
    const json_t *offsets = json_object_get(entry, "data_offsets"), *begin = json_array_get(offsets, 0),
                 *end = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(begin) || !json_is_integer(end) ||
        json_integer_value(begin) < 0 || json_integer_value(end) < json_integer_value(begin))
        return error_set(error, STATUS_INPUT,
                         "%s: tensor \"%s\": \"data_offsets\" is not a pair of rising whole numbers", path,
                         tensor->name);
    uint64_t from = (uint64_t)json_integer_value(begin), to = (uint64_t)json_integer_value(end), bytes = 0;
    if (to > data_bytes)
        return error_set(error, STATUS_INPUT,
                         "%s: tensor \"%s\" ends at byte %" PRIu64 " of the data, which has %zu: the file is truncated",
                         path, tensor->name, to, data_bytes);
    status = shape_bytes(tensor, path, &bytes, error);
    if (status != STATUS_OK)
        return status;
    if (bytes != to - from)
        return error_set(error, STATUS_INPUT,
                         "%s: tensor \"%s\" has %" PRIu64 " bytes, but its dtype and shape need %" PRIu64, path,
                         tensor->name, (to - from), bytes);
    tensor->data = data + from;
    tensor->bytes = (size_t)bytes;
    return STATUS_OK;
}

static int by_place(const void *a, const void *b)
{
    const struct safetensor *x = a, *y = b;
    if (x->data != y->data)
        return x->data < y->data ? -1 : 1;
    return (x->bytes > y->bytes) - (x->bytes < y->bytes); /* the empty ones first: they take no room */
}

/* The tensors, in order, must cover the data without a hole, an overlap or a rest. */
static enum status check_cover(const struct safetensors *safetensors, const char *path, const uint8_t *data,
                               size_t data_bytes, struct error *error)
{
    const uint8_t *next = data;
    for (size_t i = 0; i < safetensors->count; i++) {
        const struct safetensor *tensor = &safetensors->tensors[i];
        if (tensor->data != next)
            return error_set(
                error, STATUS_INPUT, "%s: tensor \"%s\" begins at byte %td of the data, where %td is expected: %s",
                path, tensor->name, tensor->data - data, next - data, tensor->data > next ? "a hole" : "an overlap");
        next += tensor->bytes;
    }
    if (next != data + data_bytes)
        return error_set(error, STATUS_INPUT, "%s: %td bytes follow the last tensor", path, data + data_bytes - next);
    return STATUS_OK;
}

static enum status check_metadata(const json_t *metadata, const char *path, struct error *error)
{
    const char *key;
    json_t *value;
    if (metadata != NULL && !json_is_object(metadata))
        return error_set(error, STATUS_INPUT, "%s: \"%s\" is not an object", path, METADATA);
    json_object_foreach((json_t *)metadata, key, value) if (!json_is_string(value)) return error_set(
        error, STATUS_INPUT, "%s: \"%.80s\" in \"%s\" is not a string", path, key, METADATA);
    return STATUS_OK;
}

/* The digest of a file with the seal's digits, at `seal`, read as zeros. */
static void seal_digest(const char *file, size_t bytes, const char *seal, char hex[DIGEST_HEX_BYTES])
{
    static const char zeros[] = "0000000000000000000000000000000000000000000000000000000000000000";
    uint8_t digest[DIGEST_BYTES];
    struct sha256 sha256;
    sha256_start(&sha256);
    sha256_add(&sha256, file, (size_t)(seal - file));
    sha256_add(&sha256, zeros, SEAL_DIGITS);
    sha256_add(&sha256, seal + SEAL_DIGITS, bytes - (size_t)(seal - file) - SEAL_DIGITS);
    sha256_finish(&sha256, digest);
    digest_to_hex(digest, hex);
}

/* Where the seal's digits stand in a header; NULL if nowhere. No string of the header can hold the marker: its quotes
 * would be escaped. */
static char *find_seal(char *header, size_t header_bytes)
{
    char *start = memmem(header, header_bytes, SEAL_START, sizeof SEAL_START - 1);
    if (start == NULL || (size_t)(header + header_bytes - start) < sizeof SEAL_START - 1 + SEAL_DIGITS)
        return NULL;
    return start + sizeof SEAL_START - 1;
}

static enum status check_seal(struct safetensors *safetensors, const char *path, size_t header_bytes,
                              struct error *error)
{
    const char *value = safetensors_metadata(safetensors, SEAL);
    char hex[DIGEST_HEX_BYTES];
    if (value == NULL)
        return STATUS_OK;
    char *seal = find_seal(safetensors->file + LENGTH_BYTES, header_bytes);
    if (seal != NULL) {
        seal_digest(safetensors->file, safetensors->bytes, seal, hex);
        safetensors->sealed = memcmp(seal, hex, SEAL_DIGITS) == 0 && strcmp(value, hex) == 0;
    }
    if (!safetensors->sealed)
        return error_set(error, STATUS_INPUT, "%s is damaged: its SHA-256 is not the one in its header", path);
    return STATUS_OK;
}

static enum status parse(struct safetensors *safetensors, const char *path, struct error *error)
{
    if (safetensors->bytes < LENGTH_BYTES)
        return error_set(error, STATUS_INPUT, "%s has %zu bytes: too short for safetensors", path, safetensors->bytes);
    uint64_t length = bytes_get_u64((const uint8_t *)safetensors->file);
    if (length > HEADER_LIMIT)
        return error_set(error, STATUS_INPUT,
                         "%s is not safetensors: its header would have %" PRIu64 " bytes, over the limit of %d", path,
                         length, HEADER_LIMIT);
    if (length > safetensors->bytes - LENGTH_BYTES)
        return error_set(error, STATUS_INPUT, "%s is truncated: its header has %" PRIu64 " bytes, but only %zu follow",
                         path, length, safetensors->bytes - LENGTH_BYTES);
    const char *text = safetensors->file + LENGTH_BYTES;
    if (length == 0 || text[0] != '{')
        return error_set(error, STATUS_INPUT, "%s is not safetensors: its header does not begin with {", path);
    json_error_t where;
    safetensors->header = json_loadb(text, (size_t)length, JSON_REJECT_DUPLICATES, &where);
    if (safetensors->header == NULL)
        return error_set(error, STATUS_INPUT, "%s: its header is not JSON: %s, at byte %d", path, where.text,
                         LENGTH_BYTES + where.position);
    enum status status = check_metadata(json_object_get(safetensors->header, METADATA), path, error);
    if (status == STATUS_OK)
        status = check_seal(safetensors, path, (size_t)length, error);
    if (status != STATUS_OK)
        return status;
    safetensors->tensors = calloc(json_object_size(safetensors->header) + 1, sizeof *safetensors->tensors);
    if (safetensors->tensors == NULL)
        return error_out_of_memory(error, "the tensors of %s", path);
    const uint8_t *data = (const uint8_t *)text + length;
    size_t data_bytes = safetensors->bytes - LENGTH_BYTES - (size_t)length;
    const char *name;
    json_t *entry;
    json_object_foreach(safetensors->header, name, entry)
    {
        if (strcmp(name, METADATA) == 0)
            continue;
        struct safetensor *tensor = &safetensors->tensors[safetensors->count];
        tensor->name = name;
        status = read_entry(tensor, entry, path, data, data_bytes, error);
        if (status != STATUS_OK)
            return status;
        safetensors->count++;
    }
    qsort(safetensors->tensors, safetensors->count, sizeof *safetensors->tensors, by_place);
    return check_cover(safetensors, path, data, data_bytes, error);
}

enum status safetensors_parse(struct safetensors *safetensors, const char *path, char *file, size_t bytes,
                              struct error *error)
{
    *safetensors = (struct safetensors){ .file = file, .bytes = bytes };
    enum status status = parse(safetensors, path, error);
    if (status != STATUS_OK)
        safetensors_free(safetensors);
    return status;
}

enum status safetensors_read(struct safetensors *safetensors, const char *path, struct error *error)
{
    char *file;
    size_t bytes;
    *safetensors = (struct safetensors){ .file = NULL };
    enum status status = file_read(path, FILE_LIMIT, &file, &bytes, error);
    return status == STATUS_OK ? safetensors_parse(safetensors, path, file, bytes, error) : status;
}

void safetensors_free(struct safetensors *safetensors)
{
    free(safetensors->tensors);
    json_decref(safetensors->header);
    free(safetensors->file);
    *safetensors = (struct safetensors){ .file = NULL };
}

const struct safetensor *safetensors_find(const struct safetensors *safetensors, const char *name)
{
    for (size_t i = 0; i < safetensors->count; i++)
        if (strcmp(safetensors->tensors[i].name, name) == 0)
            return &safetensors->tensors[i];
    return NULL;
}

const char *safetensors_metadata(const struct safetensors *safetensors, const char *key)
{
    return json_string_value(json_object_get(json_object_get(safetensors->header, METADATA), key));
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

static size_t source_count(const struct safetensors_source *source)
{
    size_t count = 1;
    for (uint32_t i = 0; i < source->rank; i++)
        count *= source->shape[i];
    return count;
}

static json_t *make_entry(const struct safetensors_source *source, size_t offset)
{
    json_t *shape = json_array();
    int failed = shape == NULL;
    for (uint32_t i = 0; i < source->rank; i++)
        failed |= json_array_append_new(shape, json_integer(source->shape[i]));
    if (failed) {
        json_decref(shape);
        return NULL;
    }
    return json_pack("{s:s, s:o, s:[I,I]}", "dtype", "F32", "shape", shape, "data_offsets", (json_int_t)offset,
                     (json_int_t)(offset + 4 * source_count(source)));
}

/* The header's text, which the caller frees; NULL without memory. Its keys keep the order in which they are set. */
static char *make_header(const struct safetensors_source *sources, size_t count,
                         const struct safetensors_pair *metadata, size_t pairs, bool seal)
{
    json_t *header = json_object(), *map = json_object();
    int failed = header == NULL || map == NULL;
    for (size_t i = 0; i < pairs; i++)
        failed |= json_object_set_new(map, metadata[i].key, json_string(metadata[i].value));
    if (seal) {
        char zeros[DIGEST_HEX_BYTES] = "";
        memset(zeros, '0', SEAL_DIGITS);
        failed |= json_object_set_new(map, SEAL, json_string(zeros));
    }
    if (json_object_size(map) > 0)
        failed |= json_object_set(header, METADATA, map);
    size_t offset = 0;
    for (size_t i = 0; i < count; i++) {
        failed |= json_object_set_new(header, sources[i].name, make_entry(&sources[i], offset));
        offset += 4 * source_count(&sources[i]);
    }
    char *text = failed ? NULL : json_dumps(header, JSON_COMPACT | JSON_PRESERVE_ORDER);
    json_decref(map);
    json_decref(header);
    return text;
}

enum status safetensors_write(const char *path, const struct safetensors_source *sources, size_t count,
                              const struct safetensors_pair *metadata, size_t pairs, bool seal, struct error *error)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(sources[i].name, METADATA) == 0) /* it would replace the file's own entry of that name */
            return error_set(error, STATUS_INPUT,
                             "%s: a safetensors file cannot have a tensor called %s; selfsame convert --rename %s=NEW "
                             "gives it another name",
                             path, METADATA, METADATA);
    }
    char *header = make_header(sources, count, metadata, pairs, seal);
    size_t text_bytes = header != NULL ? strlen(header) : 0,
           header_bytes = (text_bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    size_t bytes = LENGTH_BYTES + header_bytes;
    for (size_t i = 0; i < count; i++)
        bytes += 4 * source_count(&sources[i]);
    char *file = header != NULL ? malloc(bytes) : NULL;
    if (file == NULL) {
        status = error_out_of_memory(error, "the %zu bytes of %s", bytes, path);
        goto out;
    }
    bytes_put_u64((uint8_t *)file, header_bytes);
    memcpy(file + LENGTH_BYTES, header, text_bytes);
    memset(file + LENGTH_BYTES + text_bytes, ' ', header_bytes - text_bytes);
    uint8_t *next = (uint8_t *)file + LENGTH_BYTES + header_bytes;
    for (size_t i = 0; i < count; i++) {
        bytes_put_floats(next, sources[i].values, source_count(&sources[i]));
        next += 4 * source_count(&sources[i]);
    }
    if (seal) {
        char hex[DIGEST_HEX_BYTES], *place = find_seal(file + LENGTH_BYTES, header_bytes);
        seal_digest(file, bytes, place, hex);
        memcpy(place, hex, SEAL_DIGITS);
    }
    status = file_write(path, file, bytes, error);
out:
    free(file);
    free(header);
    return status;
}
