/// A quick checksum of spooled bytes, to find a torn or lost write after a crash. Not cryptographic: the blob's digest
/// decides what is published, this decides what is fetched again.
///
/// Disks tear writes at sectors of at least 512 bytes, so 32 bytes of every 512 tell a written sector from a lost one at
/// a sixteenth of the cost; damage within a sector is the digest's to find, which costs that blob one fresh fetch.
/// Over four lanes, each a multiply-and-fold; never 0, so that a page of zeros is not mistaken for data.
enum RangeChecksum {
    /// One sample of `sample` bytes in each `stride`.
    private static let stride = 512
    private static let sample = 32

    static func of(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
        var lanes: (UInt64, UInt64, UInt64, UInt64) = (
            0x9E37_79B9_7F4A_7C15, 0xC2B2_AE3D_27D4_EB4F, 0x1656_67B1_9E37_79F9, 0x27D4_EB2F_1656_67C5
        )
        let count = bytes.count
        var index = 0
        while index + sample <= count {
            lanes.0 = fold(lanes.0 ^ bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self))
            lanes.1 = fold(lanes.1 ^ bytes.loadUnaligned(fromByteOffset: index + 8, as: UInt64.self))
            lanes.2 = fold(lanes.2 ^ bytes.loadUnaligned(fromByteOffset: index + 16, as: UInt64.self))
            lanes.3 = fold(lanes.3 ^ bytes.loadUnaligned(fromByteOffset: index + 24, as: UInt64.self))
            index += stride
        }
        // The end in full: a write that stopped short shows there.
        for byte in bytes[max(0, count - sample)...] { lanes.0 = fold(lanes.0 ^ UInt64(byte)) }
        let all = fold(lanes.0 ^ UInt64(count)) ^ fold(lanes.1 &+ 1) ^ fold(lanes.2 &+ 2) ^ fold(lanes.3 &+ 3)
        return all == 0 ? 1 : all
    }

    @inline(__always)
    private static func fold(_ value: UInt64) -> UInt64 {
        let product = value.multipliedFullWidth(by: 0xD6E8_FEB8_6659_FD93)
        return product.high ^ product.low
    }
}
