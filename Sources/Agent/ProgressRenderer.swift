import Console
import OCI
import Transfer

/// A pass's figures as lines of text: a function of the figures, the rate and the width, and nothing else.
struct ProgressRenderer {
    /// The most lines of single blobs; more are counted in one.
    static let maximumBlobLines = 8
    /// Below this width there is no room for a bar, and only the last line is drawn.
    static let minimumBarWidth = 60

    /// One line for each blob on its way, and one with the totals; none is longer than `width` columns.
    ///
    /// - Parameters:
    ///   - progress: the figures
    ///   - rate: bytes a second at present; `nil` where that is not known yet
    ///   - width: the terminal's columns
    static func bars(_ progress: TransferProgress, rate: Double?, width: Int) -> [String] {
        var lines: [String] = []
        if width >= minimumBarWidth {
            // Room for all, or for all but those that the last line counts.
            let shown = progress.active.count <= maximumBlobLines ? progress.active.count : maximumBlobLines - 1
            lines = progress.active.prefix(shown).map { blob($0, width: width) }
            if progress.active.count > shown { lines.append("… and \(progress.active.count - shown) more") }
        }
        lines.append(totals(progress, rate: rate))
        return lines.map { String($0.prefix(max(0, width))) }
    }

    /// The totals in one line, for terminals' last line and for logs.
    static func totals(_ progress: TransferProgress, rate: Double?) -> String {
        guard progress.totalBlobs + progress.totalManifests > 0 else { return "looking at the registry" }
        var parts: [String] = []
        if progress.totalBytes > 0 {
            let share = percent(progress.receivedBytes, of: progress.totalBytes)
            parts.append(
                "\(share)% \(Quantity.bytes(progress.receivedBytes)) of \(Quantity.bytes(progress.totalBytes))")
        }
        if progress.totalBlobs > 0 { parts.append("\(progress.deliveredBlobs)/\(progress.totalBlobs) blobs") }
        if progress.totalManifests > 0 {
            parts.append("\(progress.deliveredManifests)/\(progress.totalManifests) manifests")
        }
        if let rate {
            parts.append(Quantity.rate(rate))
            let left = progress.totalBytes - progress.receivedBytes
            if rate >= 1, left > 0 { parts.append("\(Quantity.seconds(Double(left) / rate)) left") }
        }
        if progress.failures > 0 { parts.append("\(progress.failures) failed") }
        return parts.joined(separator: ", ")
    }

    private static func blob(_ blob: TransferProgress.Blob, width: Int) -> String {
        let name = blob.digest.short
        let figures = "\(Quantity.bytes(blob.received)) of \(Quantity.bytes(blob.size))".leftPadded(to: 22)
        let room = max(0, width - name.count - figures.count - 4)
        let filled = room * percent(blob.received, of: blob.size) / 100
        let bar = String(repeating: "#", count: filled) + String(repeating: ".", count: room - filled)
        return "\(name) [\(bar)] \(figures)"
    }

    /// 0 to 100; bytes that are fetched twice do not make more than all. Nothing of nothing is all.
    static func percent(_ part: Int64, of whole: Int64) -> Int {
        guard whole > 0 else { return 100 }
        return Int(min(100, max(0, Double(part) / Double(whole) * 100)))
    }
}

/// How fast a count grows, over the last seconds.
struct RateWindow {
    /// How far back the rate looks, in seconds.
    static let length = 5.0
    private var samples: [(time: Double, count: Int64)] = []

    /// Adds a reading. Time goes forward.
    ///
    /// - Parameters:
    ///   - count: what was counted so far
    ///   - time: seconds on any clock
    mutating func add(_ count: Int64, at time: Double) {
        samples.append((time, count))
        // The oldest reading is kept that is as old as the window, so that a full window is looked at.
        while samples.count > 2, samples[1].time <= time - Self.length { samples.removeFirst() }
    }

    /// What is counted in a second; `nil` before half a second has passed.
    var perSecond: Double? {
        guard let first = samples.first, let last = samples.last, last.time - first.time >= 0.5 else { return nil }
        return Double(last.count - first.count) / (last.time - first.time)
    }
}

extension String {
    fileprivate func leftPadded(to length: Int) -> String {
        String(repeating: " ", count: max(0, length - count)) + self
    }
}
