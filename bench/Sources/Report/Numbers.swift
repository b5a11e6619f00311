/// A number with so many decimals and a point, whatever the locale.
func fixed(_ value: Double, _ decimals: Int) -> String {
    guard value.isFinite, abs(value) < 1e15 else { return "\(value)" }
    var scale = 1
    for _ in 0..<decimals { scale *= 10 }
    let scaled = Int((abs(value) * Double(scale)).rounded())
    let sign = value < 0 && scaled > 0 ? "-" : ""
    guard decimals > 0 else { return "\(sign)\(scaled)" }
    let fraction = String(scaled % scale)
    return "\(sign)\(scaled / scale).\(String(repeating: "0", count: decimals - fraction.count))\(fraction)"
}

/// Bytes in the unit that suits their size.
func bytesText(_ bytes: Int) -> String {
    bytes >= 1 << 30
        ? "\(fixed(Double(bytes) / 0x1p30, 2)) GiB"
        : bytes >= 1 << 20 ? "\(fixed(Double(bytes) / 0x1p20, 1)) MiB" : "\(fixed(Double(bytes) / 1024, 1)) KiB"
}

/// Median, minimum and maximum of some measurements.
struct Spread: Codable, Hashable {
    let median: Double
    let minimum: Double
    let maximum: Double

    /// `nil` of nothing.
    init?(_ values: [Double]) {
        let sorted = values.sorted()
        guard let first = sorted.first, let last = sorted.last else { return nil }
        let middle = sorted.count / 2
        median = sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
        minimum = first
        maximum = last
    }
}
