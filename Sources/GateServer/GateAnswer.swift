import FoundationEssentials
import OCI
import Readiness

/// What the server says to one question. Pure.
struct GateAnswer: Hashable, Sendable {
    /// Which of the three answers a gate can give it is.
    enum Outcome: String, CaseIterable, Sendable {
        /// Every site proved what was asked about. The only one that opens anything.
        case ready
        /// Some site did not, or the question is for another generation.
        case blocked
        /// Nothing could be decided.
        case unknown
        /// The question cannot be answered as it was put: no such environment, no token.
        case refused
    }

    let status: Int
    let outcome: Outcome
    /// A JSON document.
    let body: String
    /// Seconds after which it makes sense to ask again, where the server can tell.
    var retryAfter: Int?

    /// The answer that a verdict is. Nothing but a ready one is 200.
    init(_ verdict: Verdict, document: String) {
        status = verdict.isReady ? 200 : 409
        outcome = verdict.isReady ? .ready : .blocked
        body = document
    }

    /// That nothing is known: never ready, and worth asking again.
    init(unknown message: String) {
        self.init(503, .unknown, code: "unknown", message)
        retryAfter = 10
    }

    /// That the question cannot be answered as it was put.
    init(refused status: Int, code: String, _ message: String) {
        self.init(status, .refused, code: code, message)
    }

    private init(_ status: Int, _ outcome: Outcome, code: String, _ message: String) {
        self.status = status
        self.outcome = outcome
        body = Self.document(Fault(ready: false, error: .init(code: code, message: message)))
    }

    /// What is wrong, in the form of every answer that is no verdict: `ready` is there, and false.
    private struct Fault: Encodable {
        struct Cause: Encodable {
            let code: String
            let message: String
        }
        let ready: Bool
        let error: Cause
    }

    private static func document(_ value: Fault) -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return ((try? encoder.encode(value)).map { String(decoding: $0, as: UTF8.self) } ?? "{\"ready\":false}") + "\n"
    }
}

/// One question for a gate, as a request's path and query put it. Pure.
struct GateQuestion: Hashable, Sendable {
    let list: ListName
    let environment: EnvironmentName
    /// Whether it is about what is staged or about what is promoted, where the question says so.
    let subject: Verdict.Subject?
    /// The generation that is meant, where the question is bound to one.
    let generation: Digest?

    /// What is wrong with a question's parameters: words for people.
    struct Fault: Error, CustomStringConvertible {
        let description: String
    }

    /// - Parameters:
    ///   - environment: the environment's name
    ///   - list: the list's name
    ///   - query: the decoded parameters
    /// - Throws: what is wrong with the names or the parameters
    init(environment: String, list: String, query: [(String, String)]) throws {
        self.environment = try EnvironmentName(environment)
        self.list = try ListName(list)
        // A parameter that is misspelt, or there twice, must not make another question of it.
        var values: [String: String] = [:]
        for (name, value) in query {
            guard ["generation", "of"].contains(name) else {
                throw Fault(
                    description: "unknown parameter '\(name.prefix(100))': there are 'generation' and 'of'")
            }
            guard values.updateValue(value, forKey: name) == nil else {
                throw Fault(description: "parameter '\(name)' is there twice: give it once")
            }
        }
        generation = try values["generation"].map { try Digest($0) }
        let text = values["of"]
        subject = text.flatMap(Verdict.Subject.init(rawValue:))
        guard text == nil || subject != nil else {
            throw Fault(description: "a gate is of 'staged' or of 'promoted', not of '\((text ?? "").prefix(100))'")
        }
    }
}
