import Console
import OCI
import Transfer

/// A pass's figures as lines of text: a function of the figures and the width, and nothing else.
struct ProgressRenderer {
    /// The most lines of single blobs; more are counted in one.
    static let maximumBlobLines = 8
    /// Below this width there is no room for a bar, and only the last line is drawn.
    static let minimumBarWidth = 60

    /// One line for each blob on its way, and one with the totals; none is longer than `width` columns.
    ///
    /// - Parameters:
    ///   - progress: the figures
    ///   - width: the terminal's columns
    static func bars(_ progress: TransferProgress, width: Int) -> [String] {
        var lines: [String] = []
        if width >= minimumBarWidth {
            // Room for all, or for all but those that the last line counts.
            let shown = progress.active.count <= maximumBlobLines ? progress.active.count : maximumBlobLines - 1
            lines = progress.active.prefix(shown).map { blob($0, width: width) }
            if progress.active.count > shown { lines.append("… and \(progress.active.count - shown) more") }
        }
        lines.append(totals(progress))
        return lines.map { String($0.prefix(max(0, width))) }
    }

    /// The totals in one line, for terminals' last line and for logs.
    static func totals(_ progress: TransferProgress) -> String {
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
        if let rate = progress.bytesPerSecond { parts.append(Quantity.rate(rate)) }
        if let left = progress.secondsLeft, left > 0 { parts.append("\(Quantity.seconds(left)) left") }
        if progress.failures > 0 { parts.append("\(progress.failures) failed") }
        if let pause = progress.pause { parts.append("paused: \(pause)") }
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

extension String {
    fileprivate func leftPadded(to length: Int) -> String {
        String(repeating: " ", count: max(0, length - count)) + self
    }
}
