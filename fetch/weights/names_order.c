/* Finds a network whose names are not known, by the order and shapes of its modules. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fetch/weights/names.h"
#include "trainer/network.h"

enum { NONE = -1, BLOCK_CONVS = 2 };

enum kind { KIND_CONV, KIND_PROJECTION, KIND_NORM, KIND_LINEAR, KIND_OTHER };

/* Tensors whose names differ in their last part alone. Indices of tensors, or NONE. */
struct module {
    const char *name; /* the module's, `bytes` of it */
    size_t bytes;
    int64_t weight, bias, mean, variance;
    enum kind kind;
    uint32_t size; /* outputs: filters, features, classes */
};

struct fit {
    struct tensors *tensors;
    const char *path;
    struct module *modules; /* in the order of the file, or of their names where that has none */
    size_t count;
    size_t *convs, *norms; /* modules: 3x3 convolutions, norms of channels, in their order */
    size_t conv_count, norm_count;
    int64_t projections[2], linear, logits; /* modules, or NONE */
    size_t projection_count;
};

static enum status refuse(const struct fit *fit, struct error *why, const char *name, const char *what)
{
    return error_set(why, STATUS_INPUT,
                     "%s: selfsame does not know its names, and by order and shape it is not a network of depth "
                     "6n+2: \"%s\" %s. If it is one, selfsame convert --rename OLD=NEW FILE OUT.safetensors gives "
                     "its tensors the names conv1, bn1, layer1.0.conv1, ..., layer2.0.shortcut.0, linear",
                     fit->path, name, what);
}

/* ---- modules ----------------------------------------------------------------------------------------------------- */

/* Numbers in names by their value: layer1.2 before layer1.10. */
static int natural(const char *a, size_t a_bytes, const char *b, size_t b_bytes)
{
    size_t i = 0, k = 0;
    while (i < a_bytes && k < b_bytes) {
        size_t x = strspn(a + i, "0123456789"), y = strspn(b + k, "0123456789");
        x = x < a_bytes - i ? x : a_bytes - i;
        y = y < b_bytes - k ? y : b_bytes - k;
        if (x > 0 && y > 0) {
            if (x != y)
                return x < y ? -1 : 1;
            int order = memcmp(a + i, b + k, x);
            if (order != 0)
                return order;
            i += x;
            k += y;
        } else if (a[i] != b[k]) {
            return (unsigned char)a[i] < (unsigned char)b[k] ? -1 : 1;
        } else {
            i++;
            k++;
        }
    }
    return (i < a_bytes) - (k < b_bytes);
}

static int by_natural(const void *a, const void *b)
{
    const struct module *x = a, *y = b;
    return natural(x->name, x->bytes, y->name, y->bytes);
}

static bool same_module(const struct module *module, const char *name, size_t bytes)
{
    return module->bytes == bytes && memcmp(module->name, name, bytes) == 0;
}

/* Every real tensor in its module; those of one module follow one another, in either order. */
static enum status collect_modules(struct fit *fit, struct error *why)
{
    fit->modules = calloc(fit->tensors->count + 1, sizeof *fit->modules);
    if (fit->modules == NULL)
        return error_out_of_memory(why, "the names of %s", fit->path);
    for (size_t i = 0; i < fit->tensors->count; i++) {
        const struct named_tensor *tensor = &fit->tensors->list[i];
        const char *dot = strrchr(tensor->name, '.');
        if ((tensor->values == NULL && tensor->obstacle == NULL) || names_is_harmless(tensor->name))
            continue;
        if (dot == NULL || tensor->obstacle != NULL)
            return refuse(fit, why, tensor->name, "is not a tensor of a module");
        size_t bytes = (size_t)(dot - tensor->name);
        struct module *module = fit->count > 0 ? &fit->modules[fit->count - 1] : NULL;
        if (module == NULL || !same_module(module, tensor->name, bytes)) {
            module = &fit->modules[fit->count++];
            *module = (struct module){
                .name = tensor->name, .bytes = bytes, .weight = NONE, .bias = NONE, .mean = NONE, .variance = NONE
            };
        }
        int64_t *place = strcmp(dot, ".weight") == 0         ? &module->weight
                         : strcmp(dot, ".bias") == 0         ? &module->bias
                         : strcmp(dot, ".running_mean") == 0 ? &module->mean
                         : strcmp(dot, ".running_var") == 0  ? &module->variance
                                                             : NULL;
        if (place == NULL || *place != NONE)
            return refuse(fit, why, tensor->name, "is not weight, bias, running_mean or running_var of a module");
        *place = (int64_t)i;
    }
    if (!fit->tensors->ordered && fit->count > 0)
        qsort(fit->modules, fit->count, sizeof *fit->modules, by_natural);
    return STATUS_OK;
}

static enum kind kind_of(const struct fit *fit, const struct module *module)
{
    if (module->weight == NONE)
        return KIND_OTHER;
    const struct named_tensor *weight = &fit->tensors->list[module->weight];
    bool running = module->mean != NONE && module->variance != NONE;
    if (weight->rank == 4 && !running && module->bias == NONE)
        return weight->shape[2] == 3 && weight->shape[3] == 3   ? KIND_CONV
               : weight->shape[2] == 1 && weight->shape[3] == 1 ? KIND_PROJECTION
                                                                : KIND_OTHER;
    if (weight->rank == 1 && running && module->bias != NONE)
        return KIND_NORM;
    return weight->rank == 2 && !running ? KIND_LINEAR : KIND_OTHER;
}

static enum status sort_out(struct fit *fit, struct error *why)
{
    fit->convs = calloc(fit->count + 1, sizeof *fit->convs);
    fit->norms = calloc(fit->count + 1, sizeof *fit->norms);
    if (fit->convs == NULL || fit->norms == NULL)
        return error_out_of_memory(why, "the names of %s", fit->path);
    for (size_t i = 0; i < fit->count; i++) {
        struct module *module = &fit->modules[i];
        module->kind = kind_of(fit, module);
        const char *name = module->weight != NONE ? fit->tensors->list[module->weight].name : module->name;
        module->size = module->kind != KIND_OTHER ? fit->tensors->list[module->weight].shape[0] : 0;
        bool first = module->kind == KIND_CONV && fit->tensors->list[module->weight].shape[1] == 3;
        if (first && !fit->tensors->ordered) { /* whatever its name, it comes first */
            memmove(fit->convs + 1, fit->convs, fit->conv_count++ * sizeof *fit->convs);
            fit->convs[0] = i;
        } else if (module->kind == KIND_CONV) {
            fit->convs[fit->conv_count++] = i;
        } else if (module->kind == KIND_NORM && module->size == NETWORK_CLASSES && fit->logits == NONE) {
            fit->logits = (int64_t)i;
        } else if (module->kind == KIND_NORM) {
            fit->norms[fit->norm_count++] = i;
        } else if (module->kind == KIND_PROJECTION && fit->projection_count < 2) {
            fit->projections[fit->projection_count++] = (int64_t)i;
        } else if (module->kind == KIND_LINEAR && fit->linear == NONE) {
            fit->linear = (int64_t)i;
        } else {
            return refuse(fit, why, name, "belongs to a module that such a network does not have");
        }
    }
    if (fit->linear == NONE || fit->conv_count < 7 || fit->conv_count % 6 != 1 || fit->projection_count == 1)
        return error_set(why, STATUS_INPUT,
                         "%s: selfsame does not know its names, and its modules (%zu 3x3 convolutions, %zu 1x1 ones "
                         "and %s linear layer) are not those of a network of depth 6n+2",
                         fit->path, fit->conv_count, fit->projection_count, fit->linear == NONE ? "no" : "a");
    return STATUS_OK;
}

/* ---- blocks ------------------------------------------------------------------------------------------------------ */

/* The bytes of a common beginning of two names that ends behind a dot. */
static size_t common(const char *a, size_t a_bytes, const char *b, size_t b_bytes)
{
    size_t last = 0;
    for (size_t i = 0; i < a_bytes && i < b_bytes && a[i] == b[i]; i++) {
        if (a[i] == '.')
            last = i + 1;
    }
    return last;
}

static size_t common_modules(const struct module *a, const struct module *b)
{
    return common(a->name, a->bytes, b->name, b->bytes);
}

/* The norms of one block: of its first convolution, its second, and its projection. */
struct block_norms {
    int64_t norm[BLOCK_CONVS + 1];
};

/* Those whose names begin as the block's convolutions do. */
static enum status find_norms(const struct fit *fit, size_t block, int64_t projection, bool *used,
                              struct block_norms *found, struct error *why)
{
    const struct module *first = &fit->modules[fit->convs[1 + 2 * block]],
                        *second = &fit->modules[fit->convs[2 + 2 * block]];
    const char *name = fit->tensors->list[first->weight].name;
    size_t bytes = common_modules(first, second), count = 0, list[BLOCK_CONVS + 1];
    *found = (struct block_norms){ .norm = { NONE, NONE, NONE } };
    if (projection != NONE) {
        size_t with = common_modules(first, &fit->modules[projection]);
        bytes = with < bytes ? with : bytes;
    }
    if (bytes == 0 || by_natural(first, second) >= 0)
        return refuse(fit, why, name, "and the convolution behind it do not look like a block's first and second");
    for (size_t i = 0; i < fit->norm_count; i++) {
        const struct module *norm = &fit->modules[fit->norms[i]];
        if (common(norm->name, norm->bytes, first->name, bytes) < bytes)
            continue;
        if (count == BLOCK_CONVS + 1 || used[i] || norm->size != first->size)
            return refuse(fit, why, fit->tensors->list[norm->weight].name, "is one batch norm too many for its block");
        used[i] = true;
        list[count++] = fit->norms[i];
    }
    if (count == BLOCK_CONVS + 1 && projection != NONE) { /* the projection's is the one that is named like it */
        size_t nearest = 0, best = 0, second_best = 0;
        for (size_t i = 0; i < count; i++) {
            size_t alike = common_modules(&fit->modules[list[i]], &fit->modules[projection]);
            second_best = alike > best ? best : alike > second_best ? alike : second_best;
            nearest = alike > best ? i : nearest;
            best = alike > best ? alike : best;
        }
        if (best == second_best)
            return refuse(fit, why, name, "belongs to a block whose batch norms leave a choice");
        found->norm[BLOCK_CONVS] = (int64_t)list[nearest];
        memmove(list + nearest, list + nearest + 1, (--count - nearest) * sizeof *list);
    }
    if (count != BLOCK_CONVS || by_natural(&fit->modules[list[0]], &fit->modules[list[1]]) >= 0)
        return refuse(fit, why, name, "belongs to a block that does not have two batch norms in order");
    found->norm[0] = (int64_t)list[0];
    found->norm[1] = (int64_t)list[1];
    return STATUS_OK;
}

/* ---- the network ------------------------------------------------------------------------------------------------- */

static void take(size_t *chosen, int64_t place, int64_t tensor)
{
    if (place >= 0 && tensor != NONE)
        chosen[place] = (size_t)tensor;
}

static void take_norm(size_t *chosen, const struct module *norm, int64_t gamma, int64_t beta, int64_t mean,
                      int64_t variance)
{
    take(chosen, gamma, norm->weight);
    take(chosen, beta, norm->bias);
    take(chosen, mean, norm->mean);
    take(chosen, variance, norm->variance);
}

static void take_conv_norm(size_t *chosen, const struct module *norm, const struct conv_layer *conv)
{
    take_norm(chosen, norm, conv->gamma, conv->beta, conv->running_mean, conv->running_variance);
}

static enum status choose(const struct fit *fit, const struct network *network, const struct block_norms *norms,
                          size_t stem_norm, size_t *chosen, struct error *why)
{
    for (uint32_t i = 0; i < network->tensor_count; i++)
        chosen[i] = fit->tensors->count;
    take(chosen, network->convs[0].weight, fit->modules[fit->convs[0]].weight);
    take_conv_norm(chosen, &fit->modules[stem_norm], &network->convs[0]);
    for (uint32_t i = 1; i < network->conv_count; i++) {
        const struct conv_layer *conv = &network->convs[i];
        const struct block_norms *of = &norms[(i - 1) / BLOCK_CONVS];
        take(chosen, conv->weight, fit->modules[fit->convs[i]].weight);
        take_conv_norm(chosen, &fit->modules[of->norm[(i - 1) % BLOCK_CONVS]], conv);
        if (conv->projection < 0)
            continue;
        int64_t stage = (i - 1) / BLOCK_CONVS / (network->block_count / 3) - 1;
        take(chosen, conv->projection, fit->modules[fit->projections[stage]].weight);
        if (of->norm[BLOCK_CONVS] != NONE)
            take_norm(chosen, &fit->modules[of->norm[BLOCK_CONVS]], conv->projection_gamma, conv->projection_beta,
                      conv->projection_mean, conv->projection_variance);
    }
    take(chosen, network->linear_weight, fit->modules[fit->linear].weight);
    take(chosen, network->linear_bias, fit->modules[fit->linear].bias);
    if (fit->logits != NONE)
        take_norm(chosen, &fit->modules[fit->logits], network->logits_gamma, network->logits_beta, network->logits_mean,
                  network->logits_variance);
    for (uint32_t i = 0; i < network->tensor_count; i++) {
        if (chosen[i] == fit->tensors->count)
            return error_set(why, STATUS_INPUT, "%s: no tensor is left for %s", fit->path, network->tensors[i].name);
    }
    return STATUS_OK;
}

static enum status fit_network(struct fit *fit, struct model_config *model, struct error *why)
{
    struct network *network = NULL;
    const size_t blocks = (fit->conv_count - 1) / BLOCK_CONVS;
    struct block_norms *norms = calloc(blocks, sizeof *norms);
    bool *used = calloc(fit->norm_count + 1, sizeof *used);
    size_t *chosen = NULL, stem_norm = 0, left = 0;
    enum status status = STATUS_OK;
    if (norms == NULL || used == NULL) {
        status = error_out_of_memory(why, "the names of %s", fit->path);
        goto out;
    }
    for (size_t b = 0; status == STATUS_OK && b < blocks; b++) {
        bool changes = b > 0 && b % (blocks / 3) == 0 && fit->projection_count == 2;
        status = find_norms(fit, b, changes ? fit->projections[b / (blocks / 3) - 1] : NONE, used, &norms[b], why);
    }
    for (size_t i = 0; i < fit->norm_count; i++) {
        stem_norm = used[i] ? stem_norm : fit->norms[i];
        left += !used[i];
    }
    if (status == STATUS_OK && left != 1)
        status =
            error_set(why, STATUS_INPUT, "%s: %zu batch norms belong to no block, and one is the first convolution's",
                      fit->path, left);
    if (status != STATUS_OK)
        goto out;
    bool projected = fit->projection_count == 2, normed = norms[blocks / 3].norm[BLOCK_CONVS] != NONE;
    *model = (struct model_config){ .depth = (uint32_t)fit->conv_count + 1,
                                    .shortcut = !projected ? SHORTCUT_PAD_END
                                                : normed   ? SHORTCUT_PROJECTION_BN
                                                           : SHORTCUT_PROJECTION,
                                    .linear_bias = fit->modules[fit->linear].bias != NONE ? BIAS_ZERO : BIAS_NONE,
                                    .final_batch_norm = fit->logits != NONE,
                                    .batch_norm_epsilon = 1e-5,
                                    .batch_norm_rate = 0.1,
                                    .batch_norm_initial_variance = 1 };
    status = network_open(&network, model, why);
    if (status != STATUS_OK)
        goto out;
    chosen = calloc(network->tensor_count, sizeof *chosen);
    status = chosen != NULL ? choose(fit, network, norms, stem_norm, chosen, why)
                            : error_out_of_memory(why, "the names of %s", fit->path);
    if (status == STATUS_OK)
        status = names_apply(fit->tensors, fit->path, network, chosen, why);
    if (status == STATUS_OK) {
        const struct named_tensor *example = &fit->tensors->list[chosen[network->convs[1].weight]];
        tensors_note(
            fit->tensors,
            "the names are not known: the tensors were matched by their order and shapes (%s is %s, and so on)",
            example->file_name != NULL ? example->file_name : example->name, example->name);
    }
out:
    network_close(network);
    free(chosen);
    free(used);
    free(norms);
    return status;
}

enum status names_fit_order(struct tensors *tensors, const char *path, struct model_config *model, struct error *why)
{
    struct fit fit = {
        .tensors = tensors, .path = path, .projections = { NONE, NONE }, .linear = NONE, .logits = NONE
    };
    enum status status = collect_modules(&fit, why);
    if (status == STATUS_OK)
        status = sort_out(&fit, why);
    if (status == STATUS_OK)
        status = fit_network(&fit, model, why);
    free(fit.modules);
    free(fit.convs);
    free(fit.norms);
    return status;
}
