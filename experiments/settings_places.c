#include "experiments/settings_places.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/build_info.h"

void settings_folders(const char *folders[SETTINGS_FOLDERS])
{
    folders[0] = getenv("SELFSAME_EXPERIMENTS");
    build_folders(BUILD_EXPERIMENTS, folders + 1);
}

const char *settings_folder(void)
{
    const char *folders[SETTINGS_FOLDERS];
    settings_folders(folders);
    for (size_t i = 0; i < SETTINGS_FOLDERS; i++) {
        if (folders[i] != NULL && folders[i][0] != '\0' && file_is_folder(folders[i]))
            return folders[i];
    }
    return NULL;
}

enum status settings_names(struct names *names, struct error *error)
{
    const char *folder = settings_folder();
    *names = (struct names){ .list = NULL };
    return folder != NULL ? names_read(folder, names, error) : STATUS_OK;
}

static bool is_file(const char *path)
{
    return file_exists(path) && !file_is_folder(path);
}

/* Unchanged, else with the missing ending. */
static enum status look_at(const char *folder, int length, const char *path, char found[FILE_PATH_BYTES],
                           struct error *error)
{
    enum status status =
        length > 0 ? file_path(found, error, "%.*s/%s", length, folder, path) : file_path(found, error, "%s", path);
    if (status != STATUS_OK || is_file(found))
        return status;
    char ended[FILE_PATH_BYTES];
    status = file_path(ended, error, "%s.yaml", found);
    if (status == STATUS_OK && is_file(ended))
        memcpy(found, ended, FILE_PATH_BYTES);
    return status;
}

static enum status not_found(const char *path, const char *found, struct error *error)
{
    char hint[1024] = "";
    const char *folder = settings_folder();
    struct names names;
    struct error ignored;
    if (folder == NULL)
        return error_set(error, STATUS_INPUT,
                         "there is no manifest %s, and no experiments folder; set SELFSAME_EXPERIMENTS to the folder "
                         "that came with selfsame",
                         found);
    if (names_read(folder, &names, &ignored) == STATUS_OK) {
        names_suggest(&names, path, hint, sizeof hint);
        names_free(&names);
    }
    const bool twice = strcmp(found, path) != 0;
    return error_set(error, STATUS_INPUT, "there is no manifest %s, %s%s in the experiments folder %s%s", found,
                     twice ? "nor one called " : "here or", twice ? path : "", folder,
                     hint[0] != '\0' ? hint : "; name its file");
}

enum status settings_find_installed(const char *path, char found[FILE_PATH_BYTES], struct error *error)
{
    const char *folders[SETTINGS_FOLDERS];
    settings_folders(folders);
    for (size_t i = 0; i < SETTINGS_FOLDERS && path[0] != '/'; i++) {
        if (folders[i] == NULL || folders[i][0] == '\0')
            continue;
        enum status status = look_at(folders[i], (int)strlen(folders[i]), path, found, error);
        if (status != STATUS_OK || is_file(found))
            return status;
    }
    found[0] = '\0';
    return STATUS_OK;
}

enum status settings_find(const char *path, const char *from, char found[FILE_PATH_BYTES], struct error *error)
{
    char here[FILE_PATH_BYTES];
    const char *slash = from != NULL && path[0] != '/' ? strrchr(from, '/') : NULL;
    enum status status = look_at(from, slash != NULL ? (int)(slash - from) : 0, path, here, error);
    if (status == STATUS_OK && is_file(here))
        memcpy(found, here, FILE_PATH_BYTES);
    else if (status == STATUS_OK)
        status = settings_find_installed(path, found, error);
    return status == STATUS_OK && found[0] == '\0' ? not_found(path, here, error) : status;
}
