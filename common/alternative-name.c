/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See alternative-name.h. */
#include "common/alternative-name.h"

#include "common/oid.h"
#include "common/text.h"

#include <arpa/inet.h>
#include <string.h>

#define DIGITS     "0123456789"
#define HEX_DIGITS DIGITS "abcdefABCDEF"
#define LETTERS    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

/* What the C library's resolver would read as an IPv4 address in numbers: "1", "0x7f000001". */
static bool label_is_number(const char *label, size_t length) {
    if (length >= 2 && label[0] == '0' && (label[1] == 'x' || label[1] == 'X'))
        return strspn(label + 2, HEX_DIGITS) >= length - 2;
    return strspn(label, DIGITS) >= length;
}

bool dns_name_is_valid(const char *text, size_t length, bool underscores) {
    size_t label = 0;

    if (length == 0 || length > 253)
        return false;
    for (size_t i = 0; i <= length; i++) {
        if (i < length && text[i] != '.') {
            if (text[i] == '\0' || !strchr(underscores ? LETTERS DIGITS "-_" : LETTERS DIGITS "-", text[i]))
                return false;
            label++;
            continue;
        }
        if (label == 0 || label > 63 || text[i - label] == '-' || text[i - 1] == '-')
            return false;
        if (i < length)
            label = 0;
    }
    return !label_is_number(text + length - label, label);
}

/* "." and "..", which whoever reads a URI may take out together with what stands before them (RFC 3986 §6.2.2.3). */
static bool has_dot_segment(const char *path) {
    size_t end = strcspn(path, "?#");

    for (size_t i = 0; i < end; i++) {
        if (path[i] != '/')
            continue;
        size_t length = strcspn(path + i + 1, "/?#");
        if (length > 0 && length <= 2 && strspn(path + i + 1, ".") >= length)
            return true;
    }
    return false;
}

/* RFC 3986 §3: a scheme, a colon, something; in the characters of a URI, and percent signs only before two digits. */
static bool is_uri(const char *text) {
    size_t scheme = strspn(text, LETTERS DIGITS "+.-");

    if (scheme == 0 || !strchr(LETTERS, text[0]) || text[scheme] != ':' || text[scheme + 1] == '\0' ||
        strlen(text) > SAN_URI_MAX || text[strspn(text, LETTERS DIGITS "-._~:/?#[]@!$&'()*+,;=%")] != '\0')
        return false;
    for (const char *c = text; (c = strchr(c, '%')); c++)
        if (strspn(c + 1, HEX_DIGITS) < 2)
            return false;
    return !has_dot_segment(text + scheme + 1);
}

/* "OID/SERIAL" (RFC 4108 §5, IEEE 802.1AR §8.10.2). */
static bool is_hardware_module(const char *text) {
    size_t oid = strcspn(text, "/");

    if (text[oid] != '/' || !oid_is_valid(text, oid))
        return false;
    size_t serial = strlen(text + oid + 1);
    return serial > 0 && serial <= SAN_SERIAL_MAX && text_is_clean(text + oid + 1, serial);
}

static bool is_ip_address(const char *text) {
    struct in6_addr address;

    return inet_pton(AF_INET, text, &address) == 1 || inet_pton(AF_INET6, text, &address) == 1;
}

const char *san_fault(SanKind kind, const char *value) {
    switch (kind) {
    case SAN_DNS:
        return dns_name_is_valid(value, strlen(value), true) ? NULL
                                                             : "must be a DNS name: letters, digits, '-', '_' and '.', "
                                                               "labels of at most 63, 253 in all, the last "
                                                               "no number, no wildcard";
    case SAN_IP:
        return is_ip_address(value) ? NULL : "must be an IPv4 or IPv6 address in numbers";
    case SAN_URI:
        return is_uri(value) ? NULL
                             : "must be a URI of at most 1024 bytes: a scheme, ':' and more, in the characters of RFC "
                               "3986, without \"/./\" and \"/../\"";
    case SAN_HARDWARE_MODULE:
        return is_hardware_module(value) ? NULL
                                         : "must be OID/SERIAL, such as hardware-module:1.3.6.1.4.1.99999.1/A123 (RFC "
                                           "4108), the serial number "
                                           "of at most 64 bytes";
    }
    return "is of no known kind";
}
