/// Amounts as people read them.
public enum Quantity {
    /// Bytes with three digits at most and a binary unit: `512 B`, `1.5 KiB`, `85 MiB`.
    public static func bytes(_ count: Int64) -> String {
        var value = Double(max(0, count))
        var units = ["B", "KiB", "MiB", "GiB", "TiB"][...]
        // 999.95 would be shown as 1000.0.
        while value >= 999.95, units.count > 1 {
            value /= 1024
            units = units.dropFirst()
        }
        let unit = units.first ?? ""
        return unit == "B" ? "\(count) B" : "\(decimal(value)) \(unit)"
    }

    /// Bytes a second.
    public static func rate(_ bytesPerSecond: Double) -> String {
        // A rate beyond what a number of bytes can be is no rate.
        bytes(Int64(exactly: bytesPerSecond.rounded()) ?? 0) + "/s"
    }

    /// Seconds as `42 s`, `3 min 10 s` or `2 h 5 min`.
    public static func seconds(_ count: Double) -> String {
        guard let seconds = Int64(exactly: count.rounded(.up)), seconds < 100 * 3600 else { return "days" }
        return switch seconds {
        case ..<60: "\(max(0, seconds)) s"
        case ..<3600: "\(seconds / 60) min \(seconds % 60) s"
        default: "\(seconds / 3600) h \(seconds / 60 % 60) min"
        }
    }

    /// One digit after the point below 100, none above.
    private static func decimal(_ value: Double) -> String {
        guard value < 99.95 else { return "\(Int64(value.rounded()))" }
        let tenths = Int64((value * 10).rounded())
        return "\(tenths / 10).\(tenths % 10)"
    }
}
