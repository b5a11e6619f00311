public import Readiness

/// Who decides. Every call reads the object store anew: the server takes an answer for one that is as young as the call.
public protocol ReadinessGate: Sendable {
    /// Decides whether what is staged under a name is ready.
    ///
    /// - Throws: `ReadinessError.invalidFleet` for an environment that the fleet does not have; anything else where the
    ///   store or the fleet file cannot be read, and so nothing is known
    func verdict(on list: ListName, in environment: EnvironmentName) async throws -> Verdict

    /// A verdict as the JSON document that the product's other answers have.
    func document(of verdict: Verdict) throws -> String

    /// Decides about every list of every environment.
    ///
    /// - Throws: where the store or the fleet file cannot be read
    func standing() async throws -> GateStanding
}

/// How every environment stands.
public struct GateStanding: Sendable {
    /// One verdict for each list of each environment, in ladder order.
    public let verdicts: [Verdict]
    /// The same as the JSON document that `rollcall status` writes.
    public let document: String

    /// - Parameters:
    ///   - verdicts: one verdict for each list of each environment
    ///   - document: the same as a JSON document
    public init(verdicts: [Verdict], document: String) {
        self.verdicts = verdicts
        self.document = document
    }
}
