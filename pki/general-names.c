/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Subject alternative names as sets: CAs sort them, repeat the common name among them and lower the case of domains,
 * and the certificate is still for the names that were asked for. */
#include "pki/general-names.h"

#include "pki/asn1.h"
#include "pki/directory-name.h"
#include "pki/form.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* How a set is written: as names, or what is malformed byte for byte. */
enum { FORM_MALFORMED, FORM_NAMES };

typedef struct Forms {
    Bytes *list;
    size_t count;
} Forms;

static void forms_clear(Forms *forms) {
    for (size_t i = 0; i < forms->count; i++)
        bytes_clear(&forms->list[i]);
    free(forms->list);
    *forms = (Forms) { 0 };
}

/* ---- URIs ---- */

static bool is_letter(uint8_t c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* The length of the scheme, without its colon; 0: none. */
static size_t uri_scheme(BytesView uri) {
    size_t n = 0;

    if (uri.size == 0 || !is_letter(uri.data[0]))
        return 0;
    while (n < uri.size && (is_letter(uri.data[n]) || (uri.data[n] >= '0' && uri.data[n] <= '9') ||
                            uri.data[n] == '+' || uri.data[n] == '-' || uri.data[n] == '.'))
        n++;
    return n < uri.size && uri.data[n] == ':' ? n : 0;
}

bool uri_host(BytesView uri, BytesView *ret) {
    size_t scheme = uri_scheme(uri), end, start, port;

    if (scheme == 0 || uri.size - scheme < 3 || memcmp(uri.data + scheme, "://", 3) != 0)
        return false;
    start = end = scheme + 3;
    while (end < uri.size && uri.data[end] != '/' && uri.data[end] != '?' && uri.data[end] != '#')
        end++;
    for (size_t i = start; i < end; i++)
        if (uri.data[i] == '@')
            start = i + 1;
    const uint8_t *bracket = start < end && uri.data[start] == '[' ? memchr(uri.data + start, ']', end - start) : NULL;
    port = bracket ? (size_t) (bracket - uri.data) + 1 : start;
    while (port < end && uri.data[port] != ':')
        port++;
    if (port == start)
        return false;
    *ret = (BytesView) { uri.data + start, port - start };
    return true;
}

/* ---- forms ---- */

static void lower(uint8_t *data, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (data[i] >= 'A' && data[i] <= 'Z')
            data[i] = (uint8_t) (data[i] - 'A' + 'a');
}

static void lower_mail(Bytes *mail) {
    const uint8_t *at = memrchr(mail->data, '@', mail->size);
    size_t domain = at ? (size_t) (at - mail->data) : mail->size;

    lower(mail->data + domain, mail->size - domain);
}

static void lower_uri(Bytes *uri) {
    BytesView host;

    lower(uri->data, uri_scheme(bytes_view(uri)));
    if (uri_host(bytes_view(uri), &host))
        lower(uri->data + (host.data - uri->data), host.size);
}

/* The tag, and what the name is compared by. */
static int name_to_form(const DerItem *name, Bytes *ret) {
    const uint8_t tag = (uint8_t) name->tag;
    Bytes content = BYTES_NULL;
    int r = name->tag == NAME_DIRECTORY ? name_form(name->content, &content) : bytes_copy(name->content, &content);

    if (r >= 0 && name->tag == NAME_DNS)
        lower(content.data, content.size);
    else if (r >= 0 && name->tag == NAME_MAIL)
        lower_mail(&content);
    else if (r >= 0 && name->tag == NAME_URI)
        lower_uri(&content);
    if (r >= 0)
        r = bytes_append(ret, (BytesView) { &tag, 1 });
    if (r >= 0)
        r = bytes_append(ret, bytes_view(&content));
    bytes_clear(&content);
    return r;
}

static int read_forms(BytesView names, Forms *forms) {
    BytesView rest, counted;
    DerItem name;
    size_t count = 0;
    int r = der_open_sequence(names, &rest);

    if (r < 0)
        return r;
    for (counted = rest; (r = der_next(&counted, &name)) > 0; count++)
        if (!(name.class & ASN1_CLASS_CONTEXT_SPECIFIC) || name.tag >= NAME_KINDS)
            return -EBADMSG;
    if (r < 0)
        return r;
    forms->list = calloc(count + 1, sizeof(*forms->list));
    if (!forms->list)
        return -ENOMEM;
    while (forms->count < count && der_next(&rest, &name) > 0) {
        r = name_to_form(&name, &forms->list[forms->count++]);
        if (r < 0)
            return r;
    }
    return 0;
}

static int append_forms(Bytes *bytes, const Forms *forms) {
    int r = 0;

    for (size_t i = 0; r >= 0 && i < forms->count; i++) {
        const Bytes *form = &forms->list[i];
        if (i == 0 || form_compare(form, form - 1) != 0)
            r = form_append_counted(bytes, bytes_view(form));
    }
    return r;
}

int general_names_form(BytesView names, Bytes *ret) {
    _cleanup_(forms_clear) Forms forms = { 0 };
    _cleanup_bytes_ Bytes form = BYTES_NULL;
    uint8_t kind = FORM_NAMES;
    int r = names.size > 0 ? read_forms(names, &forms) : 0;

    if (r == -EBADMSG)
        kind = FORM_MALFORMED;
    else if (r < 0)
        return r;
    else if (forms.count > 0)
        qsort(forms.list, forms.count, sizeof(forms.list[0]), form_compare);
    r = bytes_append(&form, (BytesView) { &kind, 1 });
    if (r >= 0)
        r = kind == FORM_NAMES ? append_forms(&form, &forms) : bytes_append(&form, names);
    if (r < 0)
        return r;
    *ret = form;
    form = BYTES_NULL;
    return 0;
}

/* ---- text ---- */

typedef struct Writer {
    char *buffer;
    size_t size, used;
} Writer;

static void write_text(Writer *writer, const char *text, size_t length) {
    for (size_t i = 0; i < length && writer->used < writer->size; i++)
        writer->buffer[writer->used++] = text[i] >= 0x20 && text[i] < 0x7f ? text[i] : '?';
}

static void write_hex(Writer *writer, BytesView view) {
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < view.size; i++) {
        const char pair[] = { digits[view.data[i] >> 4], digits[view.data[i] & 15] };
        write_text(writer, pair, sizeof(pair));
    }
}

static void write_name(Writer *writer, const DerItem *name) {
    static const char *const kinds[NAME_KINDS] = { "other:", "mail:", "dns:", "x400:", "directory:",
                                                   "edi:",   "uri:",  "ip:",  "oid:" };
    const char *kind = name->tag < NAME_KINDS ? kinds[name->tag] : "?:";
    char address[INET6_ADDRSTRLEN];

    write_text(writer, kind, strlen(kind));
    if (name->tag == NAME_DNS || name->tag == NAME_MAIL || name->tag == NAME_URI)
        write_text(writer, (const char *) name->content.data, name->content.size);
    else if (name->tag == NAME_IP && (name->content.size == 4 || name->content.size == 16) &&
             inet_ntop(name->content.size == 4 ? AF_INET : AF_INET6, name->content.data, address, sizeof(address)))
        write_text(writer, address, strlen(address));
    else
        write_hex(writer, name->content);
}

const char *general_names_text(BytesView names, char buffer[static GENERAL_NAMES_TEXT_MAX]) {
    static const char cut[] = "…";
    Writer writer = { buffer, GENERAL_NAMES_TEXT_MAX - sizeof(cut), 0 };
    BytesView rest = { 0 };
    DerItem name;

    if (names.size > 0 && der_open_sequence(names, &rest) < 0)
        (void) snprintf(buffer, GENERAL_NAMES_TEXT_MAX, "names that cannot be read");
    else if (rest.size == 0)
        (void) snprintf(buffer, GENERAL_NAMES_TEXT_MAX, "none");
    else {
        while (der_next(&rest, &name) > 0) {
            if (writer.used > 0)
                write_text(&writer, " ", 1);
            write_name(&writer, &name);
        }
        (void) strcpy(buffer + writer.used, writer.used == writer.size ? cut : "");
    }
    return buffer;
}
