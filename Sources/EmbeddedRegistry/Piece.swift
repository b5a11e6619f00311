import ImageLayout
import NIOCore
import Synchronization

/// A part of a body between a socket and the disk; one owner at a time.
final class Piece: @unchecked Sendable {
    private(set) var buffer = ByteBuffer()

    /// Takes other bytes, in the same memory if nobody else looks at it any more. Blocks on the disk.
    func fill(from blob: OpenBlob, _ range: Range<Int64>) throws(LayoutError) {
        clear(capacity: range.count)
        var failure: LayoutError?
        buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: range.count) { bytes in
            do throws(LayoutError) {
                return try blob.read(
                    into: UnsafeMutableRawBufferPointer(rebasing: bytes[..<range.count]), at: range.lowerBound)
            } catch {
                failure = error
                return 0
            }
        }
        if let failure { throw failure }
        guard buffer.readableBytes == range.count else {
            throw LayoutError(.damaged, "the file became shorter while it was read", at: "a blob")
        }
    }

    /// Adds bytes.
    func append(_ bytes: inout ByteBuffer) { buffer.writeBuffer(&bytes) }

    /// Adds its bytes to an upload. Blocks on the disk.
    func drain(into upload: LayoutUpload) throws(LayoutError) {
        try buffer.withUnsafeReadableBytes { bytes throws(LayoutError) in try upload.append(bytes) }
    }

    /// Begins anew, with room for so many bytes.
    func clear(capacity: Int) {
        // Memory of a time with fewer pieces goes back.
        if buffer.capacity > capacity * 2 { buffer = ByteBuffer() }
        buffer.clear(minimumCapacity: capacity)
    }
}

/// Divides a bounded memory among bodies that are under way: each has two pieces, which take turns.
final class PieceBudget: Sendable {
    /// All pieces together, in bytes.
    private static let memory: Int64 = 16 << 20
    private static let largest: Int64 = 512 << 10
    private static let smallest: Int64 = 64 << 10
    private let count = Atomic(0)

    func begin() { count.add(1, ordering: .relaxed) }

    func end() { count.subtract(1, ordering: .relaxed) }

    /// The size of a body's next piece, in bytes.
    var pieceSize: Int64 {
        let bodies = Int64(max(1, count.load(ordering: .relaxed)))
        return max(Self.smallest, min(Self.largest, Self.memory / 2 / bodies))
    }
}
