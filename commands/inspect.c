/* selfsame inspect: what is in a file of weights. */
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "commands/table.h"
#include "commands/weights_options.h"
#include "experiments/catalog.h"

enum { FIT_BYTES = 256 };

/* All that is printed, in either format. */
struct findings {
    const char *path;
    struct weights weights;
    char digest[DIGEST_HEX_BYTES];
    char manifest[FILE_PATH_BYTES]; /* "" for none */
    bool fits;
    struct model_config model;
    struct error misfit;
    char rounding[WEIGHTS_ROUNDING_BYTES];
};

static const char *shortcut_name(const struct model_config *model)
{
    return model->shortcut == SHORTCUT_PAD_END ? "pad-end or pad-both" : weights_shortcut_name(model->shortcut);
}

/* Which of the published variants a network is; the weights of the last two look alike. */
static const char *variant_name(const struct model_config *model)
{
    bool bias = model->linear_bias != BIAS_NONE;
    if (model->shortcut == SHORTCUT_PROJECTION && !bias && model->final_batch_norm)
        return "msra";
    if (model->shortcut == SHORTCUT_PAD_END && bias && !model->final_batch_norm)
        return "paper or akamaster";
    return "none of the published";
}

static void print_table(const struct findings *f)
{
    const struct weights *weights = &f->weights;
    text_line(stdout, "file        %s", f->path);
    printf("container   %s, %zu bytes\nSHA-256     %s\nweights     %s\nparameters  %zu\n",
           weights_container_name(weights->container), weights->bytes, weights->sha256, f->digest,
           weights_parameter_count(weights));
    if (f->fits)
        text_fact(stdout, 12, "network     depth %" PRIu32 ", %s: shortcut %s, linear bias %s, final batch norm %s",
                  f->model.depth, variant_name(&f->model), shortcut_name(&f->model),
                  f->model.linear_bias != BIAS_NONE ? "yes" : "no", f->model.final_batch_norm ? "yes" : "no");
    else
        text_fact(stdout, 12, "network     none that selfsame evaluates: %s", f->misfit.message);
    for (size_t i = 0; i < weights->tensors.note_count; i++)
        text_fact(stdout, 12, "note        %s", weights->tensors.notes[i]);
    if (f->rounding[0] != '\0')
        text_fact(stdout, 12, "numbers     %s", f->rounding);
    text_fact(stdout, 12, "manifest    %s",
              f->manifest[0] != '\0' ? f->manifest : "no manifest in the experiments folder names this file");
    for (size_t i = 0; i < weights->tensors.claim_count; i++)
        text_fact(stdout, 12, "it says     %s = %s", weights->tensors.claims[i].name, weights->tensors.claims[i].value);
    printf("tensors     %zu\n", weights->tensors.count);
    for (size_t i = 0; i < weights->tensors.count; i++) {
        const struct named_tensor *tensor = &weights->tensors.list[i];
        char shape[TENSORS_SHAPE_BYTES];
        tensors_shape_text(shape, tensor->rank, tensor->shape);
        if (tensor->obstacle != NULL)
            text_fact(stdout, 8, "    %-40s not read: %s", tensor->name, tensor->obstacle);
        else
            text_fact(stdout, 8, "    %-40s %-5s %s%s%s%s", tensor->name, element_name(tensor->element), shape,
                      tensor->file_name != NULL ? "  in the file " : "",
                      tensor->file_name != NULL ? tensor->file_name : "",
                      f->fits && tensor->beside ? "  (not part of the network)" : "");
    }
}

static enum status print_json(const struct findings *f, struct error *error)
{
    const struct weights *weights = &f->weights;
    json_t *tensors = json_array(), *claims = json_object(), *network = json_null(), *notes = json_array();
    for (size_t i = 0; i < weights->tensors.count; i++) {
        const struct named_tensor *tensor = &weights->tensors.list[i];
        json_t *shape = json_array();
        for (uint32_t d = 0; d < tensor->rank; d++)
            json_add(&shape, json_integer(tensor->shape[d]));
        json_add(&tensors, json_pack("{s:s, s:s, s:o, s:s, s:b, s:s*}", "name", tensor->name, "dtype",
                                     element_name(tensor->element), "shape", shape, "name_in_file",
                                     tensor->file_name != NULL ? tensor->file_name : tensor->name, "beside",
                                     tensor->beside, "obstacle", tensor->obstacle));
    }
    for (size_t i = 0; i < weights->tensors.note_count; i++)
        json_add(&notes, json_string(weights->tensors.notes[i]));
    for (size_t i = 0; i < weights->tensors.claim_count; i++)
        json_put(&claims, weights->tensors.claims[i].name, json_string(weights->tensors.claims[i].value));
    if (f->fits)
        network = json_pack("{s:i, s:s, s:s, s:b, s:b}", "depth", (int)f->model.depth, "variant",
                            variant_name(&f->model), "shortcut", shortcut_name(&f->model), "linear_bias",
                            f->model.linear_bias != BIAS_NONE, "final_batch_norm", f->model.final_batch_norm);
    json_t *json = json_pack("{s:o, s:s, s:I, s:s, s:s, s:I, s:o, s:o, s:o, s:o, s:s, s:o, s:o}", "file",
                             json_text(f->path), "container", weights_container_name(weights->container), "bytes",
                             (json_int_t)weights->bytes, "sha256", weights->sha256, "weights_sha256", f->digest,
                             "parameters", (json_int_t)weights_parameter_count(weights), "network", network, "obstacle",
                             f->fits ? json_null() : json_text(f->misfit.message), "manifest",
                             f->manifest[0] != '\0' ? json_text(f->manifest) : json_null(), "notes", notes, "numbers",
                             f->rounding, "claims", claims, "tensors", tensors);
    return json_print(json, error);
}

static enum status run_inspect(const struct arguments *arguments, struct error *error)
{
    const char *format = arguments_text(arguments, "format");
    struct findings *f = calloc(1, sizeof *f);
    if (f == NULL)
        return error_out_of_memory(error, "the contents of a file of weights");
    f->path = arguments->operands[0];
    const struct weights_options how = { .key = arguments_text(arguments, "key"),
                                         .renames = arguments_list(arguments, "rename") };
    enum status status = weights_open(&f->weights, f->path, &how, error);
    if (status != STATUS_OK)
        goto out;
    weights_content_digest(&f->weights, f->digest);
    weights_tell_rounding(&f->weights, f->rounding);
    f->fits = weights_model(&f->weights, &f->model, &f->misfit) == STATUS_OK;
    status = catalog_find_weights(f->weights.sha256, f->manifest, error);
    if (status == STATUS_OK && format != NULL && strcmp(format, "json") == 0)
        status = print_json(f, error);
    else if (status == STATUS_OK)
        print_table(f);
    weights_close(&f->weights);
out:
    free(f);
    return status;
}

static const struct option_definition options[] = {
    { "format", "FORMAT", OPTION_CHOICE, 0, 0, "table|json", "table or json; default: table" },
    OPTION_KEY,
    OPTION_RENAME,
    OPTIONS_END,
};

const struct command inspect_command = {
    .name = "inspect",
    .operands = "FILE",
    .summary = "show what a file of weights contains",
    .options = options,
    .description =
        "Prints a file's container, its SHA-256 and the digest of its weights, which does not depend on the "
        "container. It says which network the weights fit, or why they fit none. It also prints what the file says "
        "about itself, and its tensors: the names that selfsame gives them, and the names in the file if these "
        "differ.\n\n"
        "The format is recognised by the content: safetensors, torch.save's legacy and zip files, pickles of tensors "
        "or of numpy's arrays, numpy's .npz files, and the pickles of neon's 2016 models. Nothing in the file is "
        "run. Pickles are read as data. If a pickle asks for anything else, it is ignored and named.",
    .examples = "selfsame inspect resnet20-12fca82f.th\ta file that torch.save wrote\n"
                "selfsame inspect --format json runs/quick-resnet20-seed1/weights.safetensors\ta run's weights\n",
    .operands_min = 1,
    .operands_max = 1,
    .run = run_inspect,
};
