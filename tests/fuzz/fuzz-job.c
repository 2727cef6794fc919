/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The body of a job, in both roles, with two descriptors beside it. */
#include "fuzz.h"

#include "enroller/enroll-job.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static int files[2] = { -1, -1 }; /* kept: made once */
    Packet packet = PACKET_INIT;

    for (unsigned i = 0; i < 2 && files[i] < 0; i++) {
        _cleanup_bytes_ Bytes pem = BYTES_NULL;

        require(bytes_read_file(SEEDS "/bundle.pem", 1U << 16, &pem) == 0);
        files[i] = bytes_to_memfd("fuzz", bytes_view(&pem));
        require(files[i] >= 0);
    }
    packet.header.type = JOB_PACKET_JOB;
    packet.payload = (BytesView) { data, size };
    for (packet.fd_count = 0; packet.fd_count <= 2; packet.fd_count++) {
        for (size_t i = 0; i < packet.fd_count; i++)
            packet.fds[i] = files[i];
        for (EnrollRole role = ENROLL_ROLE_EST; role <= ENROLL_ROLE_FETCH; role++) {
            _cleanup_(enroll_job_free_p) EnrollJob *job = NULL;
            Failure failure = FAILURE_INIT;

            if (enroll_job_parse(&packet, role, &job, &failure) < 0) {
                require(!job && failure.text[0]);
                continue;
            }
            require(job->server_count > 0 && (job->kind == JOB_KIND_FETCH) == (role == ENROLL_ROLE_FETCH));
            require(role == ENROLL_ROLE_FETCH || job->server_anchors.count > 0 || job->has_fingerprint);
            require(!job->user == !job->password && (job->client_chain.count > 0) == (job->scheme_count > 0));
        }
    }
    return 0;
}
