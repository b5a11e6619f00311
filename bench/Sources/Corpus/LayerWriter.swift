import FoundationEssentials
import Glibc
import OCI

/// Writes one gzip-compressed tar layer of generated files, and knows its two digests.
///
/// The files' bytes are random, as compressed content is on the wire, so the gzip stream holds stored blocks (RFC 1951,
/// 3.2.4): a valid layer for every tool, at the speed of the random numbers.
struct LayerWriter {
    /// A finished layer.
    struct Layer: Codable, Hashable {
        /// The digest of the compressed bytes: the blob's name.
        let digest: String
        /// Compressed bytes.
        let size: Int
        /// The digest of the tar, for the image's configuration.
        let diffID: String
    }

    private static let blockSize = 65_535
    private static let tarBlock = 512
    /// A tar header, its padding and the end of the archive, for a single file.
    private static let tarOverhead = 3 * tarBlock
    private static let gzipHeader: [UInt8] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]

    private var random: SplitMix

    /// - Parameter seed: where the content's random numbers start
    init(seed: UInt64) { random = SplitMix(seed: seed) }

    /// Writes a layer of one file whose compressed size is close to `size` bytes.
    ///
    /// - Parameters:
    ///   - size: bytes, 2 KiB at least
    ///   - name: the name of the file in the layer
    ///   - path: where the layer goes
    /// - Throws: `BenchError` where the file cannot be written
    mutating func write(_ size: Int, name: String, to path: String) throws -> Layer {
        let file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard file >= 0 else { throw BenchError(.corpus, "cannot write \(path): \(errorText())") }
        defer { close(file) }
        let blocks = size / (Self.blockSize + 5) + 1
        let wanted = size - Self.gzipHeader.count - 8 - blocks * 5 - Self.tarOverhead
        let content = max(Self.tarBlock, wanted / Self.tarBlock * Self.tarBlock)
        let total = Self.tarBlock + content + 2 * Self.tarBlock

        var output = HashedFile(path: path, descriptor: file)
        let tar = DigestComputation(.sha256)
        var checksum = CRC32()
        try Self.gzipHeader.withUnsafeBytes { try output.write($0) }
        let header = Self.tarHeader(name: name, size: content)
        var block = [UInt8](repeating: 0, count: 5 + Self.blockSize)
        var position = 0
        while position < total {
            let count = min(Self.blockSize, total - position)
            block[0] = position + count == total ? 1 : 0
            block[1] = UInt8(count & 0xff)
            block[2] = UInt8(count >> 8)
            block[3] = ~block[1]
            block[4] = ~block[2]
            try block.withUnsafeMutableBytes { block in
                let data = UnsafeMutableRawBufferPointer(rebasing: block[5..<5 + count])
                fill(data, at: position, header: header, content: content)
                tar.update(UnsafeRawBufferPointer(data))
                checksum.update(UnsafeRawBufferPointer(data))
                try output.write(UnsafeRawBufferPointer(rebasing: block[..<(5 + count)]))
            }
            position += count
        }
        var trailer: [UInt8] = []
        for value in [checksum.value, UInt32(truncatingIfNeeded: total)] {
            withUnsafeBytes(of: value.littleEndian) { trailer += $0 }
        }
        try trailer.withUnsafeBytes { try output.write($0) }
        let size = output.size
        return Layer(digest: output.finish().description, size: size, diffID: tar.finish().description)
    }

    /// Puts the archive's bytes from `position` on into a buffer: header, random content, zeros.
    private mutating func fill(
        _ data: UnsafeMutableRawBufferPointer, at position: Int, header: [UInt8], content: Int
    ) {
        let contentEnd = header.count + content
        var index = 0
        while index < data.count, position + index < header.count {
            data[index] = header[position + index]
            index += 1
        }
        let end = min(data.count, contentEnd - position)
        while index + 8 <= end {
            data.storeBytes(of: random.next().littleEndian, toByteOffset: index, as: UInt64.self)
            index += 8
        }
        while index < end {
            data[index] = UInt8(truncatingIfNeeded: random.next())
            index += 1
        }
        while index < data.count {
            data[index] = 0
            index += 1
        }
    }

    /// The POSIX ustar header of one regular file; from 8 GiB on, which eleven octal digits cannot say, with the size in
    /// binary, as GNU tar has it and every other tool reads it.
    static func tarHeader(name: String, size: Int) -> [UInt8] {
        var header = [UInt8](repeating: 0, count: tarBlock)
        func put(_ text: String, at offset: Int) {
            for (index, byte) in text.utf8.enumerated() { header[offset + index] = byte }
        }
        func octal(_ value: Int, _ digits: Int) -> String {
            let text = String(value, radix: 8)
            return String(repeating: "0", count: max(0, digits - text.count)) + text
        }
        put(String(name.prefix(100)), at: 0)
        put(octal(0o644, 7), at: 100)
        put(octal(0, 7), at: 108)
        put(octal(0, 7), at: 116)
        if size < 1 << 33 {
            put(octal(size, 11), at: 124)
        } else {
            header[124] = 0x80
            for byte in 0..<8 { header[128 + byte] = UInt8(truncatingIfNeeded: size >> (56 - 8 * byte)) }
        }
        put(octal(0, 11), at: 136)
        put("        ", at: 148)
        put("0", at: 156)
        put("ustar", at: 257)
        put("00", at: 263)
        put(octal(header.reduce(0) { $0 + Int($1) }, 6) + "\0 ", at: 148)
        return header
    }
}

/// A file that is written from its beginning and hashed meanwhile.
private struct HashedFile: ~Copyable {
    private let path: String
    private let descriptor: Int32
    private let computation = DigestComputation(.sha256)
    private(set) var size = 0

    init(path: String, descriptor: Int32) {
        self.path = path
        self.descriptor = descriptor
    }

    mutating func write(_ bytes: UnsafeRawBufferPointer) throws {
        computation.update(bytes)
        var rest = bytes
        while !rest.isEmpty {
            let count = Glibc.write(descriptor, rest.baseAddress, rest.count)
            guard count > 0 else { throw BenchError(.corpus, "cannot write \(path): \(errorText())") }
            rest = UnsafeRawBufferPointer(rebasing: rest[count...])
        }
        size += bytes.count
    }

    consuming func finish() -> Digest { computation.finish() }
}
