/* What both GPU engines share: the device, the data sets and the state on it, and the queue of steps.
 *
 * An engine's own struct engine begins with a struct gpu_session. So the functions at the end of this header serve as
 * the operations of all of them.
 * memory   One allocation holds everything but the data sets. It is laid out before anything is allocated, so that what
 *          is predicted is what is taken.
 * errors   STATUS_ENVIRONMENT, naming the call that failed or what there is no memory for; STATUS_INPUT from the order
 *          of images. */
#ifndef SELFSAME_GPU_SESSION_H
#define SELFSAME_GPU_SESSION_H

#include "base/arena.h"
#include "trainer/engine.h"
#include "trainer/gpu/kernels.h"
#include "trainer/gpu/queue.h"
#include "trainer/gpu/runtime.h"
#include "trainer/network.h"

enum { GPU_INFERENCE_BATCH = 256, GPU_FACTS_MAX = 160, GPU_ALIGNMENT = 256 /* of a piece of memory */ };

/* All that decides how much memory an engine needs, without the device. */
struct gpu_sizes {
    const struct network *network;
    uint32_t batch;                /* images of the largest step, or of an evaluation's */
    bool steps;                    /* else only evaluations */
    uint32_t training, validation; /* images */
    uint32_t piece_count;          /* of the update */
    bool pixel_mean;
};

/* The pieces of the allocation that every engine has. Those below `momentum` are there for steps alone. */
struct gpu_buffers {
    float *values;
    float *x;
    struct exact_norm *norms; /* [conv_count + 1][64], the last those of the logits */
    float *pool, *logits;
    struct gpu_piece *pieces;
    struct gpu_norm_place *places;
    float *byte_values, *pixel_mean;
    uint8_t *predictions;
    float *losses;
    double *mean_loss;

    float *momentum, *gradients;
    float *dz;
    double *head;
    struct sample *samples;
    uint8_t *labels;
    struct gpu_step_schedule *schedules; /* [QUEUE_SLOTS] */
    struct gpu_step_result *results;     /* [QUEUE_SLOTS] */
    struct gpu_current *current;
    uint32_t *keys, *orders[2];
};

/* Numbers for gpu_report.culprit, in the order in which a step looks: ARITHMETIC.md section 1. An engine that does not
 * look at layers leaves no numbers before `logits` and before `update`. */
struct gpu_culprits {
    uint32_t forward; /* + layer */
    uint32_t logits, loss;
    uint32_t backward; /* + how many layers from the last one */
    uint32_t update;   /* + tensor */
};

struct gpu_session;

/* What engines do differently. Launches go to the session's stream, or are joined to it. */
struct gpu_engine {
    /* Allocates the host's tables of the layout, by the session's recipe and sizes; gives them back, even after an
     * error. */
    enum status (*prepare)(struct engine *engine, struct error *error);
    void (*discard)(struct engine *engine);
    /* Lays everything out. */
    void (*lay_out)(struct engine *engine, struct arena *arena);
    /* Launches what brings a state that was set to where the kernels read it. */
    enum status (*pack)(struct engine *engine, struct error *error);
    /* Launches a step of that many images: step_queue.launch. */
    enum status (*step)(void *engine, uint32_t images, struct queue_marks *marks, struct error *error);
    /* Launches what comes before an evaluation, and the evaluation of the images from `first` on. */
    enum status (*constants)(struct engine *engine, struct error *error);
    enum status (*evaluation)(struct engine *engine, uint32_t first, uint32_t images, struct error *error);
    /* Whether every evaluation has as many images as the first. The last one then begins before the end of the one
     * before, and overwrites what that found. */
    bool even_evaluations;
    uint32_t first_images; /* step_queue.first_images */
};

struct gpu_session {
    const struct gpu_engine *engine;
    struct recipe recipe;
    const struct network *network;
    const struct dataset *training, *validation;
    struct device device;
    struct gpu_sizes sizes;
    struct gpu_culprits culprits; /* an engine's own */
    uint32_t evaluation;          /* images that are evaluated at a time */
    struct gpu_buffers buffers;
    void *memory; /* the one allocation, of `bytes` */
    size_t bytes;
    uint8_t *training_images, *training_labels; /* on the device */
    uint8_t *validation_images, *validation_labels;
    cudaStream_t stream;
    struct step_queue queue;
    char description[384];
    char **facts; /* up to a NULL */
    size_t fact_count;
};

/* ---- opening, in this order -------------------------------------------------------------------------------------- */

/* Fills in the options and the sizes, and prepares the engine's layout. Refuses an order of images that the sampler
 * refuses. */
enum status gpu_session_begin(struct gpu_session *session, const struct gpu_engine *engine, const struct recipe *recipe,
                              const struct network *network, const struct dataset *training,
                              const struct dataset *validation, const struct engine_options *options,
                              struct error *error) MUST_USE;
/* The pieces in `buffers`. An engine's lay_out calls it. */
void gpu_session_lay_out(struct gpu_session *session, struct arena *arena);
/* Opens the device. */
enum status gpu_session_open_device(struct gpu_session *session, struct error *error) MUST_USE;
/* Allocates, lays out, clears, makes the stream, and brings the data sets and the tables to the device. pieces: the
 * update's, [piece_count]. */
enum status gpu_session_allocate(struct gpu_session *session, struct error *error) MUST_USE;
enum status gpu_session_upload(struct gpu_session *session, const struct gpu_piece *pieces,
                               struct error *error) MUST_USE;
/* Adds a fact for the record. One that there is no memory for is left out. */
void gpu_session_fact(struct gpu_session *session, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The device's facts. */
void gpu_session_device_facts(struct gpu_session *session);
/* Waits for the uploads and captures the steps. */
enum status gpu_session_ready(struct gpu_session *session, struct error *error) MUST_USE;
/* Gives back all that the session holds, even after an error; not the struct itself. */
void gpu_session_close(struct gpu_session *session);

/* How many pieces of at most GPU_PIECE floats a network's tensors are cut into. The pieces go to `pieces`, unless it is
 * NULL, without what packing needs. */
uint32_t gpu_session_pieces(const struct network *network, struct gpu_piece *pieces);

/* engine_operations.predict_memory, for an engine that is zero. */
size_t gpu_predict_memory(struct engine *engine, const struct gpu_engine *parts, const struct recipe *recipe,
                          const struct network *network, uint32_t training_images, uint32_t validation_images,
                          const struct engine_options *options);

/* ---- engine_operations ------------------------------------------------------------------------------------------- */

enum status gpu_set_state(struct engine *engine, const float *values, const float *momentum,
                          struct error *error) MUST_USE;
enum status gpu_get_state(struct engine *engine, float *values, float *momentum, struct error *error) MUST_USE;
enum status gpu_run_steps(struct engine *engine, uint64_t first, uint64_t last, const struct step_listener *listener,
                          uint64_t *done, struct error *error) MUST_USE;
enum status gpu_profile(struct engine *engine, uint64_t first, uint64_t last, struct engine_profile *profile,
                        struct error *error) MUST_USE;
enum status gpu_evaluate(struct engine *engine, uint8_t *predictions, double *loss, struct error *error) MUST_USE;
double gpu_peak_flops(struct engine *engine);
const char *gpu_describe(const struct engine *engine);
const char *const *gpu_facts(const struct engine *engine);
const char *gpu_pci_address(const struct engine *engine);
size_t gpu_memory_bytes(const struct engine *engine);

#endif
