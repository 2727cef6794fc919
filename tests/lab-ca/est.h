/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The HTTP side of the lab CA: EST's operations (RFC 7030) over HTTPS, and CRLs over plain HTTP. */
#pragma once

#include "server.h"

/* libmicrohttpd's access handlers and what cleans up after them; `data` is the Server. */
enum MHD_Result est_handle(void *data, struct MHD_Connection *connection, const char *url, const char *method,
                           const char *version, const char *upload, size_t *upload_size, void **state);
void est_completed(void *data, struct MHD_Connection *connection, void **state, enum MHD_RequestTerminationCode code);
enum MHD_Result crl_handle(void *data, struct MHD_Connection *connection, const char *url, const char *method,
                           const char *version, const char *upload, size_t *upload_size, void **state);
