/* Published curves: what is read, the envelope around one, and the drops of the learning rate. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "plots/curve.h"

static const char manifest_text[] = "inherit: quick/resnet20.yaml\n"
                                    "name: curve\n"
                                    "training: {epochs: 24, schedule: {drop_epochs: [8, 16]}}\n";

enum { EPOCHS = 24 };

/* 30 % before the first drop, 20 and then 19 % after it; epoch 3 was not published. */
static double published(size_t epoch)
{
    return epoch == 3 ? NAN : epoch < 8 ? 30.0 : epoch < 16 ? 20.0 : 19.0;
}

struct fixture {
    struct curve curve;
    struct record record;
};

static void set_up(struct fixture *f)
{
    struct error error = { STATUS_OK, "" };
    memset(f, 0, sizeof *f);
    f->curve = (struct curve){ calloc(EPOCHS, sizeof(double)), EPOCHS };
    f->record.metrics = calloc(EPOCHS, sizeof *f->record.metrics);
    assert_true(f->curve.errors != NULL && f->record.metrics != NULL);
    f->record.epochs = EPOCHS;
    for (size_t e = 0; e < EPOCHS; e++) {
        f->curve.errors[e] = published(e);
        f->record.metrics[e].validation_error = e == 3 ? 90.0 : published(e);
    }
    if (manifest_read_text(manifest_text, strlen(manifest_text), "curve.yaml", &f->record.manifest, &error) !=
        STATUS_OK)
        fail_msg("%s", error.message);
}

static void tear_down(struct fixture *f)
{
    curve_free(&f->curve);
    free(f->record.metrics);
    manifest_free(&f->record.manifest);
}

static struct curve_agreement compare(const struct fixture *f)
{
    struct curve_agreement agreement;
    curve_compare(&f->curve, &f->record, &agreement);
    return agreement;
}

static void test_equal(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f);
    struct curve_agreement agreement = compare(&f);
    assert_int_equal(agreement.compared, EPOCHS - 1); /* not the one without a published value */
    assert_int_equal(agreement.inside, EPOCHS - 1);
    assert_int_equal(agreement.drop_count, 2);
    assert_int_equal(agreement.drops[0].epoch, 8);
    assert_true(agreement.drops[0].published == 10.0);
    assert_int_equal(agreement.drops[1].epoch, 16);
    assert_true(agreement.drops[1].published == 1.0);
    assert_true(agreement.agrees);
    assert_true(curve_share(&agreement) == 100.0);
    tear_down(&f);
}

/* One epoch's error, and whether it is then inside. */
static void assert_inside(struct fixture *f, size_t epoch, double error, bool inside)
{
    const double before = f->record.metrics[epoch].validation_error;
    f->record.metrics[epoch].validation_error = error;
    struct curve_agreement agreement = compare(f);
    assert_int_equal(agreement.inside, inside ? agreement.compared : agreement.compared - 1);
    f->record.metrics[epoch].validation_error = before;
}

static void test_envelope(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f);
    /* 3 points before the drop, 1 from it on. */
    assert_inside(&f, 1, 33.0, true);
    assert_inside(&f, 1, 33.01, false);
    assert_inside(&f, 1, 27.0, true);
    assert_inside(&f, 1, 26.99, false);
    assert_inside(&f, 12, 21.0, true);
    assert_inside(&f, 12, 21.01, false);
    assert_inside(&f, 12, 19.0, true);
    assert_inside(&f, 12, 18.99, false);
    /* The neighbours count: the epoch before the drop may be as low as the one after it, and the other way round. */
    assert_inside(&f, 7, 17.0, true);
    assert_inside(&f, 7, 16.99, false);
    assert_inside(&f, 8, 31.0, true);
    assert_inside(&f, 8, 31.01, false);
    assert_inside(&f, 9, 21.01, false);
    /* So do neighbours at the ends, and one that was not published does not. */
    assert_inside(&f, 0, 33.0, true);
    assert_inside(&f, 2, 33.0, true);
    assert_inside(&f, EPOCHS - 1, 20.0, true);
    assert_inside(&f, EPOCHS - 1, 20.01, false);
    tear_down(&f);
}

static void test_share(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f);
    /* Of 23 epochs 21 are 91.3 % and 20 are 87.0 %. */
    f.record.metrics[0].validation_error = f.record.metrics[1].validation_error = 80.0;
    assert_true(compare(&f).agrees);
    f.record.metrics[2].validation_error = 80.0;
    struct curve_agreement agreement = compare(&f);
    assert_int_equal(agreement.inside, 20);
    assert_false(agreement.agrees);
    tear_down(&f);
}

static void test_drops(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f);
    /* The second fall is 1 point: half of it is enough, less is not, though every epoch is in the envelope. */
    for (size_t e = 16; e < EPOCHS; e++)
        f.record.metrics[e].validation_error = 19.5;
    assert_true(compare(&f).agrees);
    for (size_t e = 16; e < EPOCHS; e++)
        f.record.metrics[e].validation_error = 19.6;
    struct curve_agreement agreement = compare(&f);
    assert_int_equal(agreement.inside, agreement.compared);
    assert_true(agreement.drops[0].agrees);
    assert_false(agreement.drops[1].agrees);
    assert_false(agreement.agrees);
    /* A run says nothing about a drop before it has five epochs after it. */
    f.record.epochs = 21;
    agreement = compare(&f);
    assert_int_equal(agreement.drop_count, 1);
    assert_true(agreement.agrees);
    f.record.epochs = 0;
    agreement = compare(&f);
    assert_int_equal(agreement.compared, 0);
    assert_false(agreement.agrees);
    assert_true(curve_share(&agreement) == 0.0);
    tear_down(&f);
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static char folder[] = "/tmp/selfsame-curve-XXXXXX";

static enum status read_text(const char *text, const char *column, struct curve *curve, struct error *error)
{
    char path[128];
    snprintf(path, sizeof path, "%s/table.tsv", folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    return curve_read("table.tsv", column, curve, error);
}

static void test_read(void **state)
{
    (void)state;
    struct curve curve;
    struct error error;
    assert_int_equal(read_text("# a comment\nepoch\ta\tb\n0\tnan\t4\n1\t33.25\t5\r\n2\t0\t100\n", "a", &curve, &error),
                     STATUS_OK);
    assert_int_equal(curve.epochs, 3);
    assert_true(isnan(curve.errors[0]) && curve.errors[1] == 33.25 && curve.errors[2] == 0.0);
    curve_free(&curve);
    assert_int_equal(read_text("epoch\ta\tb\n0\t1\t4", "b", &curve, &error), STATUS_OK);
    assert_true(curve.epochs == 1 && curve.errors[0] == 4.0);
    curve_free(&curve);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *column, *says;
    } cases[] = {
        { "epoch\ta\n0\t1\n", "b", ":1: the heading" },
        { "epoch\ta\n0\t1\n", "epoch", ":1: the heading" },
        { "step\ta\n0\t1\n", "a", ":1: the heading" },
        { "epoch\ta\n0\n", "a", ":2: column 2" },
        { "epoch\ta\n0\t100.5\n", "a", ":2: column 2" },
        { "epoch\ta\n0\t-1\n", "a", ":2: column 2" },
        { "epoch\ta\n0\t1x\n", "a", ":2: column 2" },
        { "epoch\ta\n0\tinf\n", "a", ":2: column 2" },
        { "epoch\ta\n0\t1\n2\t1\n", "a", ":3: expected the line of epoch 1" },
        { "epoch\ta\n\t1\n", "a", ":2: expected the line of epoch 0" },
        { "epoch\ta\n", "a", "no epoch" },
        { "", "a", "no epoch" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct curve curve;
        struct error error = { STATUS_OK, "" };
        assert_int_equal(read_text(cases[i].text, cases[i].column, &curve, &error), STATUS_INPUT);
        if (strstr(error.message, cases[i].says) == NULL)
            fail_msg("case %zu: %s", i, error.message);
        assert_null(curve.errors);
    }
    struct curve curve;
    struct error error;
    assert_int_equal(curve_read("../plots/original_curves.tsv", "resnet20", &curve, &error), STATUS_INPUT);
    assert_int_equal(curve_read("absent.tsv", "resnet20", &curve, &error), STATUS_ENVIRONMENT);
}

/* The curves of 2016 agree with themselves, and each with its table to 0.05 points. */
static void test_original_curves(void **state)
{
    (void)state;
    static const struct {
        const char *column;
        double table;
    } depths[] = { { "resnet20", 8.29 }, { "resnet32", 7.26 }, { "resnet56", 6.31 }, { "resnet110", 6.00 } };
    unsetenv("SELFSAME_PLOTS");
    for (size_t i = 0; i < 4; i++) {
        struct curve curve;
        struct error error;
        if (curve_read("original_curves.tsv", depths[i].column, &curve, &error) != STATUS_OK)
            fail_msg("%s", error.message);
        assert_int_equal(curve.epochs, 180);
        assert_true(fabs(curve.errors[179] - depths[i].table) <= 0.05);
        curve_free(&curve);
    }
    setenv("SELFSAME_PLOTS", folder, 1);
}

int main(void)
{
    if (mkdtemp(folder) == NULL)
        return 1;
    setenv("SELFSAME_PLOTS", folder, 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal),           cmocka_unit_test(test_envelope), cmocka_unit_test(test_share),
        cmocka_unit_test(test_drops),           cmocka_unit_test(test_read),     cmocka_unit_test(test_refused),
        cmocka_unit_test(test_original_curves),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    char path[128];
    snprintf(path, sizeof path, "%s/table.tsv", folder);
    unlink(path);
    rmdir(folder);
    return failed;
}
