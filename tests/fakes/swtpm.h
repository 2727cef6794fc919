/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A real software TPM for a test: swtpm in a directory of its own, reached over a unix socket, with the power
 * switch in the test's hand. Runs as any user; swtpm dies with the thread that started it, so make it on the
 * test's main thread. */
#pragma once

#include "common/macros.h"

#include <stdbool.h>

typedef struct Swtpm Swtpm;

/* Makes a state directory below $TMPDIR or /tmp and powers the TPM on (Startup(CLEAR) is done). 0 or -errno. */
int swtpm_new(Swtpm **ret);

/* The same with EK certificates (RSA-2048 and P-384) and a platform certificate in NV, made by swtpm_setup with a
 * throw-away CA below the state directory. */
int swtpm_new_with_certificates(Swtpm **ret);

/* Kills swtpm and removes its directory. Takes NULL; returns NULL. */
Swtpm *swtpm_free(Swtpm *swtpm);
DEFINE_CLEANUP(Swtpm, swtpm_free)
#define _cleanup_swtpm_ _cleanup_(swtpm_free_p)

const char *swtpm_tcti(const Swtpm *swtpm);      /* "swtpm:path=DIRECTORY/socket" */
const char *swtpm_directory(const Swtpm *swtpm); /* room for the test's own files, removed with it */

/* The power: pulled (SIGKILL, no TPM2_Shutdown), and back. Both do nothing when it is so already. 0 or -errno. */
int swtpm_kill(Swtpm *swtpm);
int swtpm_start(Swtpm *swtpm);

/* A TPM Reset (_TPM_Init) under a running swtpm: its sockets stay. Whether somebody runs Startup(CLEAR) afterwards,
 * as firmware or kernel would, is the caller's choice; without, every command answers TPM_RC_INITIALIZE. */
int swtpm_reset(Swtpm *swtpm, bool startup);

/* Throws the TPM's state away, so that the next swtpm_start is another chip. Only while it is killed. */
int swtpm_replace(Swtpm *swtpm);

/* SIGSTOP and SIGCONT: a TPM that hangs. */
int swtpm_suspend(Swtpm *swtpm);
int swtpm_resume(Swtpm *swtpm);
