/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Floors by trust domain. */
#include "device/domains.h"

#include "device/build-time.h"
#include "device/log.h"
#include "rules/clock.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define CLOCK_FILE      ".clock" /* no identity has such a name */
#define USEC_PER_SECOND 1000000ULL
#define BUILD_SOURCE    "the time at which identityd was built"

typedef struct Domain {
    char id[DOMAIN_ID_SIZE];
    ClockFloor floor;
    char source[DOMAIN_SOURCE_SIZE];
    bool is_behind;
} Domain;

struct Domains {
    int runtime_fd;
    Domain *list;
    size_t count;
};

uint64_t boottime_usec(void) {
    struct timespec now;

    (void) clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t) now.tv_sec * USEC_PER_SECOND + (uint64_t) now.tv_nsec / 1000U;
}

int64_t realtime_seconds(void) {
    struct timespec now;

    (void) clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec;
}

static uint64_t realtime_usec(void) {
    struct timespec now;

    (void) clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec < 0 ? 0 : (uint64_t) now.tv_sec * USEC_PER_SECOND + (uint64_t) now.tv_nsec / 1000U;
}

static Domain *find(const Domains *domains, const char *id) {
    for (size_t i = 0; i < domains->count; i++)
        if (strcmp(domains->list[i].id, id) == 0)
            return &domains->list[i];
    return NULL;
}

static Domain *add(Domains *domains, const char *id, const ClockFloor *floor, const char *source) {
    Domain *list = reallocarray(domains->list, domains->count + 1U, sizeof *list);

    if (!list)
        return NULL;
    domains->list = list;
    Domain *domain = &list[domains->count++];
    *domain = (Domain) { .floor = *floor };
    (void) snprintf(domain->id, sizeof domain->id, "%s", id);
    (void) snprintf(domain->source, sizeof domain->source, "%s", source);
    return domain;
}

static void judge(Domain *domain) {
    domain->is_behind = clock_is_behind(realtime_seconds(), &domain->floor, boottime_usec());
}

/* ---- the file ---- */

static int write_all(int fd, const Domains *domains) {
    for (size_t i = 0; i < domains->count; i++) {
        const Domain *domain = &domains->list[i];
        if (dprintf(fd, "%s %" PRId64 " %" PRIu64 " %s\n", domain->id, domain->floor.at, domain->floor.since,
                    domain->source) < 0)
            return -EIO;
    }
    return 0;
}

static void save(const Domains *domains) {
    int r = 0;
    _cleanup_close_ int fd =
        openat(domains->runtime_fd, CLOCK_FILE "~", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0)
        r = -errno;
    if (r >= 0)
        r = write_all(fd, domains);
    if (r >= 0 && renameat(domains->runtime_fd, CLOCK_FILE "~", domains->runtime_fd, CLOCK_FILE) < 0)
        r = -errno;
    if (r < 0)
        log_entry(LOG_WARNING, MESSAGE_STORAGE, NULL, "Cannot write the clock's floors to the runtime directory: %s.",
                  strerror(-r));
}

/* Lines that are not as written above are passed over: what they said is learned anew. */
static void load(Domains *domains) {
    _cleanup_close_ int fd = openat(domains->runtime_fd, CLOCK_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    FILE *f = fd >= 0 ? fdopen(fd, "re") : NULL;
    char line[DOMAIN_ID_SIZE + DOMAIN_SOURCE_SIZE + 64U];

    if (!f)
        return;
    (void) TAKE_FD(fd);
    while (fgets(line, sizeof line, f)) {
        char id[DOMAIN_ID_SIZE], source[DOMAIN_SOURCE_SIZE];
        ClockFloor floor;
        if (sscanf(line, "%64[0-9a-f] %" SCNd64 " %" SCNu64 " %95[^\n]", id, &floor.at, &floor.since, source) != 4 ||
            floor.at < IDENTITYD_BUILD_TIME || floor.at >= CLOCK_MAX || floor.since > boottime_usec() ||
            find(domains, id) || !add(domains, id, &floor, source))
            continue;
    }
    (void) fclose(f);
}

int domains_new(int runtime_fd, Domains **ret) {
    Domains *domains = calloc(1, sizeof *domains);

    if (!domains)
        return -ENOMEM;
    domains->runtime_fd = runtime_fd;
    load(domains);
    domains_judge(domains);
    *ret = domains;
    return 0;
}

Domains *domains_free(Domains *domains) {
    if (!domains)
        return NULL;
    free(domains->list);
    free(domains);
    return NULL;
}

/* ---- floors ---- */

int domain_join(Domains *domains, const char *id, int64_t floor, const char *source) {
    Domain *domain = find(domains, id);
    uint64_t boot = boottime_usec();
    /* Not "since boot": software may be built, and certificates issued, during this very boot. */
    const ClockFloor build = { IDENTITYD_BUILD_TIME, boot };

    if (!domain)
        domain = add(domains, id, &build, BUILD_SOURCE);
    if (!domain)
        return -ENOMEM;
    if (floor < CLOCK_MAX && floor > clock_floor_now(&domain->floor, boot)) {
        domain->floor = (ClockFloor) { floor, boot };
        (void) snprintf(domain->source, sizeof domain->source, "%s", source);
        save(domains);
    }
    judge(domain);
    return 0;
}

void domains_judge(Domains *domains) {
    for (size_t i = 0; i < domains->count; i++)
        judge(&domains->list[i]);
}

bool domains_any_is_behind(const Domains *domains) {
    for (size_t i = 0; i < domains->count; i++)
        if (domains->list[i].is_behind)
            return true;
    return false;
}

int64_t domain_now(const Domains *domains, const char *id) {
    const Domain *domain = find(domains, id);
    uint64_t boot = boottime_usec();
    const ClockFloor build = { IDENTITYD_BUILD_TIME, boot };

    return clock_in_use(realtime_seconds(), domain ? &domain->floor : &build, boot);
}

uint64_t domain_now_usec(const Domains *domains, const char *id) {
    uint64_t real = realtime_usec(), floor = (uint64_t) domain_now(domains, id) * USEC_PER_SECOND;

    return real > floor ? real : floor;
}

bool domain_is_behind(const Domains *domains, const char *id) {
    const Domain *domain = find(domains, id);

    return domain && domain->is_behind;
}

void domain_learn(Domains *domains, const char *id, int64_t instant, const char *source) {
    Domain *domain = find(domains, id);

    if (!domain)
        return;
    const ClockNow now = { realtime_seconds(), boottime_usec(), domain->is_behind };
    if (!clock_learn(&domain->floor, &now, instant, &domain->floor))
        return;
    (void) snprintf(domain->source, sizeof domain->source, "%s", source);
    save(domains);
}

void domain_reset(Domains *domains, const char *id) {
    Domain *domain = find(domains, id);

    if (!domain)
        return;
    domain->floor = (ClockFloor) { IDENTITYD_BUILD_TIME, boottime_usec() };
    (void) snprintf(domain->source, sizeof domain->source, BUILD_SOURCE);
    judge(domain);
    save(domains);
}

bool domain_view(const Domains *domains, const char *id, DomainView *ret) {
    const Domain *domain = find(domains, id);

    if (!domain)
        return false;
    *ret = (DomainView) { domain->id, clock_floor_now(&domain->floor, boottime_usec()), domain->source,
                          domain->is_behind };
    return true;
}
