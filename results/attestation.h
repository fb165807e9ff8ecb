/* Statements about a run that are signed: in-toto Statements v1, in the run's folder attestations/. ATTESTATIONS.md
 * defines them for people and for other programs. Each names files of the run with their SHA-256, and holds for the
 * bytes of these files, wherever they lie and whatever the folder is called.
 *
 * provenance   SLSA Provenance v1: this manifest and these data gave these files, on this machine
 * weights      what model-signing signs: the file of weights alone, in a sigstore bundle
 * equivalence  SLSA Provenance v1 of another build type: two records agree in every step, and these files of theirs are
 *              the same */
#ifndef SELFSAME_ATTESTATION_H
#define SELFSAME_ATTESTATION_H

#include <stdbool.h>

#include "results/record.h"
#include "results/signature.h"

/* Writes provenance and, where the run has weights, their signature. `written` (may be NULL) is told each path. */
enum status attest_run(const struct record *record, const struct signing_key *key, void (*written)(const char *path),
                       struct error *error) MUST_USE;

/* Writes that the run gave the same as another: the caller has compared them. */
enum status attest_equivalence(const struct record *record, const struct record *other, const struct signing_key *key,
                               void (*written)(const char *path), struct error *error) MUST_USE;

/* One file of attestations/, read and held against the run. */
struct attestation {
    char name[256];                /* the file's */
    char key_id[DIGEST_HEX_BYTES]; /* as it says */
    char summary[512];             /* what it states, in words */
    size_t files;                  /* of the run that it names, and that are as it says */
};

/* Calls `visit` for each, by name; `key` is the one of `keys` that signed it, or NULL. STATUS_INPUT for one that is
 * damaged, whose signature is not by the key that it names, or that names a file which is not as it says. */
enum status attestations_check(const struct record *record, struct signing_key *const *keys, size_t key_count,
                               void (*visit)(void *context, const struct attestation *attestation, size_t key),
                               void *context, struct error *error) MUST_USE;

#endif
