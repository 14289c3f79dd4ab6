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
static inline clinux_block clinux_above(clinux_block a, clinux_block b) { return _mm_cmpgt_epi8(a, b); }
static inline clinux_block clinux_add(clinux_block a, clinux_block b) { return _mm_add_epi8(a, b); }
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
static inline clinux_block clinux_above(clinux_block a, clinux_block b)
{
    return vcgtq_s8(vreinterpretq_s8_u8(a), vreinterpretq_s8_u8(b));
}
static inline clinux_block clinux_add(clinux_block a, clinux_block b) { return vaddq_u8(a, b); }
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
    return !(letter < 26 || (uint8_t)(byte - '-') <= '9' - '-') || byte == '/';
}
static inline int clinux_stops_value(uint8_t byte) { return byte < 0x20 || byte == 0x7f; }
static inline int clinux_stops_target(uint8_t byte)
{
    return byte <= 0x20 || byte == 0x7f || byte == '?' || byte == '#';
}
static inline int clinux_stops_line(uint8_t byte) { return byte == '\n'; }

// ... and for 16 at once.
#if CLINUX_SIMD
// Both machines compare signed bytes: moving the range up to 127 makes it "above", whatever lies around it.
static inline clinux_block clinux_in_range(clinux_block a, uint8_t low, uint8_t high)
{
    return clinux_above(clinux_add(a, clinux_splat((uint8_t)(127 - high))), clinux_splat((uint8_t)(126 - high + low)));
}
static inline uint64_t clinux_name_stops(clinux_block a)
{
    clinux_block letters = clinux_in_range(clinux_or(a, clinux_splat(0x20)), 'a', 'z');
    clinux_block others = clinux_and_not(clinux_in_range(a, '-', '9'), clinux_equal(a, clinux_splat('/')));
    return ~clinux_bits(clinux_or(letters, others)) & CLINUX_ALL_LANES;
}
static inline uint64_t clinux_value_stops(clinux_block a)
{
    return clinux_bits(clinux_or(clinux_in_range(a, 0, 0x1f), clinux_equal(a, clinux_splat(0x7f))));
}
static inline uint64_t clinux_target_stops(clinux_block a)
{
    clinux_block marks = clinux_or(clinux_equal(a, clinux_splat('?')), clinux_equal(a, clinux_splat('#')));
    clinux_block controls = clinux_or(clinux_in_range(a, 0, 0x20), clinux_equal(a, clinux_splat(0x7f)));
    return clinux_bits(clinux_or(marks, controls));
}
static inline uint64_t clinux_line_stops(clinux_block a) { return clinux_bits(clinux_equal(a, clinux_splat('\n'))); }

static inline intptr_t clinux_first_lane(uint64_t bits) { return __builtin_ctzll(bits) / CLINUX_LANE_BITS; }

#define CLINUX_SCAN(kind)                                                                                              \
    static inline intptr_t clinux_scan_##kind(const uint8_t *bytes, intptr_t position, intptr_t end)                   \
    {                                                                                                                  \
        while (position <= end - 16) {                                                                                 \
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

// Stops at anything but letters, digits, '-' and '.': the common part of field names and of host names.
CLINUX_SCAN(name)
// Stops at control characters, the tab among them.
CLINUX_SCAN(value)
// Stops at control characters, spaces, '?' and '#'.
CLINUX_SCAN(target)
// Stops at a line feed.
CLINUX_SCAN(line)

#endif
