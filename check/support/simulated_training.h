/* A training without an engine, for the tests of records: every step changes the weights in a way that depends on all
 * steps before it, so that a state that was restored wrongly shows in the files. */
#ifndef SELFSAME_SIMULATED_TRAINING_H
#define SELFSAME_SIMULATED_TRAINING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "experiments/manifest.h"
#include "results/record.h"
#include "results/recorder.h"

#define DIGEST_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define DIGEST_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

enum { SIMULATED_IMAGES = 100, SIMULATED_CHUNK = 2 };

/* The folder of the runs, which simulated_setup makes and simulated_teardown removes. */
extern char runs_folder[];
/* What is trained; the run's own manifest.yaml is this one resolved. */
extern const char simulated_text[];
extern struct manifest simulated_manifest;
extern char simulated_experiment[DIGEST_HEX_BYTES];
#define simulated_recipe simulated_manifest.recipe
extern struct network *simulated_network;

void hear(const char *message);

bool was_said(const char *part);

struct recorder_options simulated_options(const char *name, bool resume);

struct training_state simulated_start(void);

void simulated_end(struct training_state *state);

void simulated_step(struct training_state *state, struct step_result *result);

/* Opens, trains up to `stop` steps (or the end of `epochs`), and ends as a process would: by finishing, or, if
 * `killed`, not. */
enum status simulated_session(const struct recorder_options *options, uint64_t epochs, uint64_t stop, bool killed,
                              struct error *error);

/* How many epochs there are. */
uint64_t simulated_epochs(void);
/* Begins a run, which is killed after `stop` steps, or asked to stop. */
void stop_run(const char *name, uint64_t stop, bool killed);
enum status resume_to_end(const char *name, struct error *error);
/* The record cannot be opened to be written: with this status, and this in the message. */
void expect_refusal(const struct recorder_options *options, enum status expected, const char *complaint);

void run_path(char path[FILE_PATH_BYTES], const char *name, const char *file);

void assert_same_file(const char *a, const char *b, const char *file);

size_t list_folder(const char *name, const char *file, char (*names)[64]);

/* Packs a run's folder into the file `path`, which is there only if that was good. */
enum status pack_file(const char *folder, const char *path, bool checkpoints, struct error *error);

/* Everything but record.json, which has times, is the same to the last byte, and there is nothing that the other has
 * not. */
void assert_same_run(const char *a, const char *b);

/* Removes a folder and what is in it. */
void remove_tree(const char *folder);

/* The run "whole", never interrupted, is what the others are held against. */
int simulated_setup(void **state);

int simulated_teardown(void **state);

#endif
