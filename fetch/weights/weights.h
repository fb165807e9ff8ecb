/* Weights in files: recognised by their content, never by their file's name, and read as named float32 tensors.
 *
 * containers  safetensors; torch.save's legacy and zip formats (torch.h); pickles of torch's tensors or numpy's arrays,
 *             numpy's .npz; neon's pickles of 2016 (neon.h).
 * names       Those of a 6n+2 network are recognised (names.h) and become ours, as PyTorch users know them
 *             (`layer1.0.conv1.weight`). Other networks keep the names of the file, without the wrappers `module.` and
 *             `_orig_mod.` if all tensors have them.
 * numbers     float32; float16 and bfloat16, which float32 holds exactly; float64, rounded to the nearest float32:
 *             weights_rounding tells what that did.
 * digest      The weights digest of trainer/digests.h, over parameters and running statistics whatever the container:
 *             tensors that only a training needs (`momentum.*` of our checkpoints, `*.num_batches_tracked`) are always
 *             left out, and so are other tensors next to a recognised network. */
#ifndef SELFSAME_WEIGHTS_H
#define SELFSAME_WEIGHTS_H

#include <stdbool.h>

#include "base/hash.h"
#include "experiments/manifest.h"
#include "fetch/weights/safetensors.h"
#include "fetch/weights/tensors.h"
#include "trainer/network.h"

enum weights_container {
    CONTAINER_SAFETENSORS,
    CONTAINER_TORCH_LEGACY,
    CONTAINER_TORCH_ZIP,
    CONTAINER_NEON,
    CONTAINER_PICKLE,
    CONTAINER_NPZ
};

struct weights {
    enum weights_container container;
    size_t bytes;                  /* of the file */
    char sha256[DIGEST_HEX_BYTES]; /* of the file */
    struct tensors tensors;        /* by name */
    bool recognised;               /* whether they are those of a 6n+2 network, */
    struct model_config model;     /* this one; see weights_model */
    struct error obstacle;         /* else what stands in the way */
};

/* What the user says about a file; all may be NULL. */
struct weights_options {
    const char *key;            /* of the dict of tensors to read, where a file has several */
    const char *const *renames; /* OLD=NEW, up to a NULL: names_replace, one after the other */
};

/* Reads a file. STATUS_INPUT for one that is no such container or is damaged: names path, place and what to do. */
enum status weights_open(struct weights *weights, const char *path, const struct weights_options *options,
                         struct error *error) MUST_USE;
/* The same from a file in memory, which stays the caller's. */
enum status weights_parse(struct weights *weights, const char *path, const uint8_t *file, size_t bytes,
                          const struct weights_options *options, struct error *error) MUST_USE;
void weights_close(struct weights *weights);

/* "projection" and the like; "option A" for its two kinds. */
const char *weights_shortcut_name(enum shortcut shortcut);
/* "torch legacy" and the like. */
const char *weights_container_name(enum weights_container container);
/* Whether a manifest's weights.format means this container. */
bool weights_has_format(const struct weights *weights, enum weights_format format);
/* Whether a tensor is a parameter or a running statistic, and not one that only a training needs. */
bool weights_is_weight(const struct named_tensor *tensor);
/* Numbers in parameters: without running statistics. */
size_t weights_parameter_count(const struct weights *weights);
/* How the numbers of the parameters and running statistics changed when they were made float32. */
struct rounding weights_rounding(const struct weights *weights);
/* A message "DTYPE: what rounding to float32 did"; "" if the weights are float32. */
enum { WEIGHTS_ROUNDING_BYTES = 256 };
void weights_tell_rounding(const struct weights *weights, char text[WEIGHTS_ROUNDING_BYTES]);
void weights_content_digest(const struct weights *weights, char hex[DIGEST_HEX_BYTES]);

/* The 6n+2 network that the tensors are of: depth, shortcut, bias and final batch norm are read off names and shapes
 * (of option A's two kinds, which weights cannot tell, PAD_END); the rest of *model is a manifest's to say.
 * STATUS_INPUT if they are not such a network, with the reason. */
enum status weights_model(const struct weights *weights, struct model_config *model, struct error *error) MUST_USE;

/* Copies the tensors to values (network->value_count floats). STATUS_INPUT if they belong to another network, with all
 * differences. Values may be anything, NaN included. */
enum status weights_fill(const struct weights *weights, const char *path, const struct network *network, float *values,
                         struct error *error) MUST_USE;
/* weights_open and weights_fill in one. */
enum status weights_read(const char *path, const struct network *network, float *values, struct error *error) MUST_USE;

/* Writes safetensors: every tensor of the network, and nothing else but the format's mark that PyTorch tools look for.
 * Equal weights give equal files. */
enum status weights_write(const char *path, const struct network *network, const float *values,
                          struct error *error) MUST_USE;
/* The same from the weights of the file `from`, whatever network they are of, as safetensors or in torch.save's zip
 * format. STATUS_INPUT if a network that is not recognised has a tensor that is no float32, or if there is nothing to
 * write. */
enum status weights_convert(const struct weights *weights, const char *from, const char *path,
                            enum weights_container container, struct error *error) MUST_USE;

/* For an open safetensors file: copies the float32 tensors called prefix + name whose role is in `roles` (a bit mask of
 * 1 << enum tensor_role) to values; other values are left alone. */
enum status weights_take(const struct safetensors *safetensors, const char *path, const char *prefix, unsigned roles,
                         const struct network *network, float *values, struct error *error) MUST_USE;

#endif
