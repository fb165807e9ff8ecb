/* Croissant 1.0: the data set that a run's manifest names, with its archives, their sizes and digests, and which files
 * in them hold the training and the test images. The files' formats, fixed records and pickles, are none that Croissant
 * can describe field by field. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exchange/export.h"

/* The context that the specification gives, to the letter. */
static const char context_text[] =
    "{\"@language\": \"en\", \"@vocab\": \"https://schema.org/\", \"citeAs\": \"cr:citeAs\", \"column\": \"cr:column\","
    " \"conformsTo\": \"dct:conformsTo\", \"cr\": \"http://mlcommons.org/croissant/\","
    " \"rai\": \"http://mlcommons.org/croissant/RAI/\", \"data\": {\"@id\": \"cr:data\", \"@type\": \"@json\"},"
    " \"dataType\": {\"@id\": \"cr:dataType\", \"@type\": \"@vocab\"}, \"dct\": \"http://purl.org/dc/terms/\","
    " \"equivalentProperty\": \"cr:equivalentProperty\","
    " \"examples\": {\"@id\": \"cr:examples\", \"@type\": \"@json\"}, \"extract\": \"cr:extract\","
    " \"field\": \"cr:field\", \"fileProperty\": \"cr:fileProperty\", \"fileObject\": \"cr:fileObject\","
    " \"fileSet\": \"cr:fileSet\", \"format\": \"cr:format\", \"includes\": \"cr:includes\","
    " \"isLiveDataset\": \"cr:isLiveDataset\", \"jsonPath\": \"cr:jsonPath\", \"key\": \"cr:key\", \"md5\": \"cr:md5\","
    " \"parentField\": \"cr:parentField\", \"path\": \"cr:path\", \"recordSet\": \"cr:recordSet\","
    " \"references\": \"cr:references\", \"regex\": \"cr:regex\", \"repeated\": \"cr:repeated\","
    " \"replace\": \"cr:replace\", \"samplingRate\": \"cr:samplingRate\", \"sc\": \"https://schema.org/\","
    " \"separator\": \"cr:separator\", \"source\": \"cr:source\", \"subField\": \"cr:subField\","
    " \"transform\": \"cr:transform\"}";

static json_t *archive_object(const struct manifest_source *archive, const char *id)
{
    json_t *object = json_pack("{s:s, s:s, s:s, s:s, s:s}", "@type", "cr:FileObject", "@id", id, "name", id,
                               "contentUrl", archive->urls[0], "encodingFormat", "application/x-tar");
    if (object == NULL)
        return NULL;
    if (archive->bytes > 0)
        json_object_set_new(object, "contentSize", json_sprintf("%" PRIu64 " B", archive->bytes));
    if (archive->sha256[0] != '\0')
        json_object_set_new(object, "sha256", json_string(archive->sha256));
    if (archive->md5[0] != '\0')
        json_object_set_new(object, "md5", json_string(archive->md5));
    return object;
}

static json_t *images(const char *id, const char *archive, const char *files, const char *what, const char *sha256)
{
    return json_pack("{s:s, s:s, s:s, s:o, s:{s:s}, s:s, s:s}", "@type", "cr:FileSet", "@id", id, "name", id,
                     "description",
                     json_sprintf("%s; the SHA-256 of all records in the binary version, in order, is %s", what,
                                  sha256[0] != '\0' ? sha256 : "not given"),
                     "containedIn", "@id", archive, "encodingFormat", "application/octet-stream", "includes", files);
}

/* The archive and its two sets of files; the Python version's have no suffix. */
static bool add_archive(json_t *distribution, const struct manifest *manifest, size_t number)
{
    char id[32], train[64], test[64];
    const struct manifest_source *archive = &manifest->archives[number];
    if (archive->url_count == 0)
        return true;
    const bool binary = strstr(archive->urls[0], "binary") != NULL;
    snprintf(id, sizeof id, "archive-%zu", number + 1);
    snprintf(train, sizeof train, "training-images-%zu", number + 1);
    snprintf(test, sizeof test, "test-images-%zu", number + 1);
    return json_array_append_new(distribution, archive_object(archive, id)) == 0 &&
           json_array_append_new(distribution, images(train, id, binary ? "*/data_batch_*.bin" : "*/data_batch_*",
                                                      "50,000 training images and labels", manifest->train_sha256)) ==
               0 &&
           json_array_append_new(distribution, images(test, id, binary ? "*/test_batch.bin" : "*/test_batch",
                                                      "10,000 test images and labels", manifest->test_sha256)) == 0;
}

enum status export_croissant(const struct export_job *job, struct error *error)
{
    const struct record *record = job->records[0];
    const struct manifest *manifest = &record->manifest;
    if (manifest->dataset_kind != DATASET_CIFAR10)
        return error_set(error, STATUS_INPUT,
                         "%s was trained on the data set that selfsame draws: it has no files, which Croissant could "
                         "describe; only runs on CIFAR-10 have",
                         record->shown);
    json_t *distribution = json_array(), *context = json_loads(context_text, 0, NULL);
    bool good = distribution != NULL && context != NULL;
    for (size_t i = 0; i < manifest->archive_count && good; i++)
        good = add_archive(distribution, manifest, i);
    json_t *document = json_pack(
        "{s:O?, s:s, s:s, s:s, s:s, s:s, s:s, s:[{s:s, s:s}, {s:s, s:s}, {s:s, s:s}], s:s, s:O?}", "@context", context,
        "@type", "sc:Dataset", "conformsTo", "http://mlcommons.org/croissant/1.0", "name", "CIFAR-10", "description",
        "60,000 colour images of 32 by 32 pixels in 10 classes, 6,000 of each: 50,000 to train with and 10,000 to test "
        "with.",
        "url", "https://www.cs.toronto.edu/~kriz/cifar.html", "datePublished", "2009-04-08", "creator", "@type",
        "sc:Person", "name", "Alex Krizhevsky", "@type", "sc:Person", "name", "Vinod Nair", "@type", "sc:Person",
        "name", "Geoffrey Hinton", "citeAs",
        "Alex Krizhevsky: Learning Multiple Layers of Features from Tiny Images. Technical report, University of "
        "Toronto, 2009.",
        "distribution", distribution);
    if (document != NULL && job->license != NULL)
        json_object_set_new(document, "license", json_string(job->license));
    char *text = good && document != NULL ? json_dumps(document, JSON_INDENT(2)) : NULL;
    enum status status = text != NULL ? export_file(job, job->out, text, strlen(text), error)
                                      : error_out_of_memory(error, "the description of CIFAR-10");
    free(text);
    json_decref(document);
    json_decref(distribution);
    json_decref(context);
    return status;
}
