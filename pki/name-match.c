/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* GnuTLS compares DNS bases by the end of the text and wildcards like any other label, so that "*.example" gets past an
 * exclusion of "secret.example"; masks of addresses it takes as they come. So these are compared here. */
#include "pki/name-match.h"

#include "common/alternative-name.h"
#include "pki/general-names.h"

#include <string.h>
#include <strings.h>

static bool is_same_text(const uint8_t *a, const uint8_t *b, size_t size) {
    for (size_t i = 0; i < size; i++) {
        uint8_t x = a[i] >= 'A' && a[i] <= 'Z' ? a[i] | 0x20 : a[i],
                y = b[i] >= 'A' && b[i] <= 'Z' ? b[i] | 0x20 : b[i];
        if (x != y)
            return false;
    }
    return true;
}

static bool is_same(BytesView a, BytesView b) {
    return a.size == b.size && is_same_text(a.data, b.data, a.size);
}

static bool ends_with(BytesView text, BytesView end) {
    return text.size > end.size && is_same_text(text.data + text.size - end.size, end.data, end.size);
}

static BytesView without_first(BytesView text, size_t count) {
    return (BytesView) { text.data + count, text.size - count };
}

/* ---- DNS ---- */

static bool is_label_character(uint8_t c) {
    return ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

static bool is_wildcard(BytesView name) {
    return name.size > 2 && name.data[0] == '*' && name.data[1] == '.';
}

bool name_is_dns(BytesView name, bool wildcard_too) {
    if (wildcard_too && is_wildcard(name))
        name = without_first(name, 2);
    return dns_name_is_valid((const char *) name.data, name.size, true);
}

bool dns_name_is_host(BytesView presented, BytesView host) {
    if (!name_is_dns(presented, true))
        return false;
    if (!is_wildcard(presented))
        return is_same(presented, host);
    BytesView parent = without_first(presented, 2);
    const uint8_t *dot = memchr(host.data, '.', host.size);
    return dot && memchr(parent.data, '.', parent.size) &&
           is_same(parent, without_first(host, (size_t) (dot - host.data) + 1));
}

/* Whether `name` is `base` or has it behind a dot. */
static bool is_within(BytesView name, BytesView base) {
    return is_same(name, base) || (ends_with(name, base) && name.data[name.size - base.size - 1] == '.');
}

NameMatch dns_name_is_below(BytesView name, BytesView base, bool is_exclusion) {
    if (base.size == 0)
        return NAME_MATCHES;
    if (!name_is_dns(name, true) || !name_is_dns(base, false))
        return NAME_UNCLEAR;
    if (!is_wildcard(name))
        return is_within(name, base) ? NAME_MATCHES : NAME_DIFFERS;
    BytesView parent = without_first(name, 2);
    if (is_within(parent, base))
        return NAME_MATCHES;
    /* "*.b" has the name "a.b" among others. */
    const uint8_t *dot = memchr(base.data, '.', base.size);
    return is_exclusion && dot && is_same(parent, without_first(base, (size_t) (dot - base.data) + 1)) ? NAME_MATCHES
                                                                                                       : NAME_DIFFERS;
}

/* ---- mail ---- */

static bool split_mail(BytesView mail, BytesView *ret_local, BytesView *ret_host) {
    const uint8_t *at = memrchr(mail.data, '@', mail.size);

    if (!at || at == mail.data)
        return false;
    *ret_local = (BytesView) { mail.data, (size_t) (at - mail.data) };
    *ret_host = without_first(mail, ret_local->size + 1);
    for (size_t i = 0; i < ret_local->size; i++) /* quoted strings have several spellings */
        if (ret_local->data[i] <= 0x20 || ret_local->data[i] >= 0x7f || strchr("\"\\@()<>,;:[]", ret_local->data[i]))
            return false;
    return name_is_dns(*ret_host, false);
}

NameMatch mail_is_below(BytesView mail, BytesView base) {
    BytesView local, host, base_local, base_host;

    if (!split_mail(mail, &local, &host))
        return NAME_UNCLEAR;
    if (base.size == 0)
        return NAME_MATCHES;
    if (memchr(base.data, '@', base.size)) {
        if (!split_mail(base, &base_local, &base_host))
            return NAME_UNCLEAR;
        return bytes_view_equal(local, base_local) && is_same(host, base_host) ? NAME_MATCHES : NAME_DIFFERS;
    }
    if (base.data[0] == '.') {
        if (!name_is_dns(without_first(base, 1), false))
            return NAME_UNCLEAR;
        return ends_with(host, base) ? NAME_MATCHES : NAME_DIFFERS;
    }
    if (!name_is_dns(base, false))
        return NAME_UNCLEAR;
    return is_same(host, base) ? NAME_MATCHES : NAME_DIFFERS;
}

/* ---- addresses ---- */

/* Ones and then zeros (RFC 4632). */
static bool mask_is_prefix(const uint8_t *mask, size_t size) {
    bool ended = false;

    for (size_t i = 0; i < size; i++)
        for (unsigned bit = 0x80; bit > 0; bit >>= 1) {
            if (mask[i] & bit ? ended : false)
                return false;
            ended = ended || !(mask[i] & bit);
        }
    return true;
}

NameMatch address_is_below(BytesView address, BytesView base) {
    if ((address.size != 4 && address.size != 16) || (base.size != 8 && base.size != 32) ||
        !mask_is_prefix(base.data + base.size / 2, base.size / 2))
        return NAME_UNCLEAR;
    if (base.size != 2 * address.size)
        return NAME_DIFFERS;
    for (size_t i = 0; i < address.size; i++)
        if ((address.data[i] ^ base.data[i]) & base.data[address.size + i])
            return NAME_DIFFERS;
    return NAME_MATCHES;
}

/* ---- URIs ---- */

/* The host as a DNS name without the dot of the root. RFC 5280 §4.2.1.10 has a URI without a host, or with an IP
 * address for one, rejected where URIs are constrained; so is what a reader may decode to another name. */
static bool read_host(BytesView uri, BytesView *ret) {
    bool has_letter = false;
    BytesView host;

    if (!uri_host(uri, &host))
        return false;
    if (host.data[host.size - 1] == '.')
        host.size--;
    for (size_t i = 0; i < host.size; i++) {
        uint8_t c = host.data[i];
        if (!is_label_character(c) && c != '.')
            return false;
        has_letter = has_letter || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '_';
    }
    *ret = host;
    return has_letter;
}

NameMatch uri_is_below(BytesView uri, BytesView base, bool is_exclusion) {
    BytesView host;

    if (!read_host(uri, &host))
        return NAME_UNCLEAR;
    if (base.size == 0)
        return is_exclusion ? NAME_MATCHES : NAME_DIFFERS;
    return base.data[0] == '.' ? (ends_with(host, base) ? NAME_MATCHES : NAME_DIFFERS)
                               : (is_same(host, base) ? NAME_MATCHES : NAME_DIFFERS);
}

bool uri_is_same(BytesView a, BytesView b) {
    BytesView host_a, host_b;
    const uint8_t *colon = memchr(a.data, ':', a.size);
    size_t scheme = colon ? (size_t) (colon - a.data) : 0;

    if (a.size != b.size || scheme == 0 || !is_same_text(a.data, b.data, scheme))
        return false;
    bool has_host = uri_host(a, &host_a);
    if (has_host != uri_host(b, &host_b))
        return false;
    if (!has_host)
        return memcmp(a.data + scheme, b.data + scheme, a.size - scheme) == 0;
    size_t at = (size_t) (host_a.data - a.data), end = at + host_a.size;
    return is_same(host_a, host_b) && host_b.data == b.data + at &&
           memcmp(a.data + scheme, b.data + scheme, at - scheme) == 0 &&
           memcmp(a.data + end, b.data + end, a.size - end) == 0;
}
