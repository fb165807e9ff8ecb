/* How far a long piece of work is, on standard error: a bar that is redrawn on a terminal, a plain line each minute
 * elsewhere. The speed and the time left are computed from the last half minute, so they follow a machine that gets
 * busy. */
#ifndef SELFSAME_PROGRESS_H
#define SELFSAME_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PROGRESS_SAMPLES = 64 };

struct progress {
    const char *unit;     /* such as "images"; NULL: bytes */
    bool terminal, drawn; /* drawn: there is a bar on the terminal's line */
    size_t label_width;   /* of the longest label so far: the bar's place does not jump */
    double shown_s;       /* when it was last shown */
    struct {
        double time_s;
        uint64_t units, done;
    } samples[PROGRESS_SAMPLES]; /* a ring of the last reports */
    size_t sample_count;
};

/* `unit` outlives the progress. NULL is bytes, which are shown as kB, MB or GB. */
void progress_open(struct progress *progress, const char *unit);
/* `done` of `total` is finished, which gives the share and the time left. The speed is computed from `units`, which may
 * count something else. A label such as "epoch 3 of 180" is shown before the bar. Shown at most ten times a second. A
 * total of 0 is not known: the units are shown instead of a share. */
void progress_report(struct progress *progress, const char *label, uint64_t units, uint64_t done, uint64_t total);
/* A duration in words: "41 s", "3 min 05 s", "7 h 12 min". */
enum { PROGRESS_TIME_BYTES = 48 };
const char *progress_time(double seconds, char text[PROGRESS_TIME_BYTES]);
/* Takes the bar away: before anything else is printed, and at the end. */
void progress_clear(struct progress *progress);
/* Forgets the speed: after a pause, or where the units begin anew. */
void progress_restart(struct progress *progress);

#endif
