#include "fetch/data/embedded.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/random.h"

/* Points are in quarters of a pixel; a shape's own coordinates (u, v) are turned, and scaled so that UNIT is its
 * radius. */
enum { SIDE = DATASET_SIDE, CHANNELS = DATASET_CHANNELS, QUARTERS = 4, UNIT = 256, TURN = 64 };

const char *const EMBEDDED_CLASSES[DATASET_CLASSES] = { "disc",  "ring", "square", "frame",   "triangle",
                                                        "cross", "bars", "dots",   "checker", "crescent" };

/* round(256 sin(2 pi i / 64)), i = 0..16 */
static const int QUARTER_SINE[TURN / 4 + 1] = { 0,   25,  50,  74,  98,  121, 142, 162, 181,
                                                198, 213, 226, 237, 245, 251, 255, 256 };

static int sine(int angle)
{
    angle %= TURN;
    if (angle >= TURN / 2)
        return -sine(angle - TURN / 2);
    return QUARTER_SINE[angle <= TURN / 4 ? angle : TURN / 2 - angle];
}

/* An image's own stream of random words. */
struct stream {
    uint64_t image;
    uint32_t next, words[4];
};

enum { SEED = 20151210 }; /* the day that the residual network was published */

static uint32_t word(struct stream *stream)
{
    if (stream->next % 4 == 0)
        random_block(SEED, RANDOM_EMBEDDED, stream->image, stream->next / 4, stream->words);
    return stream->words[stream->next++ % 4];
}

/* Uniform in low..high, both included. */
static int between(struct stream *stream, int low, int high)
{
    return low + (int)((uint64_t)word(stream) * (uint32_t)(high - low + 1) >> 32);
}

static int either_sign(struct stream *stream, int low, int high)
{
    int magnitude = between(stream, low, high);
    return between(stream, 0, 1) ? magnitude : -magnitude;
}

/* Where a shape is, how large and how turned. */
struct pose {
    int x, y;         /* centre, quarters of a pixel */
    int radius;       /* the same */
    int cosine, sine; /* times 256 */
};

static struct pose make_pose(struct stream *stream, int low, int high, int radius_low, int radius_high)
{
    struct pose pose;
    pose.x = between(stream, low, high);
    pose.y = between(stream, low, high);
    pose.radius = between(stream, radius_low, radius_high);
    int angle = between(stream, 0, TURN - 1);
    pose.sine = sine(angle);
    pose.cosine = sine(angle + TURN / 4);
    return pose;
}

static bool inside_class(uint32_t label, int u, int v)
{
    int squares = u * u + v * v, across = abs(u), along = abs(v), reach = across > along ? across : along;
    switch (label) {
    case 0: /* disc */
        return squares <= 215 * 215;
    case 1: /* ring */
        return squares <= 240 * 240 && squares >= 140 * 140;
    case 2: /* square */
        return reach <= 185;
    case 3: /* frame */
        return reach <= 205 && reach >= 115;
    case 4: /* triangle: apex at v = -256, base at v = 128 */
        return v <= 128 && 443 * across <= UNIT * (v + UNIT);
    case 5: /* cross */
        return reach <= 235 && (across <= 70 || along <= 70);
    case 6: /* bars */
        return across <= 220 && along >= 75 && along <= 190;
    case 7: /* dots */
        return (across - 145) * (across - 145) + v * v <= 105 * 105;
    case 8: /* checker: the five odd cells of three by three */
        return reach <= 210 && (across <= 70) == (along <= 70);
    default: /* crescent */
        return squares <= 240 * 240 && (u - 110) * (u - 110) + v * v >= 190 * 190;
    }
}

enum { STROKE = DATASET_CLASSES, LINE }; /* drawn like a class, belonging to none */

/* Of a pixel's four sample points, how many the shape covers. Divisions truncate; no sample is farther than 182
 * quarters from a centre, so no product reaches 2^31. */
static int coverage(const struct pose *pose, uint32_t label, int row, int column)
{
    int scale = 65536 / pose->radius, covered = 0;
    for (int sample = 0; sample < 4; sample++) {
        int dx = column * QUARTERS + 1 + sample % 2 * 2 - pose->x, dy = row * QUARTERS + 1 + sample / 2 * 2 - pose->y;
        int u = (dx * pose->cosine + dy * pose->sine) * scale / 65536;
        int v = (dy * pose->cosine - dx * pose->sine) * scale / 65536;
        if (label == STROKE)
            covered += abs(u) <= UNIT && abs(v) <= UNIT / 3;
        else if (label == LINE)
            covered += abs(v) <= UNIT;
        else
            covered += inside_class(label, u, v);
    }
    return covered;
}

static int clamp(int value, int low, int high)
{
    return value < low ? low : value > high ? high : value;
}

/* Adds delta to the channels where the shape is. All but a line lie within one and a half radii of their centre. */
static void draw(int canvas[CHANNELS][SIDE][SIDE], const struct pose *pose, uint32_t label, const int delta[CHANNELS])
{
    int reach = label == LINE ? SIDE * QUARTERS : pose->radius * 3 / 2;
    int top = clamp((pose->y - reach) / QUARTERS, 0, SIDE), bottom = clamp((pose->y + reach) / QUARTERS + 1, 0, SIDE);
    int left = clamp((pose->x - reach) / QUARTERS, 0, SIDE), right = clamp((pose->x + reach) / QUARTERS + 1, 0, SIDE);
    for (int row = top; row < bottom; row++) {
        for (int column = left; column < right; column++) {
            int covered = coverage(pose, label, row, column);
            for (int c = 0; c < CHANNELS; c++)
                canvas[c][row][column] += delta[c] * covered / 4;
        }
    }
}

/* The difficulty, found by trial: embedded.h says what it leads to. */
enum {
    LINES = 2,
    LINE_CONTRAST = 24, /* faint, across the whole image */
    STROKES = 2,
    STROKE_CONTRAST = 27, /* small, up to the shape's own contrast */
    CONTRAST_LOW = 55,
    CONTRAST_HIGH = 90, /* of the shape, in every channel, lighter or darker */
    RADIUS_LOW = 36,
    RADIUS_HIGH = 50,
    CENTRE_LOW = 56,
    CENTRE_HIGH = 72, /* quarters of a pixel */
    NOISE = 18
};

static void draw_image(uint64_t number, uint32_t label, uint8_t *image)
{
    int canvas[CHANNELS][SIDE][SIDE], delta[CHANNELS];
    struct stream stream = { .image = number };
    struct pose pose;
    for (int c = 0; c < CHANNELS; c++) {
        int base = between(&stream, 80, 175), down = between(&stream, -32, 32), right = between(&stream, -32, 32);
        for (int row = 0; row < SIDE; row++) {
            for (int column = 0; column < SIDE; column++)
                canvas[c][row][column] = base + (down * (2 * row - SIDE) + right * (2 * column - SIDE)) / (2 * SIDE);
        }
    }
    for (int i = 0; i < LINES; i++) {
        pose = make_pose(&stream, 0, SIDE * QUARTERS, 3, 12);
        for (int c = 0; c < CHANNELS; c++)
            delta[c] = between(&stream, -LINE_CONTRAST, LINE_CONTRAST);
        draw(canvas, &pose, LINE, delta);
    }
    for (int i = 0; i < STROKES; i++) {
        pose = make_pose(&stream, 0, SIDE * QUARTERS, 5, 14);
        for (int c = 0; c < CHANNELS; c++)
            delta[c] = either_sign(&stream, STROKE_CONTRAST, CONTRAST_HIGH);
        draw(canvas, &pose, STROKE, delta);
    }
    pose = make_pose(&stream, CENTRE_LOW, CENTRE_HIGH, RADIUS_LOW, RADIUS_HIGH);
    for (int c = 0; c < CHANNELS; c++)
        delta[c] = either_sign(&stream, CONTRAST_LOW, CONTRAST_HIGH);
    draw(canvas, &pose, label, delta);
    for (int c = 0; c < CHANNELS; c++) {
        for (int row = 0; row < SIDE; row++) {
            for (int column = 0; column < SIDE; column++) {
                uint32_t random = word(&stream);
                int noise = ((int)(random & 0xffff) + (int)(random >> 16) - 0xffff) * NOISE / 0xffff;
                image[(c * SIDE + row) * SIDE + column] = (uint8_t)clamp(canvas[c][row][column] + noise, 0, 255);
            }
        }
    }
}

static enum status make(struct dataset *dataset, uint64_t first, uint32_t count, struct error *error)
{
    enum status status = dataset_allocate(dataset, count, error);
    if (status != STATUS_OK)
        return status;
    for (uint32_t i = 0; i < count; i++) {
        dataset->labels[i] = (uint8_t)(i % DATASET_CLASSES);
        draw_image(first + i, dataset->labels[i], dataset->images + (size_t)i * DATASET_IMAGE_BYTES);
    }
    dataset_digest(dataset);
    return STATUS_OK;
}

enum status embedded_make(struct dataset *training, uint32_t training_images, struct dataset *test,
                          uint32_t test_images, struct error *error)
{
    const uint64_t test_first = (uint64_t)1 << 32; /* past any number of training images */
    memset(test, 0, sizeof *test);
    enum status status = make(training, 0, training_images, error);
    if (status == STATUS_OK)
        status = make(test, test_first, test_images, error);
    if (status != STATUS_OK)
        dataset_free(training);
    return status;
}
