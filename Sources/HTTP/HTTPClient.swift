/// Requests over libcurl, all on one event-loop thread.
///
/// HTTP/1.1 only: one HTTP/2 connection shares one congestion window among all blobs, and libcurl before 8.0 reports
/// some aborted HTTP/2 bodies as complete (curl 544a7f804d, 48cd032623).
public final class HTTPClient: Sendable {
    /// The client's bounds.
    public struct Configuration: Sendable {
        /// Idle connections kept open over all hosts.
        public var idleConnections = 64
        /// The `User-Agent` header.
        public var userAgent = "rollcall"
        /// Where it is written down what hosts answer; `nil` for nowhere.
        public var ledger: HostLedger?

        /// The defaults.
        public init() {}
    }

    private let loop: EventLoop
    private let userAgent: String
    private let ledger: HostLedger?

    /// Starts the event-loop thread.
    public init(configuration: Configuration = Configuration()) {
        loop = EventLoop(idleConnections: configuration.idleConnections)
        userAgent = configuration.userAgent
        ledger = configuration.ledger
    }

    deinit { shutdown() }

    /// Sends one request and waits for the whole response.
    ///
    /// Any complete response is a success here, whatever its status. Cancelling the task ends the transfer.
    ///
    /// - Parameters:
    ///   - request: what to send
    ///   - sink: where the body goes; without one it is collected into `HTTPResponse.body`
    /// - Throws: `HTTPError`
    public func send(_ request: HTTPRequest, into sink: (any BodySink)? = nil) async throws(HTTPError) -> HTTPResponse {
        let slot = ExchangeSlot()
        let sentAt = ledger?.now ?? 0
        let result: Result<HTTPResponse, HTTPError> = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let exchange = Exchange(request, sink: sink, userAgent: userAgent, loop: loop) {
                    continuation.resume(returning: $0)
                }
                // Before the start: a task that is cancelled already sends nothing.
                guard slot.fill(exchange) == .waiting else {
                    return exchange.fail(.cancelled, "the request was cancelled")
                }
                guard loop.submit(.start(exchange)) else {
                    return exchange.fail(.cancelled, "the HTTP client is shut down")
                }
            }
        } onCancel: {
            if let exchange = slot.cancel() { loop.submit(.cancel(exchange)) }
        }
        ledger?.record(request, sentAt: sentAt, result)
        return try result.get()
    }

    /// Ends the event-loop thread; requests in flight fail with `HTTPError.cancelled`. Idempotent.
    public func shutdown() {
        loop.submit(.shutdown)
    }
}
