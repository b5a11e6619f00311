import FoundationEssentials
import Glibc

/// The files of a report, replaced as a whole each time, so that whatever ends the benchmark leaves the latest ones.
struct ReportFiles {
    /// The directory of the report; `nil` where none is kept.
    let directory: String?
    private let json: [String]
    private let markdown: [String]

    /// - Parameters:
    ///   - directory: where figures, tables and plots go
    ///   - json: a further file for the figures
    ///   - markdown: a further file for the tables
    /// - Throws: `BenchError` where the directory cannot be made
    init(directory: String?, json: String?, markdown: String?) throws {
        self.directory = directory
        if let directory { try Scratch.makeDirectory(directory) }
        self.json = [json, directory.map { "\($0)/figures.json" }].compactMap(\.self)
        self.markdown = [markdown].compactMap(\.self)
    }

    /// Writes what there is; what cannot be written is told, and does not end the benchmark.
    func write(_ report: Report) {
        do {
            let text = String(decoding: try report.json, as: UTF8.self) + "\n"
            for path in json { try replace(path, text) }
            for path in markdown { try replace(path, report.markdown()) }
            guard let directory else { return }
            try replace("\(directory)/report.md", report.markdown(withPlots: true))
            for plot in report.scenarios.flatMap(\.plots) { try replace("\(directory)/\(plot.name)", plot.svg) }
        } catch {
            warn("the report cannot be written: \(error)")
        }
    }

    private func replace(_ path: String, _ text: String) throws {
        try Scratch.write(text, to: "\(path).new")
        guard rename("\(path).new", path) == 0 else {
            throw BenchError(.system, "cannot write \(path): \(errorText())")
        }
    }
}

extension Report {
    /// The report as JSON.
    var json: Data {
        get throws {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
            return try encoder.encode(self)
        }
    }
}
