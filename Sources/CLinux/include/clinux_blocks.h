// Questions about 32 bytes at once, answered with one bit for each byte, the first byte's lowest.
#ifndef CLINUX_BLOCKS_H
#define CLINUX_BLOCKS_H

#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
static inline uint32_t clinux_movemask_pair(__m128i first, __m128i second)
{
    return (uint32_t)_mm_movemask_epi8(first) | (uint32_t)_mm_movemask_epi8(second) << 16;
}
#else
// The highest bit of each of eight bytes, gathered by a multiplication; the first byte is the lowest in memory order.
static inline uint32_t clinux_gather_high(uint64_t word)
{
    return (uint32_t)(((word & UINT64_C(0x8080808080808080)) * UINT64_C(0x0002040810204081)) >> 56);
}
static inline uint64_t clinux_load_word(const uint8_t *bytes)
{
    uint64_t word;
    memcpy(&word, bytes, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}
#endif

// Which of 32 bytes are 0x80 or above, that is, not ASCII.
static inline uint32_t clinux_high_bits_32(const uint8_t *bytes)
{
#if defined(__SSE2__)
    return clinux_movemask_pair(_mm_loadu_si128((const __m128i *)bytes), _mm_loadu_si128((const __m128i *)(bytes + 16)));
#else
    uint32_t bits = 0;
    for (int at = 0; at < 32; at += 8) bits |= clinux_gather_high(clinux_load_word(bytes + at)) << at;
    return bits;
#endif
}

// Which of 32 bytes equal `byte`.
static inline uint32_t clinux_equal_bits_32(const uint8_t *bytes, uint8_t byte)
{
#if defined(__SSE2__)
    __m128i wanted = _mm_set1_epi8((char)byte);
    return clinux_movemask_pair(_mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)bytes), wanted),
                                _mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)(bytes + 16)), wanted));
#else
    uint32_t bits = 0;
    for (int at = 0; at < 32; at += 8) {
        uint64_t difference = clinux_load_word(bytes + at) ^ UINT64_C(0x0101010101010101) * byte;
        // Exact for every byte: the carry of the addition stays within its byte.
        uint64_t low = (difference & UINT64_C(0x7f7f7f7f7f7f7f7f)) + UINT64_C(0x7f7f7f7f7f7f7f7f);
        bits |= clinux_gather_high(~(low | difference)) << at;
    }
    return bits;
#endif
}

#endif
