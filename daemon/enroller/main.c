/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* identityd-enroller: one connection, one job, then it ends (docs/design.md §1). The connection comes from systemd
 * (Accept=yes) or systemd-socket-activate as descriptor 3, or as standard input. `--fetch` is the second role, which
 * has no credential. Exit status: 0 when a result or failure was delivered, 1 when not, 2 for wrong usage. */
#include "enroller/alone.h"
#include "enroller/est.h"
#include "enroller/fetch.h"

#include <curl/curl.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>

static int complain(const char *text) {
    (void) fprintf(stderr, SD_ERR "identityd-enroller: %s\n", text);
    return EXIT_FAILURE;
}

/* The sandbox is the unit's; this much holds without one as well. The environment goes, so that no variable configures
 * a proxy, a resolver or a log of TLS keys; what libcurl frees without erasing (the password) is overwritten. Other
 * jobs of the same user are out of reach. */
static int harden(void) {
    const struct rlimit no_core = { 0, 0 };

    if (prctl(PR_SET_DUMPABLE, 0) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        setrlimit(RLIMIT_CORE, &no_core) < 0 || clearenv() != 0)
        return -errno;
    (void) umask(0077);
    (void) mallopt(M_PERTURB, 0xa5);
    return alone_enforce();
}

/* -EINVAL: not exactly one connection, or none of ours. */
static int take_connection(void) {
    int count = sd_listen_fds(1);
    int fd = count == 1 ? SD_LISTEN_FDS_START : STDIN_FILENO;

    if (count < 0 || count > 1 || sd_is_socket(fd, AF_UNIX, SOCK_SEQPACKET, 0) <= 0)
        return -EINVAL;
    return fd;
}

static int run_est(const EnrollJob *job, Channel *channel, EnrollFault *fault) {
    _cleanup_est_answer_ EstAnswer answer = { 0 };

    int r = est_run(job, channel, &answer, fault);
    if (r < 0) {
        /* The server's certificate may have been refused as well: that is not what the bus calls CertificateRejected.
         */
        fault->failure.kind = fault->is_rejection ? FAILURE_CERTIFICATE_REJECTED : FAILURE_ENROLLMENT_FAILED;
        return channel_send_failure(channel, &fault->failure, !fault->is_permanent, fault->retry_after);
    }
    EnrollResult result = {
        .issued = bytes_view(&answer.issued),
        .cacerts = bytes_view(&answer.cacerts),
        .server_chain = bytes_view(&answer.server_chain),
        .is_later = answer.is_later,
        .later = answer.later,
        .server = answer.server,
        .tls = answer.tls[0] ? answer.tls : NULL,
        .has_clock = answer.has_clock,
        .clock_ahead = answer.clock_ahead,
    };
    return channel_send_result(channel, &result);
}

static int run_fetch(const EnrollJob *job, Channel *channel, EnrollFault *fault) {
    _cleanup_bytes_ Bytes fetched = BYTES_NULL;
    const char *url = NULL;

    int r = fetch_run(job, channel, &fetched, &url, fault);
    if (r < 0)
        return channel_send_failure(channel, &fault->failure, !fault->is_permanent, fault->retry_after);
    return channel_send_result(channel, &(EnrollResult) { .fetched = bytes_view(&fetched), .server = url });
}

static int run(int fd, EnrollRole role) {
    _cleanup_(channel_free_p) Channel *channel = NULL;
    _cleanup_(enroll_job_free_p) EnrollJob *job = NULL;
    EnrollFault fault = ENROLL_FAULT_INIT;

    int r = channel_new(fd, &channel);
    if (r < 0)
        return r;
    r = channel_receive_job(channel, role, &job, &fault.failure);
    if (r == -ETIMEDOUT || r == -ECONNRESET)
        return r; /* nobody is there to be told */
    if (r < 0)
        return channel_send_failure(channel, &fault.failure, false, 0);
    return role == ENROLL_ROLE_FETCH ? run_fetch(job, channel, &fault) : run_est(job, channel, &fault);
}

int main(int argc, char *argv[]) {
    EnrollRole role = ENROLL_ROLE_EST;

    if (argc == 2 && strcmp(argv[1], "--fetch") == 0)
        role = ENROLL_ROLE_FETCH;
    else if (argc == 2 && strcmp(argv[1], "--version") == 0)
        return puts("identityd-enroller " IDENTITYD_VERSION) < 0;
    else if (argc != 1) {
        (void) complain("usage: identityd-enroller [--fetch|--version], started by identityd-enroller.socket");
        return 2;
    }
    int fd = take_connection();
    if (fd < 0) {
        (void) complain("expected one connected SOCK_SEQPACKET socket, as identityd-enroller.socket passes it");
        return 2;
    }
    if (harden() < 0)
        return complain("the process could not be hardened");
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return complain("libcurl could not be initialised");
    int r = run(fd, role);
    curl_global_cleanup();
    if (r < 0)
        return complain(strerror(-r));
    return EXIT_SUCCESS;
}
