/* selfsame convert: weights from one container into another. */
#include <string.h>

#include "fetch/weights.h"
#include "trainer/common/command.h"

static bool ends_with(const char *text, const char *end)
{
    return strlen(text) > strlen(end) && strcmp(text + strlen(text) - strlen(end), end) == 0;
}

static enum status run_convert(const struct arguments *arguments, struct error *error)
{
    const char *in = arguments->operands[0], *out = arguments->operands[1];
    struct weights weights;
    char hex[DIGEST_HEX_BYTES];
    if (!ends_with(out, ".safetensors"))
        return error_set(error, STATUS_INPUT, "%s: weights are written as safetensors alone; give OUT the suffix .safetensors", out);
    enum status status = weights_open(&weights, in, error);
    if (status != STATUS_OK)
        return status;
    status = weights_convert(&weights, out, error);
    if (status == STATUS_OK) {
        weights_content_digest(&weights, hex);
        printf("%s: %s, weights %s\n", out, weights_container_name(CONTAINER_SAFETENSORS), hex);
    }
    weights_close(&weights);
    return status;
}

static const struct option_definition options[] = { OPTIONS_END };

const struct command convert_command = {
    .name = "convert", .operands = "IN OUT", .summary = "weights from another format into safetensors", .options = options,
    .description = "Reads weights from any file that selfsame inspect knows, and writes them to OUT, a safetensors file, with the names that PyTorch users know. "
                   "Parameters and running statistics are written, as float32, bit for bit; what training keeps beside them is not. Equal weights give "
                   "equal files, and the weights digest, which is printed, stays.\n\nNothing in IN is run: pickles are read as data.",
    .examples = "selfsame convert resnet20-12fca82f.th resnet20.safetensors\ta file of torch.save's\n",
    .operands_min = 2, .operands_max = 2, .run = run_convert,
};
