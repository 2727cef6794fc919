/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Turns replies into libmicrohttpd responses, bent where a fault says so. */
#include "reply.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define BASE64_LINE 64U

int reply_text(Reply *reply, unsigned status, const char *format, ...) {
    va_list arguments;
    char text[512];
    int n;

    va_start(arguments, format);
    n = vsnprintf(text, sizeof(text) - 1, format, arguments);
    va_end(arguments);
    if (n < 0)
        return -EINVAL;
    if ((size_t) n > sizeof(text) - 2)
        n = sizeof(text) - 2;
    text[n++] = '\n';
    datum_clear(&reply->body);
    reply->body.data = gnutls_malloc((size_t) n);
    if (!reply->body.data)
        return -ENOMEM;
    memcpy(reply->body.data, text, (size_t) n);
    reply->body.size = (unsigned) n;
    reply->status = status;
    reply->type = REPLY_TYPE_TEXT;
    return 0;
}

int reply_base64(Reply *reply, const char *type, const gnutls_datum_t *der) {
    _cleanup_datum_ gnutls_datum_t text = DATUM_NULL;
    uint8_t *lines;
    size_t used = 0;
    int r;

    r = gnutls_base64_encode2(der, &text);
    if (r < 0)
        return gnutls_complain(r, "cannot encode an answer");
    lines = gnutls_malloc(text.size + text.size / BASE64_LINE + 2);
    if (!lines)
        return -ENOMEM;
    for (size_t at = 0; at < text.size; at += BASE64_LINE) {
        size_t n = text.size - at < BASE64_LINE ? text.size - at : BASE64_LINE;

        memcpy(lines + used, text.data + at, n);
        used += n;
        lines[used++] = '\n';
    }
    datum_clear(&reply->body);
    reply->body = (gnutls_datum_t) { lines, (unsigned) used };
    reply->status = 200;
    reply->type = type;
    return 0;
}

bool reply_from_fault(Server *server, const Fault *fault, Reply *reply) {
    static const gnutls_datum_t junk = { (uint8_t *) (uintptr_t) "this is no PKCS#7 at all, only text", 35 };

    switch (fault->kind) {
    case FAULT_SLOW:
        server_sleep(server, fault->seconds);
        return false;
    case FAULT_STATUS:
        (void) reply_text(reply, fault->code, "%s", fault->text[0] ? fault->text : "The lab was told to refuse this.");
        reply->retry_after = fault->retry_after;
        reply->retry_after_as_date = fault->as_date;
        return true;
    case FAULT_REDIRECT:
        (void) reply_text(reply, fault->code, "moved");
        reply->location = fault->text[0] ? fault->text : "https://elsewhere.example/.well-known/est/cacerts";
        return true;
    case FAULT_NOT_PKCS7:
        (void) reply_base64(reply, REPLY_TYPE_ISSUED, &junk);
        return true;
    case FAULT_NOT_CRL:
        (void) reply_text(reply, 200, "this is no CRL at all, only text");
        reply->type = REPLY_TYPE_CRL;
        return true;
    default:
        return false;
    }
}

/* ---- bodies that are made while they are sent ---- */

typedef struct Stream {
    Server *server;
    Fault fault;
    gnutls_datum_t body; /* owned */
} Stream;

static void stream_free(void *data) {
    Stream *stream = data;

    datum_clear(&stream->body);
    free(stream);
}

static ssize_t stream_read(void *data, uint64_t position, char *buffer, size_t size) {
    Stream *stream = data;
    size_t n;

    if (stream->fault.kind == FAULT_HUGE) {
        for (n = 0; n < size; n++)
            buffer[n] = (position + n) % (BASE64_LINE + 1) == BASE64_LINE ? '\n' : 'A';
        return (ssize_t) n;
    }
    if (stream->fault.kind == FAULT_CUT_OFF && position >= stream->body.size / 2)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    n = stream->body.size - (size_t) position;
    if (stream->fault.kind == FAULT_CUT_OFF)
        n -= stream->body.size - stream->body.size / 2;
    if (stream->fault.kind == FAULT_DRIP) {
        server_sleep(stream->server, stream->fault.seconds);
        n = 1;
    }
    if (n > size)
        n = size;
    memcpy(buffer, stream->body.data + position, n);
    return (ssize_t) n;
}

static struct MHD_Response *stream_response(Server *server, const Fault *fault, Reply *reply) {
    Stream *stream = calloc(1, sizeof(Stream));
    struct MHD_Response *response;
    uint64_t size;

    if (!stream)
        return NULL;
    stream->server = server;
    stream->fault = *fault;
    stream->body = reply->body;
    reply->body = DATUM_NULL;
    size = fault->kind == FAULT_HUGE ? (uint64_t) fault->size : stream->body.size;
    response = MHD_create_response_from_callback(size, fault->kind == FAULT_DRIP ? 1 : 65536, stream_read, stream,
                                                 stream_free);
    if (!response)
        stream_free(stream);
    return response;
}

static void add_retry_after(struct MHD_Response *response, const Fault *fault, const Reply *reply) {
    char text[64];

    if (fault->as_text) {
        (void) MHD_add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, fault->text);
        return;
    }
    if (reply->retry_after < 0)
        return;
    if (reply->retry_after_as_date) {
        time_t at = time(NULL) + reply->retry_after;
        struct tm tm;

        (void) gmtime_r(&at, &tm);
        (void) strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &tm);
    } else
        (void) snprintf(text, sizeof(text), "%" PRId64, reply->retry_after);
    (void) MHD_add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, text);
}

/* What another body would be, where the fault is one of the body. */
static int bend_body(const Fault *fault, Reply *reply) {
    static const char trailing[] = "\0<p>more</p>";

    switch (fault->kind) {
    case FAULT_NOT_BASE64:
        (void) reply_text(reply, reply->status, "<html>%%%% &*() not base64 </html>");
        break;
    case FAULT_EMPTY:
        datum_clear(&reply->body);
        break;
    case FAULT_BLANK:
        (void) reply_text(reply, reply->status, "%s", "");
        break;
    case FAULT_TRAILING: {
        uint8_t *longer = gnutls_realloc(reply->body.data, reply->body.size + sizeof(trailing));

        if (!longer)
            return -ENOMEM;
        memcpy(longer + reply->body.size, trailing, sizeof(trailing));
        reply->body = (gnutls_datum_t) { longer, reply->body.size + (unsigned) sizeof(trailing) };
        return 0;
    }
    default:
        return 0;
    }
    reply->type = REPLY_TYPE_ISSUED;
    return 0;
}

enum MHD_Result reply_send(Server *server, struct MHD_Connection *connection, const Fault *fault, Reply *reply) {
    struct MHD_Response *response;
    enum MHD_Result result;

    if (bend_body(fault, reply) < 0)
        return MHD_NO;
    if (fault->kind == FAULT_CONTENT_TYPE)
        reply->type = fault->text[0] ? fault->text : "text/html";
    if (fault->kind == FAULT_HUGE || fault->kind == FAULT_CUT_OFF || fault->kind == FAULT_DRIP)
        response = stream_response(server, fault, reply);
    else
        response = MHD_create_response_from_buffer(reply->body.size, reply->body.data, MHD_RESPMEM_MUST_COPY);
    if (!response)
        return MHD_NO;
    if (reply->type)
        (void) MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, reply->type);
    if (reply->type && strncmp(reply->type, REPLY_TYPE_PKCS7, strlen(REPLY_TYPE_PKCS7)) == 0)
        (void) MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TRANSFER_ENCODING, "base64");
    if (reply->location)
        (void) MHD_add_response_header(response, MHD_HTTP_HEADER_LOCATION, reply->location);
    add_retry_after(response, fault, reply);
    result = MHD_queue_response(connection, reply->status, response);
    MHD_destroy_response(response);
    return result;
}
