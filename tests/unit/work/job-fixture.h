/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A job whose enroller is the test. */
#pragma once

#include "work/job.h"

#include "common/tlv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

typedef struct Fixture {
    char directory[64], path[96];
    int listener, peer;
    JobLoop loop;
    PacketBuffer peer_buffer;
    Job *job;
    uint8_t kind;
    bool allow_tls12;
    unsigned questions, results, failures;
    bool permanent;
    uint32_t after;
    Failure failure;
    char steps[128];
    size_t issued_size;
    bool later;
    char *server; /* of the result */
} Fixture;

int job_setup(void **state);
int job_teardown(void **state);
/* Begins a job and takes its connection. */
void job_begin(Fixture *f, uint8_t kind, bool allow_tls12);
void job_begin_with(Fixture *f, uint8_t kind, bool allow_tls12, const JobCallbacks *with);
extern const JobCallbacks job_callbacks;
/* Turns the loop until nothing comes. */
void job_run(Fixture *f);
/* `fd`: -1 for none. */
void send_packet(Fixture *f, uint8_t type, uint16_t scheme, BytesView body, int fd);
/* It ended with one failure, and that says `text`. */
void assert_broken(Fixture *f, const char *text);
