/// Who knows how the agent is. Every call answers at once, of what is known already: a probe must not wait for a store.
public protocol AgentAnswers: Sendable {
    /// Whether the loop lives: where not, the process is to be started anew.
    var health: ProbeAnswer { get }
    /// Whether the agent does its work: where not, somebody should look.
    var readiness: ProbeAnswer { get }
    /// What the agent knows, as a JSON document.
    var status: String { get }
    /// Its figures as Prometheus text.
    var metrics: String { get }
}

/// What a probe is answered.
public struct ProbeAnswer: Hashable, Sendable {
    /// What is wrong, one line each; none where all is well.
    public let faults: [String]

    /// - Parameter faults: what is wrong, one line each
    public init(_ faults: [String]) { self.faults = faults }

    /// Whether all is well.
    public var isGood: Bool { faults.isEmpty }

    /// 200, or 503 where something is wrong.
    var code: Int { isGood ? 200 : 503 }

    /// As text, a line each.
    var text: String { isGood ? "ok\n" : faults.map { "\($0)\n" }.joined() }
}
