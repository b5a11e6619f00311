extension Duration {
    /// A time as people write it: whole numbers with `d`, `h`, `m` or `s`, largest unit first (`24h`, `1h30m`).
    ///
    /// - Parameter text: the time; `nil` results for any other form, and for more than 100 years
    public init?(written text: String) {
        let units: [(suffix: Character, seconds: Int64)] = [("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)]
        var seconds: Int64 = 0
        var rest = text[...]
        var remaining = units[...]
        repeat {
            let digits = rest.prefix { $0.isASCII && $0.isNumber }
            rest = rest.dropFirst(digits.count)
            // Ten digits cannot overflow when multiplied; what they allow is bounded below.
            guard digits.count <= 10, let number = Int64(digits), let suffix = rest.popFirst(),
                let index = remaining.firstIndex(where: { $0.suffix == suffix })
            else { return nil }
            seconds += number * remaining[index].seconds
            remaining = remaining[(index + 1)...]
        } while !rest.isEmpty
        guard seconds <= 100 * 366 * 86_400 else { return nil }
        self = .seconds(seconds)
    }

    /// The time in whole seconds, as people write it: the form that `init(written:)` reads.
    public var written: String {
        var rest = max(0, components.seconds)
        var text = ""
        for (suffix, seconds) in [("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)] as [(String, Int64)]
        where rest >= seconds {
            text += "\(rest / seconds)\(suffix)"
            rest %= seconds
        }
        return text.isEmpty ? "0s" : text
    }
}

/// An amount of bytes as people write it: `64MiB`, `2GB`, `512B`.
public struct ByteSize: Hashable, Sendable, CustomStringConvertible {
    /// The amount.
    public let bytes: Int64

    /// - Parameter bytes: the amount
    public init(bytes: Int64) { self.bytes = bytes }

    private static let units: [(suffix: String, bytes: Int64)] = [
        ("EiB", 1 << 60), ("PiB", 1 << 50), ("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10),
        ("EB", 1_000_000_000_000_000_000), ("PB", 1_000_000_000_000_000), ("TB", 1_000_000_000_000),
        ("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1000), ("B", 1),
    ]

    /// - Parameter text: a whole number and a unit, `B`, `kB` to `EB` (powers of 1000) or `KiB` to `EiB` (powers of
    ///   1024); `nil` results for any other form and on overflow
    public init?(written text: String) {
        guard let bytes = scaled(text, units: Self.units) else { return nil }
        self.bytes = bytes
    }

    /// The amount in the largest binary unit that divides it.
    public var description: String {
        let unit = Self.units.first { bytes != 0 && $0.suffix.hasSuffix("iB") && bytes % $0.bytes == 0 }
        return unit.map { "\(bytes / $0.bytes)\($0.suffix)" } ?? "\(bytes)B"
    }
}

/// A rate of bytes as people write it: `200Mbit/s`, `25MiB/s`.
public struct ByteRate: Hashable, Sendable, CustomStringConvertible {
    /// Bytes a second.
    public let bytesPerSecond: Int64

    /// - Parameter bytesPerSecond: bytes a second
    public init(bytesPerSecond: Int64) { self.bytesPerSecond = bytesPerSecond }

    private static let bitUnits: [(suffix: String, bytes: Int64)] = [
        ("Gbit/s", 1_000_000_000), ("Mbit/s", 1_000_000), ("kbit/s", 1000), ("bit/s", 1),
    ]

    /// - Parameter text: a whole number and a unit: `bit/s`, `kbit/s` to `Gbit/s`, or a unit of `ByteSize` and `/s`; `nil`
    ///   results for any other form and on overflow
    public init?(written text: String) {
        if let bits = scaled(text, units: Self.bitUnits) {
            bytesPerSecond = bits / 8
        } else if text.hasSuffix("/s"), let size = ByteSize(written: String(text.dropLast(2))) {
            bytesPerSecond = size.bytes
        } else {
            return nil
        }
    }

    /// The rate in the largest unit that divides it: of bits where it is a whole number of thousands of them.
    public var description: String {
        let (bits, overflow) = bytesPerSecond.multipliedReportingOverflow(by: 8)
        let unit = Self.bitUnits.first { !overflow && bits != 0 && $0.bytes >= 1000 && bits % $0.bytes == 0 }
        return unit.map { "\(bits / $0.bytes)\($0.suffix)" } ?? "\(ByteSize(bytes: bytesPerSecond))/s"
    }
}

/// A whole number followed by one of some units; `nil` for any other form and on overflow.
private func scaled(_ text: String, units: [(suffix: String, bytes: Int64)]) -> Int64? {
    let digits = text.prefix { $0.isASCII && $0.isNumber }
    let suffix = text.dropFirst(digits.count).drop { $0 == " " }
    guard let number = Int64(digits), let unit = units.first(where: { $0.suffix == suffix }) else { return nil }
    let (bytes, overflow) = number.multipliedReportingOverflow(by: unit.bytes)
    return overflow ? nil : bytes
}
