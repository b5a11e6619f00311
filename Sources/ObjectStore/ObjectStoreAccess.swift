public import HTTP

/// What an object store is opened with beside its location. A directory store needs nothing of it.
public struct ObjectStoreAccess: Sendable {
    /// The process environment: where an S3 store's credentials and region are looked for.
    public var environment: [String: String]
    /// Whether the caller promises that no other process writes: a store whose conditional writes do not exclude each
    /// other is then not refused.
    public var singleWriter = false
    /// How the connection is secured; a `ca` of the location takes precedence.
    public var tls = TLSConfiguration()
    /// The proxy's URL; `nil` takes the process environment's, `""` uses none.
    public var proxy: String?
    /// When failed requests are sent again: five times at most, and 30 seconds of waiting for one operation.
    public var retry = RetryPolicy(
        attempts: 5, firstWait: .milliseconds(200), longestWait: .seconds(5), totalWait: .seconds(30))
    /// Where it is written down what the store's server answers; `nil` for nowhere.
    public var ledger: HostLedger?
    /// Time and chance.
    public var timing = Timing.system

    /// - Parameters:
    ///   - environment: the process environment
    ///   - singleWriter: whether the caller promises that no other process writes
    public init(environment: [String: String] = [:], singleWriter: Bool = false) {
        self.environment = environment
        self.singleWriter = singleWriter
    }
}
