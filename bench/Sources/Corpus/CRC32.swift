/// The checksum of gzip (RFC 1952, 8), eight bytes at a time.
struct CRC32 {
    private static let tables: [[UInt32]] = {
        let first = (0..<256).map { index -> UInt32 in
            (0..<8).reduce(UInt32(index)) { value, _ in value & 1 == 1 ? 0xEDB8_8320 ^ (value >> 1) : value >> 1 }
        }
        var tables = [first]
        for _ in 1..<8 {
            let last = tables[tables.count - 1]
            tables.append(last.map { first[Int($0 & 0xff)] ^ ($0 >> 8) })
        }
        return tables
    }()

    private var register: UInt32 = ~0

    /// The checksum of all bytes so far.
    var value: UInt32 { ~register }

    /// Adds bytes in order.
    mutating func update(_ bytes: UnsafeRawBufferPointer) {
        var value = register
        var index = 0
        Self.flat.withUnsafeBufferPointer { table in
            while index + 8 <= bytes.count {
                let word = bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self).littleEndian ^ UInt64(value)
                value = 0
                for lane in 0..<8 {
                    value ^= table[(7 - lane) << 8 | Int((word >> (UInt64(lane) << 3)) & 0xff)]
                }
                index += 8
            }
            while index < bytes.count {
                value = table[Int((value ^ UInt32(bytes[index])) & 0xff)] ^ (value >> 8)
                index += 1
            }
        }
        register = value
    }

    /// The eight tables one after another.
    private static let flat = tables.flatMap { $0 }
}
