/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the packets of an enroller say. A strict reader: a field that this kind of packet, or of job, does not have, one
 * that is there twice, one of another size, and a descriptor that no field names are refused, so that nothing which is
 * not understood here can count for something later. */
#pragma once

#include "work/job.h"

/* A Result of a job of that `kind`. `ret` is to be cleared with job_result_clear, also on failure. -EBADMSG: not as
 * agreed; -EFBIG, -EPERM: a file is too large, or not sealed; -ENOMEM. */
int job_read_result(const Packet *packet, uint8_t kind, JobResult *ret);
void job_result_clear(JobResult *result);

typedef struct JobFailure {
    char text[FAILURE_TEXT_MAX];
    bool permanent, rejected;
    uint32_t after; /* seconds; 0: not said */
} JobFailure;

/* A Failure. -EBADMSG, -ENOMEM. */
int job_read_failure(const Packet *packet, JobFailure *ret);

/* A CreateRequest, into the fields of `ret` that are its own. The strings are owned by `texts`, each to be freed, also
 * on failure. -EBADMSG, -ENOMEM. */
int job_read_create(const Packet *packet, JobQuestion *ret, char *texts[static JOB_EKU_MAX]);

/* The step of a Progress, harmless to show: an owned string. -EBADMSG: none, too long, or more than that; -ENOMEM. */
int job_read_step(const Packet *packet, size_t maximum, char **ret);
