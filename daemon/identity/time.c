/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which trust domain an identity is in, and the time there. */
#include "identity/time.h"

#include "device/build-time.h"
#include "device/device.h"
#include "identity/anchors.h"
#include "identity/generation.h"
#include "identity/parts.h"
#include "identity/record.h"
#include "rules/clock.h"

#include <stdio.h>
#include <string.h>

static Domains *domains_of(const Identity *identity) {
    return device_domains(identity->context->device);
}

int64_t identity_now(const Identity *identity) {
    return domain_now(domains_of(identity), identity->domain);
}

uint64_t identity_now_usec(const Identity *identity) {
    return domain_now_usec(domains_of(identity), identity->domain);
}

bool identity_clock_is_behind(const Identity *identity) {
    return domain_is_behind(domains_of(identity), identity->domain);
}

int64_t identity_time_to_verify(const Identity *identity, const Certificate *leaf) {
    int64_t now = identity_now(identity);

    return leaf ? clock_to_verify(now, identity_clock_is_behind(identity), leaf->not_before) : now;
}

int64_t identity_time_to_judge(const Identity *identity, const Certificate *certificate, int64_t made) {
    return clock_to_judge(identity_time_to_verify(identity, certificate), identity_clock_is_behind(identity), made);
}

void identity_learn_time(Identity *identity, int64_t instant, const char *source) {
    int64_t known = identity_clock_floor(identity);

    domain_learn(domains_of(identity), identity->domain, instant, source);
    /* What is kept is what counts by now: not an instant that lies beyond the time in use. */
    int64_t now = identity_now(identity);
    if (instant > now)
        instant = now;
    if (instant > known)
        identity_set_clock_floor(identity, instant); /* written with the next change of the state */
}

const char *identity_domain(const Identity *identity) {
    return identity->domain;
}

int identity_reset_clock(Identity *identity) {
    domain_reset(domains_of(identity), identity->domain);
    identity_set_clock_floor(identity, 0);
    identity_note(identity, CHANGED_PROPERTIES);
    return identity_save(identity);
}

void time_join_domain(Identity *identity) {
    char domain[DOMAIN_NAME_SIZE], source[128];
    int64_t floor =
        clock_floor_bounded(identity_clock_floor(identity), IDENTITYD_BUILD_TIME, identity_chain_end(identity));

    if (anchors_domain(identity, domain) < 0)
        return;
    (void) snprintf(source, sizeof source, "what %.60s has seen signed", identity->name);
    if (domain_join(domains_of(identity), domain, floor, source) >= 0)
        memcpy(identity->domain, domain, sizeof domain);
}
