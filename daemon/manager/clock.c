/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The time that certificates are judged by (DESIGN §10): the system clock, but never earlier than what is certainly
 * past. The floor is kept together with the boot time at which it was learned, in the runtime directory, which lives
 * exactly as long as a boot: so that neither a restart of the daemon nor a renewal in the middle of a boot adds the
 * uptime twice. */
#include "manager/internal.h"

#include "manager/build-time.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define CLOCK_MAX   (INT32_MAX * 100LL) /* what lies later is no instant that anybody has seen */
#define CLOCK_FILE  ".clock"            /* no identity has such a name */
#define BOOT_MARK   ".clock-was-behind"
#define CLOCK_SKEW  300 /* seconds that the CA's clock may be ahead of ours: not every CA backdates what it issues */
#define CLOCK_SLACK 60  /* seconds that the system clock may be behind a floor before it counts as wrong */

uint64_t boottime_usec(void) {
    struct timespec now;

    (void) clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t) now.tv_sec * USEC_PER_SECOND + (uint64_t) now.tv_nsec / 1000U;
}

static uint64_t realtime_usec(void) {
    struct timespec now;

    (void) clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec < 0 ? 0 : (uint64_t) now.tv_sec * USEC_PER_SECOND + (uint64_t) now.tv_nsec / 1000U;
}

uint64_t manager_now_usec(Manager *manager) {
    Clock *clock = &manager->clock;
    uint64_t floor = (uint64_t) clock->floor * USEC_PER_SECOND + (boottime_usec() - clock->floor_since),
             real = realtime_usec();

    clock->below_floor = real + CLOCK_SLACK * USEC_PER_SECOND < floor;
    return real > floor ? real : floor;
}

int64_t manager_now(Manager *manager) {
    return (int64_t) (manager_now_usec(manager) / USEC_PER_SECOND);
}

int64_t manager_verification_time(Manager *manager, const Certificate *leaf) {
    int64_t now = manager_now(manager);
    bool is_early =
        leaf && leaf->not_before > now && (manager->clock.below_floor || leaf->not_before <= now + CLOCK_SKEW);

    return is_early ? leaf->not_before : now;
}

static int clock_save(Manager *manager) {
    char line[64];
    _cleanup_close_ int fd =
        openat(manager->runtime_fd, CLOCK_FILE "~", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (fd < 0)
        return -errno;
    int size =
        snprintf(line, sizeof line, "%" PRId64 " %" PRIu64 "\n", manager->clock.floor, manager->clock.floor_since);
    if (write(fd, line, (size_t) size) != size)
        return -EIO;
    return renameat(manager->runtime_fd, CLOCK_FILE "~", manager->runtime_fd, CLOCK_FILE) < 0 ? -errno : 0;
}

void clock_learn(Manager *manager, int64_t instant) {
    Clock *clock = &manager->clock;
    uint64_t boot = boottime_usec();
    int64_t floor_now = clock->floor + (int64_t) ((boot - clock->floor_since) / USEC_PER_SECOND);

    if (instant <= floor_now || instant >= CLOCK_MAX)
        return;
    clock->floor = instant;
    clock->floor_since = boot;
    int r = clock_save(manager);
    if (r < 0)
        log_entry(LOG_WARNING, MESSAGE_STORAGE, NULL, "Cannot write the clock's floor to the runtime directory: %s.",
                  strerror(-r));
}

int clock_load(Manager *manager) {
    char line[64] = "";
    int64_t floor;
    uint64_t since;

    /* Not "since boot": software may be built, and certificates issued, during this very boot. */
    manager->clock = (Clock) { .floor = IDENTITYD_BUILD_TIME, .floor_since = boottime_usec() };
    _cleanup_close_ int fd = openat(manager->runtime_fd, CLOCK_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return 0;
    ssize_t size = read(fd, line, sizeof line - 1U);
    if (size > 0 && sscanf(line, "%" SCNd64 " %" SCNu64, &floor, &since) == 2 && floor >= manager->clock.floor &&
        floor < CLOCK_MAX && since <= boottime_usec())
        manager->clock = (Clock) { .floor = floor, .floor_since = since };
    return 0;
}

void clock_plan_boot_renewal(Manager *manager) {
    (void) manager_now(manager);
    if (!manager->clock.below_floor)
        return;
    _cleanup_close_ int fd = openat(manager->runtime_fd, BOOT_MARK, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) /* done already in this boot */
        return;
    log_entry(LOG_WARNING, MESSAGE_CLOCK, NULL,
              "The system clock is behind what is certainly past: dates are judged by the latest known instant, and "
              "one renewal and "
              "one revocation check are tried in this boot.");
    for (size_t i = 0; i < manager->identity_count; i++) {
        manager->identities[i]->boot_renewal_due = manager->identities[i]->generation > 0;
        manager->identities[i]->next_check = 0;
    }
}
