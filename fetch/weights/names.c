#include "fetch/weights/names.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "trainer/network.h"

enum { PARTS_MAX = 32, PREFIXES_MAX = 16, BLOCKS_MAX = 100000 / 6, OURS_BYTES = TENSOR_NAME_BYTES };

/* ---- names in parts ---------------------------------------------------------------------------------------------- */

/* A name's parts, between its dots. */
struct parts {
    char text[TENSORS_NAME_MAX + 1]; /* with NULs for the dots */
    const char *part[PARTS_MAX];
    size_t place[PARTS_MAX]; /* of each in the name */
    size_t count;            /* 0: too many */
};

static void split(const char *name, struct parts *parts)
{
    snprintf(parts->text, sizeof parts->text, "%s", name);
    parts->count = 0;
    for (char *next = parts->text; next != NULL;) {
        char *dot = strchr(next, '.');
        if (dot != NULL)
            *dot = '\0';
        if (parts->count == PARTS_MAX) {
            parts->count = 0;
            return;
        }
        parts->place[parts->count] = (size_t)(next - parts->text);
        parts->part[parts->count++] = next;
        next = dot != NULL ? dot + 1 : NULL;
    }
}

bool names_is_harmless(const char *name)
{
    return strncmp(name, "momentum.", 9) == 0 || text_ends_with(name, "num_batches_tracked") ||
           text_ends_with(name, "total_ops") || text_ends_with(name, "total_params");
}

/* ---- what is usual ----------------------------------------------------------------------------------------------- */

/* What others call ours; a space between parts. */
static const struct {
    const char *theirs, *ours;
} stems[] = {
    { "conv1", "conv1" }, { "conv", "conv1" },      { "conv0", "conv1" },      { "stem 0", "conv1" },
    { "stem conv", "conv1" }, { "stem conv1", "conv1" }, { "bn1", "bn1" },     { "bn", "bn1" },
    { "bn0", "bn1" },     { "norm1", "bn1" },       { "norm", "bn1" },         { "stem 1", "bn1" },
    { "stem bn", "bn1" }, { "stem bn1", "bn1" },    { "linear", "linear" },    { "fc", "linear" },
    { "classifier", "linear" }, { "head", "linear" }, { "bn_logits", "bn_logits" },
}, inner[] = {
    { "conv1", "conv1" }, { "conv2", "conv2" }, { "bn1", "bn1" }, { "bn2", "bn2" }, { "norm1", "bn1" },
    { "norm2", "bn2" }, { "shortcut 0", "shortcut.0" }, { "shortcut 1", "shortcut.1" },
    { "downsample 0", "shortcut.0" }, { "downsample 1", "shortcut.1" }, { "shortcut conv", "shortcut.0" },
    { "shortcut bn", "shortcut.1" }, { "downsample conv", "shortcut.0" }, { "downsample bn", "shortcut.1" },
};
static const char *const stages[] = { "layer", "stage", "block", "group" };
static const struct {
    const char *theirs, *ours;
} leaves[] = {
    { "weight", "weight" },
    { "bias", "bias" },
    { "running_mean", "running_mean" },
    { "running_var", "running_var" },
    { "gamma", "weight" },
    { "beta", "bias" },
    { "moving_mean", "running_mean" },
    { "moving_var", "running_var" },
    { "moving_variance", "running_var" },
};

/* Whether parts first .. last-1 are the words of `theirs`. */
static bool are(const struct parts *parts, size_t first, size_t last, const char *theirs)
{
    for (size_t i = first; i < last; i++) {
        size_t length = strlen(parts->part[i]);
        if (strncmp(theirs, parts->part[i], length) != 0 || theirs[length] != (i + 1 < last ? ' ' : '\0'))
            return false;
        theirs += length + 1;
    }
    return first < last;
}

/* "layer2" and the like: 2; 0 for anything else. */
static unsigned stage_of(const char *part)
{
    for (size_t i = 0; i < sizeof stages / sizeof *stages; i++) {
        size_t length = strlen(stages[i]);
        if (strncmp(part, stages[i], length) == 0 && part[length] >= '1' && part[length] <= '3' &&
            part[length + 1] == '\0')
            return (unsigned)(part[length] - '0');
    }
    return 0;
}

/* Our name for the tensor whose name has these parts from `first` on; false if they are not usual. */
static bool translate(const struct parts *parts, size_t first, char ours[OURS_BYTES])
{
    const size_t leaf = parts->count - 1;
    const char *our_leaf = NULL;
    for (size_t i = 0; i < sizeof leaves / sizeof *leaves; i++) {
        if (strcmp(parts->part[leaf], leaves[i].theirs) == 0)
            our_leaf = leaves[i].ours;
    }
    if (our_leaf == NULL || first >= leaf)
        return false;
    unsigned stage = stage_of(parts->part[first]);
    if (stage == 0) {
        for (size_t i = 0; i < sizeof stems / sizeof *stems; i++) {
            if (are(parts, first, leaf, stems[i].theirs))
                return snprintf(ours, OURS_BYTES, "%s.%s", stems[i].ours, our_leaf) < OURS_BYTES;
        }
        return false;
    }
    const char *block = first + 1 < leaf ? parts->part[first + 1] : "";
    if (block[0] == '\0' || block[strspn(block, "0123456789")] != '\0')
        return false;
    for (size_t i = 0; i < sizeof inner / sizeof *inner; i++) {
        if (are(parts, first + 2, leaf, inner[i].theirs))
            return snprintf(ours, OURS_BYTES, "layer%u.%s.%s.%s", stage, block, inner[i].ours, our_leaf) < OURS_BYTES;
    }
    return false;
}

/* The shortest prefix behind which a name is usual, in bytes; false if there is none. */
static bool recognise_name(const char *name, size_t *prefix, char ours[OURS_BYTES])
{
    struct parts parts;
    split(name, &parts);
    for (size_t first = 0; first + 1 < parts.count; first++) {
        if (translate(&parts, first, ours)) {
            *prefix = parts.place[first];
            return true;
        }
    }
    return false;
}

/* ---- one network by name ----------------------------------------------------------------------------------------- */

/* A tensor's name in our form: the prefix before it, and whether it is usual. */
struct reading {
    bool known;
    const char *name;
    size_t index, prefix; /* of the tensor; bytes of the name */
    char ours[OURS_BYTES];
};

struct prefixes {
    char text[PREFIXES_MAX][TENSORS_NAME_MAX + 1];
    size_t count;
};

struct by_name {
    const struct tensors *tensors;
    struct reading *readings;    /* of each tensor */
    const struct reading **list; /* the known ones, by prefix and our name, those with our very name first */
    size_t count;
    struct prefixes prefixes; /* those behind which there is a first block, the shortest first */
    const char *path;
};

static int compare_prefixes(const struct reading *a, const struct reading *b)
{
    int order = memcmp(a->name, b->name, a->prefix < b->prefix ? a->prefix : b->prefix);
    return order != 0 ? order : (a->prefix > b->prefix) - (a->prefix < b->prefix);
}

static int by_ours(const void *a, const void *b)
{
    const struct reading *x = *(const struct reading *const *)a, *y = *(const struct reading *const *)b;
    int order = compare_prefixes(x, y);
    if (order == 0)
        order = strcmp(x->ours, y->ours);
    if (order == 0)
        order = (strcmp(y->name + y->prefix, y->ours) == 0) - (strcmp(x->name + x->prefix, x->ours) == 0);
    return order != 0 ? order : (x->index > y->index) - (x->index < y->index);
}

static enum status read_names(struct by_name *b, struct error *why)
{
    const size_t count = b->tensors->count;
    b->readings = calloc(count + 1, sizeof *b->readings);
    b->list = calloc(count + 1, sizeof *b->list);
    if (b->readings == NULL || b->list == NULL)
        return error_out_of_memory(why, "the names of %s", b->path);
    for (size_t i = 0; i < count; i++) {
        struct reading *reading = &b->readings[i];
        reading->name = b->tensors->list[i].name;
        reading->index = i;
        reading->known = recognise_name(reading->name, &reading->prefix, reading->ours);
        if (reading->known)
            b->list[b->count++] = reading;
    }
    qsort(b->list, b->count, sizeof *b->list, by_ours);
    return STATUS_OK;
}

static bool has_prefix(const struct by_name *b, size_t i, const char *prefix)
{
    return b->readings[i].known && b->readings[i].prefix == strlen(prefix) &&
           strncmp(b->readings[i].name, prefix, strlen(prefix)) == 0;
}

/* The tensor that gets this name of ours, first the one that has exactly this name; the count of all if there is
 * none. */
static size_t find_ours(const struct by_name *b, const char *prefix, const char *ours)
{
    struct reading wanted = { .name = prefix, .prefix = strlen(prefix) };
    size_t low = 0, high = b->count;
    snprintf(wanted.ours, sizeof wanted.ours, "%s", ours);
    while (low < high) { /* to the first that is not before it */
        size_t middle = (low + high) / 2;
        int order = compare_prefixes(b->list[middle], &wanted);
        if (order == 0)
            order = strcmp(b->list[middle]->ours, ours);
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    bool found =
        low < b->count && compare_prefixes(b->list[low], &wanted) == 0 && strcmp(b->list[low]->ours, ours) == 0;
    return found ? b->list[low]->index : b->tensors->count;
}

static bool has_ours(const struct by_name *b, const char *prefix, const char *ours)
{
    return find_ours(b, prefix, ours) < b->tensors->count;
}

/* What the names say of the network. */
static enum status read_model(const struct by_name *b, const char *prefix, struct model_config *model,
                              struct error *why)
{
    uint32_t blocks = 0;
    for (char name[OURS_BYTES]; blocks < BLOCKS_MAX; blocks++) {
        snprintf(name, sizeof name, "layer1.%" PRIu32 ".conv1.weight", blocks);
        if (!has_ours(b, prefix, name))
            break;
    }
    if (blocks == 0)
        return error_set(why, STATUS_INPUT, "%s has no tensor \"%slayer1.0.conv1.weight\"", b->path, prefix);
    *model = (struct model_config){
        .depth = 6 * blocks + 2, .batch_norm_epsilon = 1e-5, .batch_norm_rate = 0.1, .batch_norm_initial_variance = 1
    };
    model->shortcut = SHORTCUT_PAD_END;
    if (has_ours(b, prefix, "layer2.0.shortcut.0.weight"))
        model->shortcut =
            has_ours(b, prefix, "layer2.0.shortcut.1.weight") ? SHORTCUT_PROJECTION_BN : SHORTCUT_PROJECTION;
    model->linear_bias = has_ours(b, prefix, "linear.bias") ? BIAS_ZERO : BIAS_NONE;
    model->final_batch_norm = has_ours(b, prefix, "bn_logits.weight");
    return STATUS_OK;
}

/* Whether a tensor is of another network of the file, such as a moving average of the first. */
static bool is_copy(const struct by_name *b, size_t i, const char *prefix)
{
    for (size_t k = 0; k < b->prefixes.count; k++) {
        if (strcmp(b->prefixes.text[k], prefix) != 0 && has_prefix(b, i, b->prefixes.text[k]))
            return true;
    }
    return false;
}

/* A parameter among the network's own for which it has no place. */
static enum status check_rest(const struct by_name *b, const char *prefix, const struct network *network,
                              struct error *why)
{
    for (size_t i = 0; i < b->tensors->count; i++) {
        const struct named_tensor *tensor = &b->tensors->list[i];
        bool own = strncmp(tensor->name, prefix, strlen(prefix)) == 0,
             real = (tensor->values != NULL && tensor->count > 0) || tensor->obstacle != NULL;
        if (!own || !real || names_is_harmless(tensor->name) || is_copy(b, i, prefix) ||
            (has_prefix(b, i, prefix) && network_find(network, b->readings[i].ours) >= 0 &&
             find_ours(b, prefix, b->readings[i].ours) == i))
            continue;
        return error_set(why, STATUS_INPUT,
                         "%s: a network of depth %" PRIu32 " has no place for the tensor \"%s\". If it is not part "
                         "of the network, leave it out: selfsame convert --rename %s= FILE OUT.safetensors",
                         b->path, network->model.depth, tensor->name, tensor->name);
    }
    return STATUS_OK;
}

static void note_prefixes(struct tensors *tensors, const struct by_name *b, const char *prefix)
{
    char others[256] = "";
    size_t used = 0;
    for (size_t i = 0; i < b->prefixes.count && used < sizeof others; i++) {
        if (strcmp(b->prefixes.text[i], prefix) != 0)
            used += (size_t)snprintf(others + used, sizeof others - used, "%s%s", used > 0 ? ", " : "",
                                     b->prefixes.text[i][0] != '\0' ? b->prefixes.text[i] : "no prefix");
    }
    if (prefix[0] != '\0')
        tensors_note(tensors, "the network is the one under %s", prefix);
    if (used > 0)
        tensors_note(tensors, "ignored: the networks under %s", others);
}

static enum status fit_prefix(struct tensors *tensors, const struct by_name *b, const char *prefix, bool apply,
                              struct model_config *model, struct error *why)
{
    struct network *network = NULL;
    size_t *chosen = NULL;
    enum status status = read_model(b, prefix, model, why);
    if (status == STATUS_OK)
        status = network_open(&network, model, why);
    if (status != STATUS_OK)
        return status;
    chosen = calloc(network->tensor_count, sizeof *chosen);
    if (chosen == NULL)
        status = error_out_of_memory(why, "the names of %s", b->path);
    for (uint32_t i = 0; status == STATUS_OK && i < network->tensor_count; i++) {
        chosen[i] = find_ours(b, prefix, network->tensors[i].name);
        if (chosen[i] == tensors->count)
            status = error_set(why, STATUS_INPUT,
                               "%s: a network of depth %" PRIu32 " has a tensor \"%s\", but the file has none of "
                               "that name or a usual one for it. If it has another name there, selfsame convert "
                               "--rename OLD=NEW FILE OUT.safetensors gives it this one",
                               b->path, network->model.depth, network->tensors[i].name);
    }
    if (status == STATUS_OK)
        status = check_rest(b, prefix, network, why);
    if (status == STATUS_OK && apply)
        status = names_apply(tensors, b->path, network, chosen, why);
    if (status == STATUS_OK && apply)
        note_prefixes(tensors, b, prefix);
    free(chosen);
    network_close(network);
    return status;
}

/* ---- which of several -------------------------------------------------------------------------------------------- */

static void collect_prefixes(struct by_name *b)
{
    struct prefixes *prefixes = &b->prefixes;
    for (size_t i = 0; i < b->count && prefixes->count < PREFIXES_MAX; i++) {
        if (strcmp(b->list[i]->ours, "layer1.0.conv1.weight") != 0 ||
            (prefixes->count > 0 && has_prefix(b, b->list[i]->index, prefixes->text[prefixes->count - 1])))
            continue;
        size_t place = prefixes->count++;
        while (place > 0 && strlen(prefixes->text[place - 1]) > b->list[i]->prefix) {
            memcpy(prefixes->text[place], prefixes->text[place - 1], sizeof *prefixes->text);
            place--;
        }
        snprintf(prefixes->text[place], sizeof *prefixes->text, "%.*s", (int)b->list[i]->prefix, b->list[i]->name);
    }
}

/* The one without a prefix, then with a usual one, then the only one that fits. */
static enum status choose_prefix(struct tensors *tensors, const struct by_name *b, struct model_config *model,
                                 struct error *why)
{
    const struct prefixes *prefixes = &b->prefixes;
    static const char *const usual[] = { "", "module.", "model.", "net.", "network.", "backbone.", "encoder." };
    const char *only = NULL, *second = NULL;
    struct error first = { STATUS_OK, "" };
    for (size_t i = 0; i < prefixes->count; i++) {
        enum status status = fit_prefix(tensors, b, prefixes->text[i], false, model, why);
        if (status == STATUS_ENVIRONMENT)
            return status;
        if (status == STATUS_OK && only == NULL)
            only = prefixes->text[i];
        else if (status == STATUS_OK)
            second = prefixes->text[i];
        if (status == STATUS_INPUT && first.status == STATUS_OK)
            first = *why;
        for (size_t k = 0; k < sizeof usual / sizeof *usual && status == STATUS_OK; k++) {
            if (strcmp(prefixes->text[i], usual[k]) == 0)
                return fit_prefix(tensors, b, usual[k], true, model, why);
        }
    }
    if (second != NULL)
        return error_set(
            why, STATUS_INPUT,
            "%s contains several networks, such as those under \"%s\" and \"%s\"; choose one by removing its prefix: "
            "selfsame convert --rename %.*s= FILE OUT.safetensors",
            b->path, only, second, (int)strlen(only) - 1, only);
    if (only != NULL)
        return fit_prefix(tensors, b, only, true, model, why);
    *why = first;
    return STATUS_INPUT;
}

static enum status fit_names(struct tensors *tensors, const char *path, struct model_config *model, size_t *networks,
                             struct error *why)
{
    struct by_name b = { .tensors = tensors, .path = path };
    enum status status = read_names(&b, why);
    if (status == STATUS_OK) {
        collect_prefixes(&b);
        *networks = b.prefixes.count;
        status = b.prefixes.count > 0 ? choose_prefix(tensors, &b, model, why) : STATUS_INPUT;
    }
    free(b.list);
    free(b.readings);
    return status;
}

/* ---- the result -------------------------------------------------------------------------------------------------- */

static enum status check_tensor(const struct named_tensor *tensor, const char *path, const struct tensor *wanted,
                                struct error *why)
{
    char has[TENSORS_SHAPE_BYTES], wants[TENSORS_SHAPE_BYTES];
    if (tensor->obstacle != NULL)
        return error_set(why, STATUS_INPUT, "%s: tensor \"%s\" cannot be read: %s", path, tensor->name,
                         tensor->obstacle);
    if (tensor->values == NULL)
        return error_set(why, STATUS_INPUT, "%s: tensor \"%s\" has %s numbers, not real ones", path, tensor->name,
                         element_name(tensor->element));
    if (tensor->rank != wanted->rank ||
        memcmp(tensor->shape, wanted->shape, wanted->rank * sizeof *wanted->shape) != 0) {
        tensors_shape_text(has, tensor->rank, tensor->shape);
        tensors_shape_text(wants, wanted->rank, wanted->shape);
        return error_set(why, STATUS_INPUT, "%s: tensor \"%s\" is %s, but %s of a 6n+2 network for CIFAR-10 is %s",
                         path, tensor->name, has, wanted->name, wants);
    }
    if (tensor->rounding.overflowed > 0)
        return error_set(why, STATUS_INPUT, "%s: tensor \"%s\" has numbers that are larger than float32 can hold", path,
                         tensor->name);
    return STATUS_OK;
}

enum status names_apply(struct tensors *tensors, const char *path, const struct network *network, const size_t *chosen,
                        struct error *why)
{
    enum status status = STATUS_OK;
    for (uint32_t i = 0; status == STATUS_OK && i < network->tensor_count; i++)
        status = check_tensor(&tensors->list[chosen[i]], path, &network->tensors[i], why);
    if (status != STATUS_OK)
        return status;
    char **names = calloc(network->tensor_count, sizeof *names);
    for (uint32_t i = 0; names != NULL && i < network->tensor_count; i++)
        names[i] = strdup(network->tensors[i].name);
    bool complete = names != NULL;
    for (uint32_t i = 0; complete && i < network->tensor_count; i++)
        complete = names[i] != NULL;
    if (!complete) {
        for (uint32_t i = 0; names != NULL && i < network->tensor_count; i++)
            free(names[i]);
        free(names);
        return error_out_of_memory(why, "the names of %s", path);
    }
    for (size_t i = 0; i < tensors->count; i++)
        tensors->list[i].beside = true;
    for (uint32_t i = 0; i < network->tensor_count; i++) {
        struct named_tensor *tensor = &tensors->list[chosen[i]];
        tensor->beside = false;
        if (strcmp(tensor->name, names[i]) == 0) {
            free(names[i]);
        } else {
            tensor->file_name = tensor->name;
            tensor->name = names[i];
        }
    }
    free(names);
    return STATUS_OK;
}

/* ---- why not ----------------------------------------------------------------------------------------------------- */

/* What people see at once that it is another network. */
static enum status tell_difference(const struct tensors *tensors, const char *path, struct error *why)
{
    const struct named_tensor *first = NULL, *linear = NULL;
    char shape[TENSORS_SHAPE_BYTES];
    for (size_t i = 0; i < tensors->count; i++) {
        const struct named_tensor *tensor = &tensors->list[i];
        if (tensor->values != NULL && tensor->rank == 4 && tensor->shape[1] == 3 && first == NULL)
            first = tensor;
        if (tensor->values != NULL && tensor->rank == 2 && text_ends_with(tensor->name, "weight"))
            linear = tensor;
    }
    if (first == NULL)
        return error_set(why, STATUS_INPUT, "%s has no convolution of 3 channels, so it is not a network for images",
                         path);
    tensors_shape_text(shape, first->rank, first->shape);
    if (first->shape[0] != 16 || first->shape[2] != 3 || first->shape[3] != 3)
        return error_set(
            why, STATUS_INPUT,
            "%s: its first convolution, \"%s\", is %s, but that of a 6n+2 network for CIFAR-10 is 16x3x3x3", path,
            first->name, shape);
    if (linear != NULL && linear->shape[1] == NETWORK_FEATURES && linear->shape[0] != NETWORK_CLASSES)
        return error_set(why, STATUS_INPUT, "%s is for %" PRIu32 " classes (\"%s\"), but CIFAR-10 has %d", path,
                         linear->shape[0], linear->name, NETWORK_CLASSES);
    return STATUS_OK;
}

enum status names_recognise(struct tensors *tensors, const char *path, struct model_config *model, struct error *why)
{
    struct error by_order;
    size_t networks = 0;
    enum status status = fit_names(tensors, path, model, &networks, why);
    if (status != STATUS_INPUT)
        return status;
    status = names_fit_order(tensors, path, model, &by_order);
    if (status != STATUS_INPUT)
        return status;
    if (networks == 0 && tell_difference(tensors, path, why) == STATUS_OK)
        *why = by_order;
    return STATUS_INPUT;
}

/* ---- renaming ---------------------------------------------------------------------------------------------------- */

/* The name with every run of parts that is `old` replaced by `new`; NULL without memory. */
static char *replace(const char *name, const char *old, size_t old_bytes, const char *new, bool *found)
{
    char *out = malloc((strlen(name) + 2) * (strlen(new) + 2) + 1), *end = out;
    if (out == NULL)
        return NULL;
    for (const char *next = name; *next != '\0';) {
        bool starts = next == name || next[-1] == '.',
             here = starts && strncmp(next, old, old_bytes) == 0 && (next[old_bytes] == '.' || next[old_bytes] == '\0');
        if (!here) {
            *end++ = *next++;
            continue;
        }
        *found = true;
        next += old_bytes;
        end = stpcpy(end, new);
        if (*next == '.' && new[0] == '\0') /* the dot behind what was taken off */
            next++;
    }
    if (end > out && end[-1] == '.')
        end--;
    *end = '\0';
    return out;
}

enum status names_replace(struct tensors *tensors, const char *path, const char *rule, struct error *error)
{
    const char *equals = strchr(rule, '=');
    bool found = false;
    size_t kept = 0;
    if (equals == NULL || equals == rule || strchr(equals + 1, '=') != NULL)
        return error_set(error, STATUS_INPUT, "--rename %s: expected OLD=NEW, parts of names, such as fc=linear", rule);
    for (size_t i = 0; i < tensors->count; i++) {
        struct named_tensor *tensor = &tensors->list[i];
        char *name = replace(tensor->name, rule, (size_t)(equals - rule), equals + 1, &found);
        if (name == NULL)
            return error_out_of_memory(error, "the names of %s", path);
        free(tensor->name);
        tensor->name = name;
    }
    for (size_t i = 0; i < tensors->count; i++) {
        if (tensors->list[i].name[0] != '\0')
            tensors->list[kept++] = tensors->list[i];
        else
            tensors_free_one(&tensors->list[i]);
    }
    tensors->count = kept;
    return found ? STATUS_OK
                 : error_set(error, STATUS_INPUT, "%s: no tensor's name has the part %.*s; selfsame inspect lists them",
                             path, (int)(equals - rule), rule);
}
