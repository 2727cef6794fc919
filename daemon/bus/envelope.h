/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What of a method call is kept once it has been read. A message brings whatever its sender put into it, and sd-bus
 * says of none how large it is: header fields that nobody knows are skipped by everybody and kept with the rest, and
 * dbus-broker passes them on, megabytes of them. So no message of a caller is kept, only what stands for it here. */
#pragma once

#include <systemd/sd-bus.h>

/* Answers to `ret` reach whoever sent `message`, as answers to that. It has no body. 0 or -errno of sd-bus; -EBADMSG:
 * it is no method call that somebody on a bus has sent. The caller unreferences it. */
int envelope_new(sd_bus_message *message, sd_bus_message **ret);
/* The same with the body, so that it can be dispatched in the place of `message`. `size`: at most so many bytes of it,
 * counted without alignment; afterwards, how many it has. -E2BIG: it has more, or is nested too deeply; -EPERM: it
 * brings descriptors. */
int envelope_with_body(sd_bus_message *message, size_t *size, sd_bus_message **ret);
