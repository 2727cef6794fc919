/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The properties of org.identityd1.Identity: from a view that is made once for a question or a signal, however many of
 * them it has. */
#include "bus/internal.h"

#include <string.h>

void shown_begin(Shown *shown, const Identity *identity) {
    shown_clear(shown);
    shown->identity = identity;
}

void shown_clear(Shown *shown) {
    identity_view_clear(&shown->view);
    shown->is_viewed = false;
    shown->identity = NULL;
}

static int shown_view(Shown *shown, const IdentityView **ret) {
    if (!shown->is_viewed) {
        int r = identity_view(shown->identity, &shown->view);
        if (r < 0)
            return r;
        shown->is_viewed = true;
    }
    *ret = &shown->view;
    return 0;
}

static int append_list(sd_bus_message *reply, const BytesView *list, size_t count) {
    int r = sd_bus_message_open_container(reply, 'a', "ay");

    for (size_t i = 0; r >= 0 && i < count; i++)
        r = sd_bus_message_append_array(reply, 'y', list[i].data, list[i].size);
    return r < 0 ? r : sd_bus_message_close_container(reply);
}

/* Names in certificates are the CA's words, and may be no UTF-8: the bus would end our connection for that. */
static int append_text(sd_bus_message *reply, const char *text) {
    Failure clean = FAILURE_INIT;

    (void) failure_set(&clean, 0, FAILURE_INTERNAL, "%s", text); /* its texts are valid, and cut where overlong */
    return sd_bus_message_append(reply, "s", clean.text);
}

/* URLs and names are from certificates, too. */
static int append_peer_crl(sd_bus_message *reply, const PeerCrlShown *crl) {
    int r = sd_bus_message_open_container(reply, 'r', "ssttts");

    if (r >= 0)
        r = append_text(reply, crl->url);
    if (r >= 0)
        r = append_text(reply, crl->issuer);
    if (r >= 0)
        r = sd_bus_message_append(reply, "ttt", crl->this_update, crl->next_update, crl->next_fetch);
    if (r >= 0)
        r = append_text(reply, crl->error);
    return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int append_peer_crls(sd_bus_message *reply, const IdentityView *view) {
    int r = sd_bus_message_open_container(reply, 'a', "(ssttts)");

    for (size_t i = 0; r >= 0 && i < view->peer_crl_count; i++)
        r = append_peer_crl(reply, &view->peer_crls[i]);
    return r < 0 ? r : sd_bus_message_close_container(reply);
}

static const struct {
    const char *name;
    size_t offset;
} texts[] = {
    { "Name", offsetof(IdentityView, name) },
    { "State", offsetof(IdentityView, state) },
    { "Activity", offsetof(IdentityView, activity) },
    { "LastError", offsetof(IdentityView, last_error) },
    { "Subject", offsetof(IdentityView, subject) },
    { "Issuer", offsetof(IdentityView, issuer) },
    { "SerialNumber", offsetof(IdentityView, serial_number) },
    { "KeyAlgorithm", offsetof(IdentityView, key_algorithm) },
    { "ClockSource", offsetof(IdentityView, clock_source) },
}, times[] = {
    { "NotBefore", offsetof(IdentityView, not_before) },
    { "NotAfter", offsetof(IdentityView, not_after) },
    { "NextAttempt", offsetof(IdentityView, next_attempt) },
    { "NextRenewal", offsetof(IdentityView, next_renewal) },
    { "ClockFloor", offsetof(IdentityView, clock_floor) },
};

int identity_property(sd_bus *connection, const char *path, const char *interface, const char *name,
                      sd_bus_message *reply, void *userdata, sd_bus_error *error) {
    const IdentityView *view;
    int r = shown_view(userdata, &view);

    if (r < 0)
        return r;
    for (size_t i = 0; i < ARRAY_LENGTH(texts); i++)
        if (strcmp(name, texts[i].name) == 0)
            return append_text(reply, *(const char *const *) ((const char *) view + texts[i].offset));
    for (size_t i = 0; i < ARRAY_LENGTH(times); i++)
        if (strcmp(name, times[i].name) == 0)
            return sd_bus_message_append(reply, "t", *(const uint64_t *) ((const char *) view + times[i].offset));
    if (strcmp(name, "ReadyByItself") == 0)
        return sd_bus_message_append(reply, "b", (int) view->ready_by_itself);
    if (strcmp(name, "Generation") == 0)
        return sd_bus_message_append(reply, "u", view->generation);
    if (strcmp(name, "PublicKey") == 0)
        return sd_bus_message_append_array(reply, 'y', view->public_key.data, view->public_key.size);
    if (strcmp(name, "Certificates") == 0)
        return append_list(reply, view->certificates, view->certificate_count);
    if (strcmp(name, "PeerCRLs") == 0)
        return append_peer_crls(reply, view);
    return append_list(reply, view->anchors, view->anchor_count);
}
