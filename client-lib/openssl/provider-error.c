/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What went wrong, into OpenSSL's error queue. */
#include "openssl/provider.h"

#include <stdarg.h>

void provider_error(ProviderContext *context, uint32_t reason, const char *format, ...) {
    va_list arguments;

    if (!context->new_error || !context->vset_error)
        return;
    context->new_error(context->handle);
    if (context->set_error_debug)
        context->set_error_debug(context->handle, PROVIDER_NAME, 0, NULL);
    va_start(arguments, format);
    context->vset_error(context->handle, reason, format, arguments);
    va_end(arguments);
}
