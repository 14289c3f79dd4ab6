import CLinux
import Testing

/// The scans of 16 bytes at a time against the definition for a single byte, at every offset and length.
@Suite struct ScanTests {
    typealias Scan = @Sendable (UnsafePointer<UInt8>, Int, Int) -> Int
    typealias Stops = @Sendable (UInt8) -> Int32

    @Test(arguments: 0..<4)
    func scansAgreeWithSingleBytes(_ kind: Int) {
        let scans: [(Scan, Stops)] = [
            ({ clinux_scan_name($0, $1, $2) }, { clinux_stops_name($0) }),
            ({ clinux_scan_value($0, $1, $2) }, { clinux_stops_value($0) }),
            ({ clinux_scan_target($0, $1, $2) }, { clinux_stops_target($0) }),
            ({ clinux_scan_line($0, $1, $2) }, { clinux_stops_line($0) }),
        ]
        let (scan, stops) = scans[kind]
        for byte in UInt8.min...UInt8.max {
            for length in [1, 7, 15, 16, 17, 31, 32, 33, 50] {
                check(byte, length, scan, stops)
            }
        }
    }

    private func check(_ byte: UInt8, _ length: Int, _ scan: Scan, _ stops: Stops) {
        for place in [0, 1, length / 2, length - 1] where place < length {
            var bytes = [UInt8](repeating: UInt8(ascii: "a"), count: length)
            bytes[place] = byte
            withExactCopy(bytes) { memory, count in
                for start in [0, 1, place, count] where start <= count {
                    let expected = (start..<count).first { stops(memory[$0]) != 0 } ?? count
                    let found = scan(memory, start, count)
                    if found != expected {
                        Issue.record("byte \(byte) at \(place) of \(count) from \(start): \(found)")
                    }
                }
            }
        }
    }

    @Test func definitions() {
        let names = Set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.".utf8)
        for byte in UInt8.min...UInt8.max {
            #expect((clinux_stops_name(byte) == 0) == names.contains(byte))
            #expect((clinux_stops_value(byte) != 0) == (byte < 32 || byte == 127))
            #expect((clinux_stops_target(byte) != 0) == (byte < 33 || byte == 127 || byte == 0x3F || byte == 0x23))
        }
    }
}
