/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Something on a private bus that answers idctl as identityd would, or as it must not, and a verb run against it. The
 * service's thread lives only while a verb runs, so that a test may change everything between two runs. */
#pragma once

#include "idctl/verbs.h"
#include "said.h"

#include <gnutls/gnutls.h>
#include <systemd/sd-bus.h>

/* One row of ListIdentities. */
typedef struct ServiceRow {
    const char *name, *state, *activity;
    uint64_t not_after, next_renewal;
} ServiceRow;

typedef struct Service Service;

/* What is called in the service's thread. */
typedef void (*ServiceHook)(Service *service, const char *member);

/* What is answered. All of it is borrowed. */
typedef struct ServiceAnswers {
    const char *refused, *error, *message; /* this method, or "Get", gets the error */
    const char *garbled;                   /* this method is answered with a number */
    const char *untold;                    /* a property that GetAll leaves out */

    /* The only identity, "x". NULL: "". */
    const char *state, *activity, *last_error, *clock_source;
    uint32_t generation;
    uint64_t not_after, next_attempt;   /* µs since the epoch */
    gnutls_datum_t certificate, anchor; /* DER; empty: none */

    const ServiceRow *rows; /* end with a NULL name; NULL: none */
    const ServiceRow *rows_after_reload;
    const char *const *forgotten;
    const char *tpm_problem, *metrics, *request;
    const char *const (*manager)[2]; /* properties of the Manager that Get is asked for, and their values; end with
                                        NULL; what is not among them is tpm_problem */
    const char *probed;              /* what ProbeServer reports */
    uint64_t not_before;             /* µs; 0: not told */
    ServiceHook before_reply, after_reply;
} ServiceAnswers;

struct Service {
    ServiceAnswers answers;
    bool reloaded;
    const char *property;     /* that Get asks for */
    char asked[1024];         /* methods that do something, with their arguments: "Enroll new-key=true;" */
    unsigned interactive;     /* how many of these may have somebody asked for a password */
    Said out, err;            /* of the last run */
    const char *typed;        /* standard input and error are a terminal on which this is typed; NULL: neither is */
    char terminal[4096];      /* what that terminal showed, what was typed among it */
    struct ServiceBus *inner; /* of service.c */
};

/* Sets DBUS_SYSTEM_BUS_ADDRESS for this process. */
Service *service_new(void);
Service *service_free(Service *service);

/* Runs one command line, words between single spaces, against these answers. What it prints is in out.text and
 * err.text. */
ExitCode service_run(Service *service, const ServiceAnswers *answers, const char *line);

/* For hooks: PropertiesChanged of "x" or another identity with one string property, and a time (0: none) as
 * NextAttempt. */
void service_changed(Service *service, const char *name, const char *property, const char *value, uint64_t next);
/* Whatever else a test has to emit goes through the connection. */
sd_bus *service_connection(Service *service);
/* The name is given up, at once; it is taken again for the next run. */
void service_leave(Service *service);

/* Each fails with both streams in its message. */
void expect_out(const Service *service, const char *words);
void expect_err(const Service *service, const char *words);
/* Standard output, standard error: all there is. */
void expect_all(const Service *service, const char *out, const char *err);
