// Byte scans for text protocols, 16 bytes at a time with SSE2 or NEON, one at a time elsewhere.
//
// Every scan looks at bytes[position ..< end] and returns the index of the first byte that stops it, or `end`. It never
// reads outside bytes[0 ..< end]: a rest shorter than 16 bytes is read together with the bytes before it.
#ifndef CLINUX_SCAN_H
#define CLINUX_SCAN_H

#include <stddef.h>
#include <stdint.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#define CLINUX_SIMD 1
#define CLINUX_LANE_BITS 1
typedef __m128i clinux_block;
static inline clinux_block clinux_load(const uint8_t *at) { return _mm_loadu_si128((const __m128i *)at); }
static inline clinux_block clinux_splat(uint8_t byte) { return _mm_set1_epi8((char)byte); }
static inline clinux_block clinux_equal(clinux_block a, clinux_block b) { return _mm_cmpeq_epi8(a, b); }
static inline clinux_block clinux_minimum(clinux_block a, clinux_block b) { return _mm_min_epu8(a, b); }
static inline clinux_block clinux_subtract(clinux_block a, clinux_block b) { return _mm_sub_epi8(a, b); }
static inline clinux_block clinux_or(clinux_block a, clinux_block b) { return _mm_or_si128(a, b); }
static inline clinux_block clinux_and_not(clinux_block a, clinux_block b) { return _mm_andnot_si128(b, a); }
static inline uint64_t clinux_bits(clinux_block lanes) { return (uint64_t)(uint32_t)_mm_movemask_epi8(lanes); }
#define CLINUX_ALL_LANES UINT64_C(0xffff)
#elif defined(__ARM_NEON) && defined(__aarch64__)
#include <arm_neon.h>
#define CLINUX_SIMD 1
#define CLINUX_LANE_BITS 4
typedef uint8x16_t clinux_block;
static inline clinux_block clinux_load(const uint8_t *at) { return vld1q_u8(at); }
static inline clinux_block clinux_splat(uint8_t byte) { return vdupq_n_u8(byte); }
static inline clinux_block clinux_equal(clinux_block a, clinux_block b) { return vceqq_u8(a, b); }
static inline clinux_block clinux_minimum(clinux_block a, clinux_block b) { return vminq_u8(a, b); }
static inline clinux_block clinux_subtract(clinux_block a, clinux_block b) { return vsubq_u8(a, b); }
static inline clinux_block clinux_or(clinux_block a, clinux_block b) { return vorrq_u8(a, b); }
static inline clinux_block clinux_and_not(clinux_block a, clinux_block b) { return vbicq_u8(a, b); }
// NEON has no movemask; narrowing by four leaves one nibble for each lane.
static inline uint64_t clinux_bits(clinux_block lanes)
{
    return vget_lane_u64(vreinterpret_u64_u8(vshrn_n_u16(vreinterpretq_u16_u8(lanes), 4)), 0);
}
#define CLINUX_ALL_LANES UINT64_MAX
#else
#define CLINUX_SIMD 0
#endif

// Which bytes stop each scan, for single bytes ...
static inline int clinux_stops_name(uint8_t byte)
{
    uint8_t letter = (uint8_t)((byte | 0x20) - 'a');
    return !(letter < 26 || (uint8_t)(byte - '-') <= '9' - '-' || byte == '_') || byte == '/';
}
static inline int clinux_stops_value(uint8_t byte) { return byte < 0x20 || byte == 0x7f; }
static inline int clinux_stops_visible(uint8_t byte) { return byte <= 0x20 || byte == 0x7f; }
static inline int clinux_stops_query(uint8_t byte) { return byte == '?' || byte == '#'; }
static inline int clinux_stops_line(uint8_t byte) { return byte == '\n'; }

// ... and for 16 at once.
#if CLINUX_SIMD
static inline clinux_block clinux_at_most(clinux_block a, uint8_t limit)
{
    return clinux_equal(clinux_minimum(a, clinux_splat(limit)), a);
}
static inline uint64_t clinux_name_stops(clinux_block a)
{
    clinux_block letters = clinux_at_most(clinux_subtract(clinux_or(a, clinux_splat(0x20)), clinux_splat('a')), 25);
    clinux_block others = clinux_at_most(clinux_subtract(a, clinux_splat('-')), '9' - '-');
    others = clinux_and_not(others, clinux_equal(a, clinux_splat('/')));
    return ~clinux_bits(clinux_or(clinux_or(letters, others), clinux_equal(a, clinux_splat('_')))) & CLINUX_ALL_LANES;
}
static inline uint64_t clinux_value_stops(clinux_block a)
{
    return clinux_bits(clinux_or(clinux_at_most(a, 0x1f), clinux_equal(a, clinux_splat(0x7f))));
}
static inline uint64_t clinux_visible_stops(clinux_block a)
{
    return clinux_bits(clinux_or(clinux_at_most(a, 0x20), clinux_equal(a, clinux_splat(0x7f))));
}
static inline uint64_t clinux_query_stops(clinux_block a)
{
    return clinux_bits(clinux_or(clinux_equal(a, clinux_splat('?')), clinux_equal(a, clinux_splat('#'))));
}
static inline uint64_t clinux_line_stops(clinux_block a) { return clinux_bits(clinux_equal(a, clinux_splat('\n'))); }

static inline intptr_t clinux_first_lane(uint64_t bits) { return __builtin_ctzll(bits) / CLINUX_LANE_BITS; }

#define CLINUX_SCAN(kind)                                                                                              \
    static inline intptr_t clinux_scan_##kind(const uint8_t *bytes, intptr_t position, intptr_t end)                   \
    {                                                                                                                  \
        while (end - position >= 16) {                                                                                 \
            uint64_t bits = clinux_##kind##_stops(clinux_load(bytes + position));                                      \
            if (bits) return position + clinux_first_lane(bits);                                                       \
            position += 16;                                                                                            \
        }                                                                                                              \
        if (position >= end) return end;                                                                               \
        if (end >= 16) {                                                                                               \
            uint64_t bits = clinux_##kind##_stops(clinux_load(bytes + end - 16));                                      \
            bits >>= (16 - (end - position)) * CLINUX_LANE_BITS;                                                       \
            return bits ? position + clinux_first_lane(bits) : end;                                                    \
        }                                                                                                              \
        while (position < end && !clinux_stops_##kind(bytes[position])) position++;                                    \
        return position;                                                                                               \
    }
#else
#define CLINUX_SCAN(kind)                                                                                              \
    static inline intptr_t clinux_scan_##kind(const uint8_t *bytes, intptr_t position, intptr_t end)                   \
    {                                                                                                                  \
        while (position < end && !clinux_stops_##kind(bytes[position])) position++;                                    \
        return position;                                                                                               \
    }
#endif

// Stops at anything but letters, digits, '-', '.' and '_': the common part of field names and of host names.
CLINUX_SCAN(name)
// Stops at control characters, the tab among them.
CLINUX_SCAN(value)
// Stops at control characters and spaces.
CLINUX_SCAN(visible)
// Stops at '?' and '#'.
CLINUX_SCAN(query)
// Stops at a line feed.
CLINUX_SCAN(line)

#endif
