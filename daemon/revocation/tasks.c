/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From certificates and configuration to a list of fetches. */
#include "revocation/tasks.h"

#include "device/log.h"
#include "revocation/judge.h"

#include <string.h>

void tasks_clear(CheckTasks *tasks) {
    for (size_t i = 0; i < tasks->count; i++)
        strings_free(tasks->list[i].urls);
    *tasks = (CheckTasks) { .count = 0 };
}

/* What is more than can be asked is left out, and said. */
static bool has_room(const Identity *identity, CheckTasks *tasks) {
    if (tasks->count < TASKS_MAX)
        return true;
    if (!tasks->is_cut)
        log_entry(LOG_WARNING, MESSAGE_CHECK_FAILED, identity_name(identity),
                  "More than %u CRLs and OCSP answers are to be fetched; the others are left out.", TASKS_MAX);
    tasks->is_cut = true;
    return false;
}

static int add_crl(const Identity *identity, CheckTasks *tasks, const CheckTask *task /* its URLs are taken */) {
    if (!has_room(identity, tasks)) {
        strings_free(task->urls);
        return 0;
    }
    CheckTask *added = &tasks->list[tasks->count++];
    *added = *task;
    return crl_id(identity_chain(identity)->list[task->position]->issuer_raw, task->urls[0], added->id);
}

/* CRL= of the configuration, unless it is what the leaf names itself. */
static int add_configured_crl(const Identity *identity, CheckTasks *tasks, const char *url) {
    for (size_t i = 0; i < tasks->count; i++)
        if (!tasks->list[i].ocsp && strcmp(tasks->list[i].urls[0], url) == 0)
            return 0;
    char **urls = calloc(2, sizeof *urls);
    if (urls)
        urls[0] = strdup(url);
    if (!urls || !urls[0]) {
        free(urls);
        return -ENOMEM;
    }
    return add_crl(identity, tasks, &(CheckTask) { .any = true, .urls = urls });
}

static int add_crls(const Identity *identity, CheckTasks *tasks, size_t position) {
    _cleanup_(strings_free_p) char **urls = NULL;
    int r = certificate_crl_urls(identity_chain(identity)->list[position], &urls);

    if (r >= 0 && urls && urls[0])
        r = add_crl(identity, tasks, &(CheckTask) { .position = position, .urls = TAKE_PTR(urls) });
    for (char **url = identity_config(identity)->crl_urls; r >= 0 && position == 0 && url && *url; url++)
        r = add_configured_crl(identity, tasks, *url);
    return r;
}

static int add_responders(const Identity *identity, CheckTasks *tasks, size_t position) {
    char **urls = NULL;
    int r = certificate_ocsp_urls(identity_chain(identity)->list[position], &urls);

    if (r >= 0 && urls && urls[0] && has_room(identity, tasks))
        tasks->list[tasks->count++] = (CheckTask) { .position = position, .ocsp = true, .urls = urls };
    else
        strings_free(urls);
    return r;
}

int tasks_collect(const Identity *identity, CheckTasks *ret) {
    const IdentityConfig *config = identity_config(identity);
    int r = 0;

    *ret = (CheckTasks) { .count = 0 };
    for (size_t i = 0; r >= 0 && i < identity_chain(identity)->count; i++) {
        if (!judge_issuer_of(identity, i))
            continue;
        if (config->check_crl)
            r = add_crls(identity, ret, i);
        if (r >= 0 && config->check_ocsp)
            r = add_responders(identity, ret, i);
    }
    if (r < 0)
        tasks_clear(ret);
    return r;
}

static bool is_asked_for(const CheckTasks *tasks, const char *id) {
    for (size_t i = 0; i < tasks->count; i++)
        if (!tasks->list[i].ocsp && strcmp(tasks->list[i].id, id) == 0)
            return true;
    return false;
}

void tasks_forget_others(const Identity *identity, const CheckTasks *tasks) {
    _cleanup_(strings_free_p) char **ids = NULL;
    Failure failure = FAILURE_INIT;

    if (tasks->is_cut || store_crl_list(identity_store(identity), &ids, &failure) < 0)
        return;
    for (char **id = ids; id && *id; id++)
        if (!is_asked_for(tasks, *id) && store_crl_remove(identity_store(identity), *id, &failure) < 0)
            log_entry(LOG_WARNING, MESSAGE_STORAGE, identity_name(identity), "%s", failure.text);
}
