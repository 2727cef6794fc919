/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which identities the token shows. identityd is asked without the module's lock, so that a slow answer holds up nobody
 * who only uses what is known; `refresh` keeps those who ask in a row. */
#include "client-lib/connection.h"
#include "client-lib/credential.h"
#include "client-lib/open.h"
#include "client-lib/pkcs11/module.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#define REFRESH_EVERY (UINT64_C(1) * 1000000)  /* µs */
#define RETRY_DENIED  (UINT64_C(10) * 1000000) /* µs */
#define WAIT_MS       1000

static void token_entry_clear(TokenEntry *entry) {
    for (size_t i = 0; i < entry->view_count; i++)
        view_unref(entry->views[i]);
    entry_unref(entry->entry);
    *entry = (TokenEntry) { .entry = NULL };
}

void token_clear(Token *token) {
    for (size_t i = 0; i < token->count; i++)
        token_entry_clear(&token->entries[i]);
    *token = (Token) { .last_view = token->last_view };
}

View *token_find(const Token *token, CK_OBJECT_HANDLE handle, size_t *ret_index) {
    if (handle == 0)
        return NULL;
    CK_OBJECT_HANDLE number = (handle - 1) / OBJECTS_PER_VIEW, index = (handle - 1) % OBJECTS_PER_VIEW;
    for (size_t i = 0; i < token->count; i++)
        for (size_t v = 0; v < token->entries[i].view_count; v++) {
            View *view = token->entries[i].views[v];
            if (view->number == number && index < view->object_count) {
                *ret_index = index;
                return view_ref(view);
            }
        }
    return NULL;
}

/* ---- what identityd says, gathered without the lock ---- */

typedef struct News {
    bool present;
    char serial[SERIAL_MAX + 1]; /* "": as it was */
    struct {
        Entry *entry;
        identityd_snapshot *snapshot; /* NULL: no objects */
    } items[ENTRIES_MAX];
    size_t count;
} News;

static void news_clear(News *news) {
    for (size_t i = 0; i < news->count; i++) {
        entry_unref(news->items[i].entry);
        identityd_snapshot_free(news->items[i].snapshot);
    }
}

static Entry *known_entry(Module *module, const char *name) {
    Entry *found = NULL;

    module_lock(module);
    for (size_t i = 0; i < module->token.count && !found; i++)
        if (strcmp(module->token.entries[i].entry->name, name) == 0)
            found = entry_ref(module->token.entries[i].entry);
    module_unlock(module);
    return found;
}

static Entry *entry_new(const char *name) {
    Entry *entry = calloc(1, sizeof(*entry));

    if (!entry)
        return NULL;
    entry->references = 1;
    entry->name = strdup(name);
    return entry->name ? entry : entry_unref(entry);
}

/* Opens the identity, unless that was refused a short time ago; what it is now, or NULL. Only called under `refresh`,
 * and `credential` is set once: what else has a view of this entry has one that is open. */
static identityd_snapshot *look_at(Entry *entry, uint64_t deadline) {
    identityd_snapshot *snapshot = NULL;
    uint64_t now = connection_now();

    if (!entry->credential) {
        if (now < entry->retry_at)
            return NULL;
        if (credential_open_until(entry->name, "digest", deadline, &entry->credential) < 0) {
            entry->retry_at = connection_now() + RETRY_DENIED;
            return NULL;
        }
    }
    (void) identityd_credential_process(entry->credential); /* its descriptor is not readable after this */
    if (credential_use_until(entry->credential, deadline, &snapshot) < 0)
        return NULL;
    if (snapshot->generation == 0 || snapshot->chain.size == 0)
        return identityd_snapshot_free(snapshot);
    return snapshot;
}

/* What C_Finalize does not wait for any more is left out; nobody will take it in. */
static void gather(Module *module, News *news) {
    _cleanup_(open_names_free) OpenNames names = { .count = 0 };
    uint64_t deadline = connection_now() + OPEN_SECONDS * UINT64_C(1000000);
    char id[OPEN_DEVICE_ID_MAX + 1];

    news->present = open_list_identities(&names) >= 0;
    if (news->present && !module->token.serial[0] && open_device_id(id) >= 0) /* only written under `refresh` */
        (void) snprintf(news->serial, sizeof(news->serial), "%.*s", (int) SERIAL_MAX, id);
    for (size_t i = 0; i < names.count && news->count < ENTRIES_MAX && module_get(); i++) {
        Entry *entry = known_entry(module, names.names[i]);
        if (!entry)
            entry = entry_new(names.names[i]);
        if (!entry)
            continue;
        news->items[news->count].entry = entry;
        news->items[news->count++].snapshot = look_at(entry, deadline);
    }
}

/* ---- taking it in, under the lock ---- */

static bool view_is_of(const View *view, const identityd_snapshot *snapshot) {
    return view->snapshot->generation == snapshot->generation &&
           bytes_view_equal(bytes_view(&view->snapshot->chain), bytes_view(&snapshot->chain));
}

/* Puts the view of a new generation before the older ones, the oldest of which goes if there are too many. */
static void push_view(Token *token, TokenEntry *entry, identityd_snapshot *snapshot) {
    View *view = NULL;

    if (view_new(entry->entry, snapshot, ++token->last_view, &view) < 0) {
        entry->listed = false;
        return;
    }
    if (entry->view_count == VIEWS_MAX)
        view_unref(entry->views[--entry->view_count]);
    memmove(&entry->views[1], &entry->views[0], entry->view_count * sizeof(entry->views[0]));
    entry->views[0] = view;
    entry->view_count++;
    entry->listed = true;
    token->event = true;
}

static void update_entry(Token *token, TokenEntry *entry, identityd_snapshot *snapshot) {
    bool listed = entry->listed;

    if (!snapshot)
        entry->listed = false;
    else if (entry->view_count > 0 && view_is_of(entry->views[0], snapshot))
        entry->listed = true;
    else
        push_view(token, entry, snapshot);
    token->event = token->event || listed != entry->listed;
}

static TokenEntry *find_or_add(Token *token, Entry *entry) {
    for (size_t i = 0; i < token->count; i++)
        if (token->entries[i].entry == entry)
            return &token->entries[i];
    if (token->count == ENTRIES_MAX)
        return NULL;
    token->entries[token->count] = (TokenEntry) { .entry = entry_ref(entry) };
    return &token->entries[token->count++];
}

static bool is_in(const News *news, const Entry *entry) {
    for (size_t i = 0; i < news->count; i++)
        if (news->items[i].entry == entry)
            return true;
    return false;
}

static void take_in(Token *token, const News *news) {
    size_t kept = 0;

    for (size_t i = 0; news->present && i < token->count; i++) {
        if (is_in(news, token->entries[i].entry))
            token->entries[kept++] = token->entries[i];
        else {
            token->event = token->event || token->entries[i].listed;
            token_entry_clear(&token->entries[i]);
        }
    }
    if (news->present)
        token->count = kept;
    for (size_t i = 0; i < news->count; i++) {
        TokenEntry *entry = find_or_add(token, news->items[i].entry);
        if (entry)
            update_entry(token, entry, news->items[i].snapshot);
    }
    if (news->serial[0])
        memcpy(token->serial, news->serial, sizeof(token->serial));
    token->event = token->event || token->present != news->present;
    token->present = news->present;
    token->refreshed_at = connection_now();
}

/* References to the entries that are open; how many. */
static size_t open_entries(Module *module, Entry *ret[static ENTRIES_MAX]) {
    size_t count = 0;

    module_lock(module);
    for (size_t i = 0; i < module->token.count; i++)
        if (module->token.entries[i].view_count > 0)
            ret[count++] = entry_ref(module->token.entries[i].entry);
    module_unlock(module);
    return count;
}

/* What has come on the handles, without waiting: after a renewal a search finds the new certificate at once. */
static bool something_changed(Module *module) {
    Entry *entries[ENTRIES_MAX];
    size_t count = open_entries(module, entries);
    bool changed = false;

    for (size_t i = 0; i < count; i++) {
        changed = identityd_credential_process(entries[i]->credential) == 1 || changed;
        entry_unref(entries[i]);
    }
    return changed;
}

static bool is_due(Module *module) {
    module_lock(module);
    uint64_t last = module->token.refreshed_at;
    module_unlock(module);
    return last == 0 || connection_now() - last >= REFRESH_EVERY;
}

void token_refresh(Module *module, bool now) {
    News news = { .count = 0 };

    if (!module_go_inside(module))
        return;
    pthread_mutex_lock(&module->shared->refresh);
    if (module_get() && (now || is_due(module) || something_changed(module))) {
        gather(module, &news);
        module_lock(module);
        take_in(&module->token, &news);
        module_unlock(module);
        news_clear(&news);
    }
    pthread_mutex_unlock(&module->shared->refresh);
    module_come_out(module);
}

void token_wait(Module *module, int wake_fd) {
    struct pollfd items[ENTRIES_MAX + 1] = { { .fd = wake_fd, .events = POLLIN } };
    Entry *entries[ENTRIES_MAX];
    size_t count = open_entries(module, entries);

    for (size_t i = 0; i < count; i++)
        items[i + 1] = (struct pollfd) { .fd = identityd_credential_fd(entries[i]->credential), .events = POLLIN };
    (void) poll(items, count + 1, WAIT_MS);
    for (size_t i = 0; i < count; i++)
        entry_unref(entries[i]);
}
