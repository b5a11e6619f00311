/// A quick checksum of spooled bytes, to find a torn write after a crash. Not cryptographic: the blob's digest decides
/// what is published, this decides what is fetched again.
///
/// Eight bytes at a time over four lanes, each a multiply-and-fold; 0 is never the checksum of anything, so that a page
/// of zeros is not mistaken for data.
enum RangeChecksum {
    static func of(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
        var lanes: (UInt64, UInt64, UInt64, UInt64) = (
            0x9E37_79B9_7F4A_7C15, 0xC2B2_AE3D_27D4_EB4F, 0x1656_67B1_9E37_79F9, 0x27D4_EB2F_1656_67C5
        )
        var index = 0
        let count = bytes.count
        while index + 32 <= count {
            lanes.0 = fold(lanes.0 ^ bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self))
            lanes.1 = fold(lanes.1 ^ bytes.loadUnaligned(fromByteOffset: index + 8, as: UInt64.self))
            lanes.2 = fold(lanes.2 ^ bytes.loadUnaligned(fromByteOffset: index + 16, as: UInt64.self))
            lanes.3 = fold(lanes.3 ^ bytes.loadUnaligned(fromByteOffset: index + 24, as: UInt64.self))
            index += 32
        }
        while index < count {
            lanes.0 = fold(lanes.0 ^ UInt64(bytes[index]))
            index += 1
        }
        let all = fold(lanes.0 ^ UInt64(count)) ^ fold(lanes.1 &+ 1) ^ fold(lanes.2 &+ 2) ^ fold(lanes.3 &+ 3)
        return all == 0 ? 1 : all
    }

    @inline(__always)
    private static func fold(_ value: UInt64) -> UInt64 {
        let product = value.multipliedFullWidth(by: 0xD6E8_FEB8_6659_FD93)
        return product.high ^ product.low
    }
}
