/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Runs a fuzz target over files and over mutations of them: every length, every byte changed in several ways, pieces
 * taken out, doubled and exchanged. The mutations are the same each time; what an input did wrong the sanitizers and
 * `require` tell, and the input is then in the file named by REPLAY_SAVE, if that is set. */
#include "fuzz.h"

#include <string.h>

#define INPUT_MAX (1U << 20)
#ifndef REPLAY_SHARE
#define REPLAY_SHARE 1U /* of so many mutations one is tried: for targets where each takes milliseconds */
#endif
#define RANDOM_RUNS (1000U / REPLAY_SHARE)
#define GROWTH      64U

static void try_input(const uint8_t *data, size_t size) {
    const char *save = getenv("REPLAY_SAVE");
    uint8_t *exact = malloc(size ? size : 1); /* so that a byte read beyond the end is seen */

    require(exact);
    memcpy(exact, data, size);
    if (save) {
        FILE *file = fopen(save, "we");
        require(file && fwrite(exact, 1, size, file) == size && fclose(file) == 0);
    }
    (void) LLVMFuzzerTestOneInput(exact, size);
    free(exact);
}

/* Numerical Recipes' generator: the same everywhere. */
static uint32_t next_random(uint32_t *state) {
    *state = *state * 1664525U + 1013904223U;
    return *state >> 8;
}

static void mutate_bytes(const uint8_t *seed, size_t size, uint8_t *work) {
    static const uint8_t values[] = { 0x00, 0xff };
    size_t step = (size > 2048 ? size / 2048 + 1 : 1) * REPLAY_SHARE;

    for (size_t i = 0; i < size; i += step) {
        memcpy(work, seed, size);
        for (size_t v = 0; v < sizeof(values); v++) {
            work[i] = values[v];
            try_input(work, size);
        }
        work[i] = seed[i] ^ 1;
        try_input(work, size);
        try_input(seed, i);
    }
}

static void mutate_pieces(const uint8_t *seed, size_t size, uint8_t *work) {
    uint32_t state = 1;

    for (unsigned run = 0; run < RANDOM_RUNS; run++) {
        size_t length = size;
        memcpy(work, seed, size);
        for (unsigned change = 0; change <= run % 4 && length > 2; change++) {
            size_t at = next_random(&state) % length, most = length - at,
                   piece = 1 + next_random(&state) % (most < GROWTH ? most : GROWTH);
            size_t other = next_random(&state) % length;
            switch (next_random(&state) % 4) {
            case 0: /* out */
                memmove(work + at, work + at + piece, length - at - piece);
                length -= piece;
                break;
            case 1: /* twice */
                memmove(work + at + piece, work + at, length - at);
                length += piece;
                break;
            case 2: /* over another place */
                memmove(work + other, work + at, piece < length - other ? piece : length - other);
                break;
            default:
                work[at] = (uint8_t) next_random(&state);
            }
        }
        try_input(work, length);
    }
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        uint8_t *seed = malloc(INPUT_MAX), *work = malloc(INPUT_MAX + 4 * GROWTH);
        FILE *file = fopen(argv[i], "re");
        require(seed && work && file);
        size_t size = fread(seed, 1, INPUT_MAX, file);
        (void) fclose(file);
        require(size > 0 && size < INPUT_MAX);
        try_input(seed, size);
        mutate_bytes(seed, size, work);
        mutate_pieces(seed, size, work);
        free(seed);
        free(work);
    }
    return argc > 1 ? 0 : 2;
}
