/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What went wrong, into OpenSSL's error queue: one line, whatever came in with a URI or a file. */
#include "openssl/provider.h"

#include "common/failure.h"
#include "common/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void set_error(const ProviderContext *context, uint32_t reason, const char *format, ...) {
    va_list arguments;

    va_start(arguments, format);
    context->vset_error(context->handle, reason, format, arguments);
    va_end(arguments);
}

void provider_error(ProviderContext *context, uint32_t reason, const char *format, ...) {
    char text[FAILURE_TEXT_MAX];
    va_list arguments;

    if (!context->new_error || !context->vset_error)
        return;
    va_start(arguments, format);
    int n = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (n < 0)
        text[0] = '\0';
    text_sanitize(text, strlen(text), n >= (int) sizeof text);
    context->new_error(context->handle);
    if (context->set_error_debug)
        context->set_error_debug(context->handle, PROVIDER_NAME, 0, NULL);
    set_error(context, reason, "%s", text);
}
