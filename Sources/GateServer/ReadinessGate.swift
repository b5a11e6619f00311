public import OCI
public import Readiness

/// Who decides. Every call reads the object store anew: the server takes an answer for one that is as young as the call.
public protocol ReadinessGate: Sendable {
    /// Decides whether what is staged under a name, or what is promoted, is ready.
    ///
    /// - Parameters:
    ///   - list: the list's name
    ///   - environment: where
    ///   - subject: what the question is about; `nil` leaves that to the generation, and without one to what is staged
    ///   - generation: the generation that is meant: where it is not the one, the answer is blocked
    /// - Throws: `ReadinessError.invalidFleet` for an environment that the fleet does not have; anything else where the
    ///   store or the fleet file cannot be read, and so nothing is known
    func verdict(
        on list: ListName, in environment: EnvironmentName, about subject: Verdict.Subject?, generation: Digest?
    ) async throws -> Verdict

    /// A verdict as the JSON document that the product's other answers have.
    func document(of verdict: Verdict) throws -> String

    /// Decides about every list of every environment.
    ///
    /// - Throws: where the store or the fleet file cannot be read
    func standing() async throws -> FleetStanding

    /// A standing as the JSON document that `rollcall status` writes.
    func document(of standing: FleetStanding) throws -> String

    /// The latest records of the audit chain that fit, in a bounded look.
    ///
    /// - Parameters:
    ///   - filter: which records
    ///   - number: only records of lower numbers; `nil` from the end of the chain
    /// - Throws: where the store or the chain cannot be read
    func audit(_ filter: CentralStore.AuditFilter, before number: Int64?) async throws -> CentralStore.AuditPage
}
