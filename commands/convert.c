/* selfsame convert: weights from one container into another. */
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "commands/command.h"
#include "commands/weights_options.h"
#include "results/weights_check.h"

/* The containers that are written, by OUT's suffix. */
static const struct {
    const char *suffix;
    enum weights_container container;
} suffixes[] = {
    { ".safetensors", CONTAINER_SAFETENSORS },
    { ".pth", CONTAINER_TORCH_ZIP },
    { ".pt", CONTAINER_TORCH_ZIP },
};

/* Weights of a run are those of its record. */
static enum status check_run(const struct weights *weights, const char *path, struct error *error)
{
    struct model_config model;
    struct error other;
    struct network *network = NULL;
    float *values = NULL;
    if (weights_model(weights, &model, &other) != STATUS_OK)
        return STATUS_OK;
    enum status status = network_open(&network, &model, error);
    if (status == STATUS_OK) {
        values = calloc(network->value_count, sizeof *values);
        status = values != NULL ? weights_fill(weights, path, network, values, error)
                                : error_out_of_memory(error, "%zu weights", network->value_count);
    }
    if (status == STATUS_OK)
        status = weights_check_used(path, network, values, error);
    free(values);
    network_close(network);
    return status;
}

static enum status run_convert(const struct arguments *arguments, struct error *error)
{
    const char *in = arguments->operands[0], *out = arguments->operands[1];
    struct weights weights;
    char hex[DIGEST_HEX_BYTES];
    size_t kind = 0;
    while (kind < sizeof suffixes / sizeof *suffixes && !text_ends_with(out, suffixes[kind].suffix))
        kind++;
    if (kind == sizeof suffixes / sizeof *suffixes)
        return error_set(
            error, STATUS_INPUT,
            "%s: the suffix chooses the format, so the name must end in .safetensors, or in .pth or .pt for torch's "
            "format",
            out);
    enum status status = arguments_may_write(arguments, out, error);
    if (status != STATUS_OK)
        return status;
    const struct weights_options how = { .key = arguments_text(arguments, "key"),
                                         .renames = arguments_list(arguments, "rename") };
    status = weights_open(&weights, in, &how, error);
    if (status != STATUS_OK)
        return status;
    weights_tell(arguments->command->name, in, &weights);
    status = check_run(&weights, in, error);
    const struct rounding rounding = weights_rounding(&weights);
    if (status == STATUS_OK && rounding.overflowed > 0)
        status = error_set(error, STATUS_INPUT,
                           "%s: %zu numbers are larger than float32 can hold, so nothing is "
                           "written",
                           in, rounding.overflowed);
    else if (status == STATUS_OK && rounding.rounded > 0 && !arguments_flag(arguments, "round"))
        status = error_set(error, STATUS_INPUT,
                           "%s: float32 cannot hold %zu of the float64 numbers exactly; pass --round to write the "
                           "nearest float32",
                           in, rounding.rounded);
    if (status == STATUS_OK)
        status = weights_convert(&weights, in, out, suffixes[kind].container, error);
    if (status == STATUS_OK) {
        weights_content_digest(&weights, hex);
        text_fact(stdout, 2, "%s: %s, weights %s", out, weights_container_name(suffixes[kind].container), hex);
    }
    weights_close(&weights);
    return status;
}

static const struct option_definition options[] = {
    OPTION_KEY,
    OPTION_RENAME,
    { "round", NULL, OPTION_FLAG, 0, 0, NULL,
      "write float64 weights as the nearest float32; default: refuse if a number would change" },
    OPTION_FORCE,
    OPTIONS_END,
};

const struct command convert_command = {
    .name = "convert",
    .operands = "IN OUT",
    .summary = "write weights in another format",
    .options = options,
    .description =
        "Reads weights from any file that selfsame inspect knows, and writes them to OUT. If OUT ends in .pth or "
        ".pt, it is in torch.save's zip format, which torch.load reads. Otherwise it is a safetensors file.\n\n"
        "The tensors of a network of depth 6n+2 get the names that PyTorch users know. Those of any other network "
        "keep their names. Parameters and running statistics are written as float32. Other tensors that a training "
        "keeps are not written. If another network has a tensor that is not of real numbers, nothing is written; "
        "--rename NAME= leaves it out. Equal weights give equal files. The weights digest is printed, and stays the "
        "same.\n\n"
        "Nothing in IN is run: pickles are read as data.",
    .examples =
        "selfsame convert resnet20-12fca82f.th resnet20.safetensors\ta file that torch.save wrote\n"
        "selfsame convert runs/msra-resnet20-seed1/weights.safetensors resnet20.pth\ta run's weights for torch.load\n"
        "selfsame convert --rename dense=linear --rename head= model.pth model.safetensors\tother names\n",
    .operands_min = 2,
    .operands_max = 2,
    .run = run_convert,
};
