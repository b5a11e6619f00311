import Console
import OCI
import Readiness

/// A promotion's or a rollback's outcome as it is written: the verdict, and what came of it.
struct PromotionReport: Encodable {
    let outcome: String
    let promoted: EnvironmentRecord.Pointer?
    let verdict: VerdictReport

    init(_ outcome: PromotionOutcome, move: Move = .promotion, missing: [SiteName: [ClosureLines.Line]] = [:]) {
        switch outcome {
        case .promoted(let pointer, let verdict):
            self.outcome = move == .promotion ? "promoted" : "rolled-back"
            (promoted, self.verdict) = (pointer, VerdictReport(verdict))
        case .alreadyPromoted(let pointer, let verdict):
            self.outcome = "already-promoted"
            (promoted, self.verdict) = (pointer, VerdictReport(verdict))
        case .possible(let verdict):
            self.outcome = move == .promotion ? "would-promote" : "would-roll-back"
            (promoted, self.verdict) = (nil, VerdictReport(verdict))
        case .refused(let verdict):
            self.outcome = "refused"
            (promoted, self.verdict) = (nil, VerdictReport(verdict, missing: missing))
        }
    }

    /// - Parameter colours: whether a table shows states in colour too
    func text(_ form: OutputForm, colours: Bool = false) throws -> String {
        switch form {
        case .json: try jsonText(self)
        case .table: lines.text(colours: colours)
        }
    }

    private var lines: [StyledText] {
        let place = "\(verdict.list) in \(verdict.environment)"
        let generation = (promoted?.generation ?? verdict.staged?.generation)?.short ?? "nothing"
        let exceptions = verdict.exceptions.map { StyledText($0, .warning) }
        switch outcome {
        case "promoted": return ["\(place): \(generation) is promoted"] + exceptions
        case "rolled-back": return ["\(place): \(generation) is promoted again"] + exceptions
        case "already-promoted":
            let pointer = promoted.map { ", \($0.at) by \($0.by)" } ?? ""
            return ["\(place): \(generation) is promoted already\(pointer)"] + exceptions
        case "would-promote": return ["\(place): \(generation) would be promoted"] + exceptions
        case "would-roll-back": return ["\(place): \(generation) would be promoted again"] + exceptions
        default: return [StyledText("not promoted", .bad)] + verdict.lines
        }
    }
}
